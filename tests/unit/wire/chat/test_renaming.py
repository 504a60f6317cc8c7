"""Our id in an answer or a chunk: its bytes and no other."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jsontexts import ObjectText, objects, pairs, standard, values

from chatkeep.core.model.ids import CompletionId
from chatkeep.core.wire.answer import Answer, Renamed
from chatkeep.core.wire.chat.answer import opened
from chatkeep.core.wire.chat.renaming import renamed, under

ID = CompletionId("chatcmpl-0abcdefghijklmnopqrstuvwxyzAB")
QUOTED = f'"{ID}"'.encode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[DONE]",
        b"null",
        b"[]",
        b'[{"id":"x","choices":[]}]',
        b'"choices"',
        b"{}",
        b'{"id":"x"}',
        b'{"error":{"message":"no","type":"server_error","param":null,"code":null}}',
        b'{"id":"x","error":{"choices":[]}}',
        b'{"id":"x","object":"response"}',
        b'{"id":"x","object":"text_completion"}',
        b'{"id":"x","object":"list","data":[]}',
        b'{"id":"x","object":null}',
        b'{"id":"x","object":7}',
        b'{"id":"x","choices":[]',
        b'{"id":"x","choices":[]} {}',
        b'{"id":"\xff","choices":[]}',
        b'{"id":"x","choices":' + b"[" * 100_000,
    ],
)
def test_what_is_no_completion_is_left_alone(text: bytes) -> None:
    assert renamed(text, ID) is None
    assert under(text, ID) == Renamed(text, None, Answer())


@pytest.mark.parametrize(
    ("text", "wanted", "upstream_id"),
    [
        (b'{"id":"x","choices":[]}', b'{"id":%b,"choices":[]}', "x"),
        (b'{"choices":[],"id":"x"}', b'{"choices":[],"id":%b}', "x"),
        (b' {\n "id" :\t"x" , "choices": [ ] } \n', b' {\n "id" :\t%b , "choices": [ ] } \n', "x"),
        (b'{"id":"","choices":[]}', b'{"id":%b,"choices":[]}', ""),
        (b'{"id":null,"choices":[]}', b'{"id":%b,"choices":[]}', None),
        (b'{"id":12,"choices":[]}', b'{"id":%b,"choices":[]}', None),
        (b'{"id":{"a":1},"choices":[]}', b'{"id":%b,"choices":[]}', None),
        (b'{"id":"a\\"b","choices":[]}', b'{"id":%b,"choices":[]}', 'a"b'),
        (b'{"\\u0069d":"x","choices":[]}', b'{"\\u0069d":%b,"choices":[]}', "x"),
        (b'{"choices":[]}', b'{"id":%b,"choices":[]}', None),
        (b'{ "choices":[]}', b'{ "id":%b,"choices":[]}', None),
        (b'{"object":"chat.completion"}', b'{"id":%b,"object":"chat.completion"}', None),
        (
            b'{"id":"x","object":"chat.completion.chunk"}',
            b'{"id":%b,"object":"chat.completion.chunk"}',
            "x",
        ),
        (b'{"choices":[{"id":"x"}],"id":"y"}', b'{"choices":[{"id":"x"}],"id":%b}', "y"),
        (
            b'{"id":"x","choices":null,"error":{"id":"x"}}',
            b'{"id":%b,"choices":null,"error":{"id":"x"}}',
            "x",
        ),
        (b'{"a":"\\ud83d","id":"x","choices":[]}', b'{"a":"\\ud83d","id":%b,"choices":[]}', "x"),
        (
            b'{"a":"\xc3\xa9","id":"x","choices":[1e3]}',
            b'{"a":"\xc3\xa9","id":%b,"choices":[1e3]}',
            "x",
        ),
    ],
)
def test_the_id_is_replaced_or_added_and_nothing_else(
    text: bytes, wanted: bytes, upstream_id: str | None
) -> None:
    found = renamed(text, ID)
    assert found is not None
    assert (found.text, found.upstream_id) == (wanted % QUOTED, upstream_id)
    assert under(text, ID) == found


@pytest.mark.parametrize("ids", [("x", "y"), ("x", "x"), ("", "x"), ("x", "y", "x")])
def test_of_a_repeated_id_the_one_that_readers_take_is_replaced(ids: tuple[str, ...]) -> None:
    members = "".join(f'"id":"{id}",' for id in ids)
    text = f'{{{members}"choices":[]}}'.encode()
    found = renamed(text, ID)
    assert found is not None
    assert standard(found.text)["id"] == ID
    assert found.upstream_id == ids[-1]


keys = st.sampled_from(
    ('"id"', '"object"', '"choices"', '"model"', '"\\u0069d"', '"é"', '"\\ud83d"')
)
field_values = values | st.sampled_from(('"chat.completion"', '"chat.completion.chunk"', '"x"'))


@given(objects(keys, field_values))
def test_any_completion_reads_the_same_but_for_its_id(given: ObjectText) -> None:
    found = renamed(given.text, ID)
    before = pairs(given.text)
    if found is None:
        kinds = [value for key, value in before if key == "object"]
        assert "choices" not in dict(before)
        assert not kinds or not str(kinds[-1]).startswith("chat.completion")
        return
    assert others(pairs(found.text)) == others(before)
    assert standard(found.text)["id"] == ID
    assert len(found.text) - found.text.count(QUOTED) * len(QUOTED) <= len(given.text) + len(
        '"id":,'
    )


choices = values.map(lambda value: f'[{{"message":{{"content":{value}}}}},{{}},{value}]')


@given(objects(keys, field_values | choices))
def test_what_is_searched_is_the_same_under_our_id(given: ObjectText) -> None:
    found = under(given.text, ID)
    assert found.read.texts == opened(found.text).read.texts


def others(members: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in members if key != "id"]
