"""Words of our own that were given up for those of the field are not used again."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Each word as a pattern of identifiers, and what is said instead.
GIVEN_UP = {
    "husk|hollow(ed|ing)?": "expired body, expire",
    "ghosts?": "remnant",
    "basis": "base",
    "kids?": "term",
    "unfold(ed)?|unpacked": "decode",
    "Keeper|Capture": "Recorder, Creator",
    "[Ll]ibrary": "completions",
    "OpenDoor": "NoAuth",
    "Patience|Silent|NotAccepted": "Timeouts, ReadTimeout, ConnectTimeout",
    "Flowing|Whole": "StreamingResponse, Response",
    "permitted|[Cc]atalogue|[Dd]eparture": "routing, models, disconnect",
    "HeadPlace|prune_heads": "prefix hash",
}
WORD = {word: re.compile(rf"(?:^|_)(?:{word})(?:_|$)") for word in GIVEN_UP}
SOURCES = sorted((ROOT / "src").rglob("*.py"))
STATEMENTS = sorted((ROOT / "src").rglob("*.sql"))


def names(file: Path) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(file.read_text()).readline):
        if token.type == tokenize.NAME:
            yield token.string


@pytest.mark.parametrize("word", GIVEN_UP)
def test_no_name_of_the_source_has_a_word_that_was_given_up(word: str) -> None:
    found = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in SOURCES
        for name in (*names(file), file.stem)
        if WORD[word].search(name)
    }
    assert not found, f"say {GIVEN_UP[word]}"


@pytest.mark.parametrize("word", GIVEN_UP)
def test_no_statement_has_a_word_that_was_given_up(word: str) -> None:
    found = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in STATEMENTS
        for name in re.findall(r"\w+", file.read_text())
        if WORD[word].search(name)
    }
    assert not found, f"say {GIVEN_UP[word]}"
