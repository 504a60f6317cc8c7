"""The tokeniser of full text search: what counts as a word, for every store alike (DESIGN.md §4).

Letters, digits and marks make words; everything else parts them. Words are compared in NFKC, case
folded, without diacritics, and with letters like ł and æ as people type them: l and ae. Chinese,
Japanese, Korean, Thai, Lao, Khmer and Burmese text, which does not part its words, becomes pairs of
neighbouring characters: 東京都 is 東京 and 京都. What nobody sees, as a soft hyphen, parts no word.
Base64 within a text is no word.
"""

import re
from collections.abc import Iterable
from itertools import pairwise
from unicodedata import is_normalized, normalize

MAX_POSITIONS = 16_000  # PostgreSQL counts to 16,383
MAX_BYTES = 255  # of a word; what is longer is cut or Base64, in a text and in a query alike

# Of ASCII only: capitals become small letters, what is no letter nor digit becomes a space.
_SEPARATED = bytes(
    byte if byte >= 128 else ord(chr(byte).lower()) if chr(byte).isalnum() else 32
    for byte in range(256)
)
# Dashes, quotation marks, spaces and the like; without them and emoji most texts are ASCII. Two
# patterns, because one that begins with a literal is found ten times as fast.
_PUNCTUATION = re.compile(b"\xe2\x80.", re.DOTALL)
# Soft hyphens, zero-width spaces and joiners, marks of direction, byte order marks.
_INVISIBLE = re.compile(b"\xe2(?:\x80[\x8b-\x8f\xaa-\xae]|\x81[\xa0-\xaf])", re.DOTALL)
_SOFT_HYPHEN, _BYTE_ORDER_MARK = b"\xc2\xad", b"\xef\xbb\xbf"
_EMOJI = re.compile(b"\xf0\x9f[\x8c-\xab].", re.DOTALL)
_BASE64 = rb"[A-Za-z0-9+/_=\-]"
_BLOB = re.compile(rb"(?<!%b)%b{%d,}" % (_BASE64, _BASE64, MAX_BYTES + 1))
# Accents of European scripts, Hebrew points, Arabic vowel signs. Marks of other scripts are as good
# as letters: without them a word is another one.
_DIACRITIC = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u065f\u0670]"
)
# Letters that no normal form takes apart, as people without them on their keyboard type them.
_TYPED = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ŧ": "t", "œ": "oe", "æ": "ae"}
    | {"\u0131": "i"}  # the dotless i of Turkish
)
# Scripts whose words stand together: Chinese, Japanese, Korean, Thai, Lao, Burmese and Khmer, the
# last four with their vowel signs and tone marks.
_TOGETHER = (
    "\u1100-\u11ff\u3005-\u3007\u3041-\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3130-\u318f"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u1000-\u103f\u1050-\u108f\u109a-\u109d"
    "\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa76\uaa7a-\uaa7f\u1780-\u17d3\u17dc\u17dd"
)
_UNPARTED = re.compile(f"[{_TOGETHER}]")
# The marks of Brahmic scripts and of Tibetan, which \w leaves out.
_MARKS = (
    "\u0900-\u0963\u0966-\u096f\u0971-\u0df3\u0f18\u0f19\u0f35\u0f37\u0f39\u0f3e\u0f3f\u0f71-\u0f84"
    "\u0f86-\u0fbc"
)
_QUOTE = re.compile('["\u201c\u201d\u201e]')
_WORD = re.compile(f"(?P<unparted>[{_TOGETHER}]+)|(?:(?![{_TOGETHER}_])[\\w{_MARKS}])+")


def tokens(text: str) -> list[str]:
    """The words of a text, at most MAX_POSITIONS of them."""
    return words(text).decode().split()


def words(text: str) -> bytes:
    """The same with a space between two."""
    written = text.encode("utf-8", "replace")  # of a lone surrogate a question mark
    if not written.isascii():
        written = written.replace(_SOFT_HYPHEN, b"").replace(_BYTE_ORDER_MARK, b"")
        written = _PUNCTUATION.sub(b" ", _INVISIBLE.sub(b"", written))
        written = _EMOJI.sub(b" ", written)
    if _runs_on(written):
        written = _BLOB.sub(b" ", written)
    separated = written.translate(_SEPARATED)
    if not separated.isascii():
        return _bounded(" ".join(_spelled(separated.decode().split())).encode())
    while b"  " in separated:  # an object for each word would take twice as long
        separated = separated.replace(b"  ", b" ")
    return _bounded(separated.strip())


def positions(texts: Iterable[str]) -> bytes:
    """The words of several texts, an empty one where one ends: no phrase runs into the next."""
    return _bounded(b"  ".join(filter(None, map(words, texts))))


def phrases(query: str) -> list[list[str]]:
    """What a query asks for: each of these runs of tokens, somewhere in the text.

    A run comes from a "quoted phrase", where an unclosed quote reaches to the end, or from a word
    between spaces, which may be several tokens (`e-mail`). Nothing else has a meaning of its own.
    """
    parts = _QUOTE.split(query)
    asked = [
        part
        for number, text in enumerate(parts)
        for part in ([text] if number % 2 else text.split())
    ]
    found = [tokens(part) for part in asked]
    return [run for run in found if run]


def _bounded(words: bytes) -> bytes:
    if len(words) < 2 * MAX_POSITIONS:
        return words
    return b" ".join(words.split(b" ", MAX_POSITIONS)[:MAX_POSITIONS])


def _spelled(words: list[str]) -> list[str]:
    """The words with those that are not ASCII as they are compared: some become several, or none.

    Those are folded all at once: three calls for a text instead of three for a word.
    """
    folded = _folded("\n".join([word for word in words if not word.isascii()])).split("\n")
    others = iter(folded)
    return [
        token for word in words for token in ((word,) if word.isascii() else _parted(next(others)))
    ]


def _folded(text: str) -> str:
    # Composed only at the end: case folding and accents are matters of single letters.
    letters = normalize("NFKD", text)
    folded = _DIACRITIC.sub("", normalize("NFKD", letters.casefold())).translate(_TYPED)
    if folded == letters and is_normalized("NFKC", text):
        return text  # as it was: to compose kana again would take six times as long
    return normalize("NFC", folded)


def _parted(text: str) -> list[str]:
    if text.isalnum() and not _UNPARTED.search(text):
        return [_cut(text)]
    found: list[str] = []
    for run in _WORD.finditer(text):
        found += _pairs(run[0]) if run["unparted"] else (_cut(run[0]),)
    return found


def _pairs(run: str) -> list[str]:
    return [run] if len(run) == 1 else [first + second for first, second in pairwise(run)]


def _runs_on(text: bytes) -> bool:
    """Whether there are no spaces for longer than a word may be, as in most texts there are."""
    start = 0
    while len(text) - start > MAX_BYTES:
        start = text.rfind(b" ", start, start + MAX_BYTES + 1) + 1
        if not start:
            return True
    return False


def _cut(word: str) -> str:
    if len(word) <= MAX_BYTES // 4:  # no character takes more than four bytes
        return word
    return word.encode()[:MAX_BYTES].decode("utf-8", "ignore")
