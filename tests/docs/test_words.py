"""Words of our own that were given up for those of the field are not used again. Part of lint."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Each word as a pattern of the parts of an identifier, and what is said instead.
GIVEN_UP = {
    "(?i:husks?|hollow(ed|ing)?)": "expired body, expire",
    "(?i:ghosts?)": "remnant",
    "(?i:basis)": "base",
    "(?i:kids?)": "term",
    "(?i:(un)?fold(ed|ing)?|(un)?packed)": "encode, decode, body",
    "Keeper|KEEPER|Capture": "Recorder, Creator",
    "(?<!standard_)(?i:library)": "completions, records",
    "OpenDoor": "NoAuth",
    "Patience|Silent|NotAccepted": "Timeouts, ReadTimeout, ConnectTimeout",
    "Flowing|Whole": "StreamingResponse, Response",
    "(?i:permitted|catalogue|departure)": "routing, models, disconnect",
    "HeadPlace|prune_heads": "prefix hash",
    "Texts": "RecordContext",
}
# These have an ordinary meaning as part of a name, and only as the whole of it another.
WHOLE_NAMES = {"EVERY": "ALL", "KEPT": "RECORDS"}
# And these have none that is needed here, in comments, texts and docs either.
PROSE = re.compile(
    r"\b(husks?|hollow(ed|ing)?|ghosts?|kids?|unfold(ed|ing)?|let(s|ting)? go of (its|the) body"
    r"|body (is|has been) let go)\b",
    re.IGNORECASE,
)
# What is meant by them there is something else.
TOKENS = "src/chatkeep/store/index/tokens.py"
ALLOWED = {(TOKENS, "folded"), (TOKENS, "_folded")}  # of upper and lower case
DOTS = {"bench/chart.py", "bench/plots.py", "tests/unit/bench/test_lists.py"}  # hollow ones

PATTERN = {
    word: re.compile(rf"^(?:{word})$" if word in WHOLE_NAMES else rf"(?:^|_)(?:{word})(?:_|$)")
    for word in (*GIVEN_UP, *WHOLE_NAMES)
}
INSTEAD = GIVEN_UP | WHOLE_NAMES
FOLDERS = ("src", "tests", "bench", "docs")
ELSEWHERE = {"node_modules", "__pycache__"}
HERE = Path(__file__).relative_to(ROOT).as_posix()


def files(*endings: str) -> Iterator[tuple[str, str]]:
    """The names and texts of our files, but for this one."""
    found = (file for folder in FOLDERS for file in (ROOT / folder).rglob("*"))
    for file in sorted((*found, *ROOT.glob("*.md"))):
        name = file.relative_to(ROOT).as_posix()
        if file.suffix in endings and ELSEWHERE.isdisjoint(file.parts) and name != HERE:
            yield name, file.read_text()


def identifiers() -> Iterator[tuple[str, str]]:
    for file, text in files(".py"):
        yield file, Path(file).stem
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME:
                yield file, token.string
    for file, text in files(".sql"):
        statements = re.sub(r"--.*", "", text)
        yield from ((file, name) for name in re.findall(r"\w+", statements))


IDENTIFIERS = sorted(set(identifiers()) - ALLOWED)


@pytest.mark.parametrize("word", PATTERN)
def test_no_identifier_has_a_word_that_was_given_up(word: str) -> None:
    found = [f"{file}: {name}" for file, name in IDENTIFIERS if PATTERN[word].search(name)]
    assert found == [], f"say {INSTEAD[word]}"


def test_no_text_has_a_word_that_was_given_up() -> None:
    found = [
        f"{file}: {match[0]}"
        for file, text in files(".py", ".sql", ".md", ".toml")
        for match in PROSE.finditer(text)
        if file not in DOTS or match[0] != "hollow"
    ]
    assert found == []


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("(?i:kids?)", "KID"),
        ("(?i:kids?)", "kids_of"),
        ("Texts", "Texts"),
        ("EVERY", "EVERY"),
        ("(?<!standard_)(?i:library)", "bench_library"),
        ("(?i:(un)?fold(ed|ing)?|(un)?packed)", "unfolded"),
    ],
)
def test_a_word_that_was_given_up_is_found(word: str, name: str) -> None:
    assert PATTERN[word].search(name)


@pytest.mark.parametrize(
    "name", ["folder", "outcome", "CHANGES_EVERY_S", "unkept", "texts", "skid"]
)
def test_ordinary_names_are_not_found(name: str) -> None:
    assert [word for word, pattern in PATTERN.items() if pattern.search(name)] == []
