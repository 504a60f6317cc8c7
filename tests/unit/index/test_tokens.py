"""Words of full text search: what is one, what is the same one, and what a query asks for."""

import string
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.store.index.tokens import MAX_BYTES, MAX_POSITIONS, phrases, tokens

# Letters of many scripts, accents, ligatures, odd spaces and what is no character at all.
TELLING = (
    "aAzZ09 _-.'\"\t\n\0 ßẞéÉ\u0301\u0308\u0323\u0131İ\u017fΣ\u03c3ςﬁ㎏½²Ⅷ…\u00a0\u200b\u200d"
    "\u2028\ufeff\ud800\udfff東京都々\u3007あがパﾊﾟ\u3099ー한국\u1112\u1161어हिन्दीภาษาไทยעִبَـ한ᾳ\u0345"
    "😀👩\u20dd≮\u0338𠀋\u0391Ἂ"
)
INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\ufeff"
texts = st.text(st.one_of(st.sampled_from(TELLING), st.characters()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\n.,;:!?'\"()[]{}<>/\\|-_=+*&^%$#@~`", []),
        ("Hello, World!", ["hello", "world"]),
        ("get_user-details(order_id='#W123')", ["get", "user", "details", "order", "id", "w123"]),
        ("3.14 1,000 v2", ["3", "14", "1", "000", "v2"]),
        ("don't don\u2019t", ["don", "t", "don", "t"]),
        ("Crème BRÛLÉE", ["creme", "brulee"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("\ufb01ne \uff26\uff55\uff4c\uff4c", ["fine", "full"]),
        ("x\u00b2 \u216b \u00bd", ["x2", "xii", "1", "2"]),
        ("ΟΔΥΣΣΕΥΣ Ὀδυσσεύς", ["οδυσσευσ", "οδυσσευσ"]),
        ("Ёлка й", ["елка", "и"]),
        ("İstanbul", ["istanbul"]),
        ("a\0b\ud800c", ["a", "b", "c"]),
        ("wait\u2014what\u2026 \U0001f600yes", ["wait", "what", "yes"]),
        ("東京都", ["東京", "京都"]),
        ("東", ["東"]),
        ("東京2024年", ["東京", "2024", "年"]),
        ("カード ｶｰﾄﾞ", ["カー", "ード", "カー", "ード"]),
        ("か が", ["か", "が"]),
        ("ケン・ミヤ。", ["ケン", "ミヤ"]),
        ("한국어", ["한국", "국어"]),
        ("हिन्दी है।", ["हिन्दी", "है"]),
        ("ภาษาไทย", ["ภา", "าษ", "ษา", "าไ", "ไท", "ทย"]),
        ("น้ำ 2568 บาท", ["น\u0e49", "\u0e49\u0e4d", "\u0e4d\u0e32", "2568", "บา", "าท"]),
        ("ພາສາລາວ", ["ພາ", "າສ", "ສາ", "າລ", "ລາ", "າວ"]),
        ("ភាសាខ្មែរ", ["ភា", "ាស", "សា", "ាខ", "ខ្", "្ម", "មែ", "ែរ"]),
        ("မြန်မာ", ["မြ", "ြန", "န်", "်မ", "မာ"]),
        (
            "Łódź Ørsted đak œuvre ÆTHER \u0131rmak",
            ["lodz", "orsted", "dak", "oeuvre", "aether", "irmak"],
        ),
        ("þing Ħal ŧ ð", ["thing", "hal", "t", "d"]),
        ("co\u00adoperate", ["cooperate"]),
        ("zero\u200bwidth\ufeffjoin\u2060ed", ["zerowidthjoined"]),
        ("\u0645\u06cc\u200c\u062e\u0648", ["\u0645\u06cc\u062e\u0648"]),
        ("\u202b\u05e9\u05dc\u202c\u200f", ["\u05e9\u05dc"]),
        ("ភា\u200bសា", ["ភា", "ាស", "សា"]),
        ("שָׁלוֹם سَلَام", ["שלום", "سلام"]),
    ],
)
def test_a_text_is_parted_into_words(text: str, words: list[str]) -> None:
    assert tokens(text) == words


@pytest.mark.parametrize("character", INVISIBLE)
@pytest.mark.parametrize("word", ["cooperate", "éclair", "東京都", "ภาษาไทย"])
def test_what_nobody_sees_parts_no_word(word: str, character: str) -> None:
    assert tokens(f"{word[:2]}{character}{word[2:]}") == tokens(word)


@given(texts)
def test_the_words_of_words_are_themselves(text: str) -> None:
    words = tokens(text)
    assert tokens(" ".join(words)) == words


@given(st.text(st.one_of(st.sampled_from(TELLING), st.characters(exclude_categories=["Cs"]))))
def test_composed_and_decomposed_text_has_the_same_words(text: str) -> None:
    words = tokens(text)
    for form in ("NFC", "NFD"):
        assert tokens(normalize(form, text)) == words


@given(texts)
def test_a_word_is_text_without_separators_within_its_bounds(text: str) -> None:
    for word in tokens(text):
        assert 0 < len(word.encode()) <= MAX_BYTES
        assert not set(word) & set(string.punctuation + string.whitespace + string.ascii_uppercase)


@given(texts, st.sampled_from(" .,-/\n\"'"), texts)
def test_what_stands_behind_a_separator_changes_no_word_before_it(
    before: str, separator: str, behind: str
) -> None:
    assert tokens(before + separator + behind) == tokens(before) + tokens(behind)


@pytest.mark.parametrize("letter", ["é", "\u0924", "\U00010428"])
def test_a_long_word_is_cut_between_letters(letter: str) -> None:
    (word,) = tokens(letter * 1000)
    assert len(word.encode()) > MAX_BYTES - 4
    assert tokens(letter * 1000 + "y") == [word]
    assert tokens(word) == [word]


def test_a_word_of_many_letters_is_one() -> None:
    assert tokens(f"see {'x' * MAX_BYTES} there") == ["see", "x" * MAX_BYTES, "there"]


@pytest.mark.parametrize("size", [MAX_BYTES + 1, 400, 200_000])
def test_base64_within_a_text_is_no_word(size: int) -> None:
    blob = ("QUJD+/0=" * size)[:size]
    words = ["see", "data", "image", "png", "base64"]
    assert tokens(f"see data:image/png;base64,{blob} there") == [*words, "there"]
    assert tokens(f"\u201csee\u201d data:image/png;base64,{blob}") == words


@pytest.mark.parametrize(("first", "last"), [("\u2000", "\u203f"), ("\U0001f300", "\U0001faff")])
def test_punctuation_and_emoji_part_words(first: str, last: str) -> None:
    for character in map(chr, range(ord(first), ord(last) + 1)):
        if character in INVISIBLE:
            continue
        assert not any(part.isalnum() for part in normalize("NFKD", character)), character
        assert tokens(f"a{character}b é{character}") == ["a", "b", "e"]


@pytest.mark.parametrize("text", ["a ", "東"])
def test_the_words_of_a_long_text_are_bounded(text: str) -> None:
    assert len(tokens(text * (MAX_POSITIONS * 2))) == MAX_POSITIONS


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", []),
        ("   ", []),
        ("?!", []),
        ('""', []),
        ('" - "', []),
        ("one Two", [["one"], ["two"]]),
        ('"one Two"', [["one", "two"]]),
        ('three "one two" four', [["three"], ["one", "two"], ["four"]]),
        ('three"one two"four', [["three"], ["one", "two"], ["four"]]),
        ('three "one two', [["three"], ["one", "two"]]),
        ('"', []),
        ("\u201cone two\u201d", [["one", "two"]]),
        ("e-mail", [["e", "mail"]]),
        ("東京都", [["東京", "京都"]]),
        ("a AND (b OR NOT c*)", [["a"], ["and"], ["b"], ["or"], ["not"], ["c"]]),
        ("text:word ^a {b}", [["text", "word"], ["a"], ["b"]]),
        ("a\u3000b", [["a"], ["b"]]),
    ],
)
def test_a_query_asks_for_words_and_phrases(query: str, wanted: list[list[str]]) -> None:
    assert phrases(query) == wanted


@given(st.text())
def test_no_query_is_an_error(query: str) -> None:
    assert all(run and all(run) for run in phrases(query))
