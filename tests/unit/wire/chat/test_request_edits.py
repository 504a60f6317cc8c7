"""What goes up in place of the request's bytes: the documented edits and nothing else."""

import json
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jsontexts import ObjectText, Part, objects, pairs, values

from chatkeep.core.json import spans
from chatkeep.core.wire.chat.request import read_request, upstream_body
from chatkeep.core.wire.request import StoreHeaders


class Asked(NamedTuple):
    keep_store: bool = False
    add_usage: bool = False
    model: str | None = None


KEEP, USAGE, MAPPED = Asked(keep_store=True), Asked(True, add_usage=True), Asked(True, model='m"é')


def upstream(text: bytes, asked: Asked) -> bytes:
    """The bytes that go up when the request is one for a stream without its usage."""
    request = read_request(text, StoreHeaders())
    request = msgspec.structs.replace(request, stream=True, include_usage=False)
    return upstream_body(
        request, keep_store=asked.keep_store, add_usage=asked.add_usage, model=asked.model
    )


REST = b'"model":"m","messages":[{}]'


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b'{"store":true,%b}', b"{%b}"),
        (b'{%b,"store":true}', b"{%b}"),
        (b'{"metadata":{"k":"v"},%b,"store":true}', b"{%b}"),
        (b'{"store":true,"metadata":{},%b}', b"{%b}"),
        (b'{%b , "store" : null , "metadata" : null }', b"{%b }"),
        (b'{"store":false,%b,"store":true}', b"{%b}"),
        (b'{"st\\u006fre":true,%b}', b"{%b}"),
        (b'{"x":{"store":1,"metadata":2},%b}', b'{"x":{"store":1,"metadata":2},%b}'),
        (b'{"stored":1,%b,"Store":2}', b'{"stored":1,%b,"Store":2}'),
        (b'{"a":1,"store":true,"b":2,%b}', b'{"a":1,"b":2,%b}'),
        (b'{\n  "store": true,\n  %b\n}\n', b"{\n  %b\n}\n"),
        (b'{"x":"\\ud83d","store":true,%b}', b'{"x":"\\ud83d",%b}'),
        (b'{"x":"\xc3\xa9","store":true,%b}', b'{"x":"\xc3\xa9",%b}'),
    ],
)
def test_store_and_metadata_go_wherever_they_stand_unless_kept(text: bytes, wanted: bytes) -> None:
    assert upstream(text % REST, Asked()) == wanted % REST
    assert upstream(text % REST, KEEP) == text % REST


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (b"null", b'{"include_usage":true}'),
        (b"{}", b'{"include_usage":true}'),
        (b"{ }", b'{"include_usage":true }'),
        (b'{"include_usage":false}', b'{"include_usage":true}'),
        (b'{"include_usage":null}', b'{"include_usage":true}'),
        (b'{ "include_usage" : false }', b'{ "include_usage" : true }'),
        (b'{"include_obfuscation":false}', b'{"include_usage":true,"include_obfuscation":false}'),
        (b'{"a":1,"include_usage":false,"b":2}', b'{"a":1,"include_usage":true,"b":2}'),
        (
            b'{"include_usage":false,"include_usage":null}',
            b'{"include_usage":true,"include_usage":true}',
        ),
        (b'{"include_us\\u0061ge":false}', b'{"include_us\\u0061ge":true}'),
    ],
)
def test_usage_is_asked_for_in_the_options_there_are(options: bytes, wanted: bytes) -> None:
    for text in (b'{"stream_options":%b,' + REST + b"}", b"{" + REST + b', "stream_options": %b }'):
        assert upstream(text % options, USAGE) == text % wanted
        assert upstream(text % options, KEEP) == text % options


@pytest.mark.parametrize(
    "fields", [b"", b',"stream":false', b',"stream":true,"stream_options":{"include_usage":true}']
)
def test_usage_is_asked_for_of_streams_alone_and_where_the_client_did_not(fields: bytes) -> None:
    text = b"{" + REST + fields + b"}"
    request = read_request(text, StoreHeaders())
    assert upstream_body(request, keep_store=True, add_usage=True, model=None) == text


def test_usage_is_asked_for_in_options_of_their_own_where_there_are_none() -> None:
    assert upstream(b"{ " + REST + b"}", USAGE) == (
        b'{ "stream_options":{"include_usage":true},' + REST + b"}"
    )


def test_of_repeated_options_those_that_count_ask_for_usage() -> None:
    text = b'{"stream_options":{"include_usage":true},%b,"stream_options":{"include_usage":false}}'
    assert json.loads(upstream(text % REST, USAGE))["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b'{"model":"a","messages":[{}]}', b'{"model":%b,"messages":[{}]}'),
        (
            b'{"messages":[{"model":"a"}], "model" : "a" }',
            b'{"messages":[{"model":"a"}], "model" : %b }',
        ),
        (
            b'{"model":"a","messages":[{}],"mod\\u0065l":"b"}',
            b'{"model":%b,"messages":[{}],"mod\\u0065l":%b}',
        ),
    ],
)
def test_the_model_is_named_as_the_upstream_knows_it(text: bytes, wanted: bytes) -> None:
    name = '"m\\"é"'.encode()
    assert upstream(text, MAPPED) == wanted.replace(b"%b", name)


def test_all_edits_are_made_together() -> None:
    text = b'{"store":true,"model":"a","metadata":{},"messages":[{}],"stream_options":null}'
    assert upstream(text, Asked(add_usage=True, model="b")) == (
        b'{"model":"b","messages":[{}],"stream_options":{"include_usage":true}}'
    )
    text = b'{"store":true,"model":"a","messages":[{}],"store":false}'
    assert upstream(text, Asked(add_usage=True, model="b")) == (
        b'{"stream_options":{"include_usage":true},"model":"b","messages":[{}]}'
    )


few_keys = st.sampled_from(
    ('"model"', '"messages"', '"store"', '"metadata"', '"stream_options"', '"n"', '"é"', '"x"')
)
fitting = {
    "model": st.sampled_from(('"m"', '"m\\ud83d"')),
    "messages": st.sampled_from(("[{}]", '[ {"store":1} ]', '[{"a":"\\ud83d"}]')),
    "store": st.sampled_from(("true", "null")),
    "metadata": st.sampled_from(("{}", '{ "k" : "v" }', "null")),
    "stream_options": st.sampled_from(("null", "{}", '{"a":1e3}', '{"include_usage":false,"b":2}')),
    "n": st.sampled_from(("1", "2", "null")),
}


@st.composite
def requests(draw: st.DrawFn) -> ObjectText:
    """A request that is taken, its members in any order and any number."""
    drawn = draw(objects(few_keys, st.just("0")))
    keys = [part.key for part in drawn.parts]
    keys += [key for key in ("model", "messages") if key not in keys]
    parts = []
    for key in draw(st.permutations(keys)):
        value = draw(fitting.get(key, values))
        parts.append(Part(key, f'"{key}" : {value}'.encode(), value.encode()))
    return ObjectText(b"{ " + b" , ".join(part.member for part in parts) + b" }", parts)


asked = st.builds(Asked, st.booleans(), st.booleans(), st.sampled_from((None, "other", "é\ud83d")))


@given(requests(), asked)
def test_every_member_that_is_not_edited_keeps_its_bytes_and_its_place(
    given: ObjectText, asked: Asked
) -> None:
    text = upstream(given.text, asked)
    edited = {"stream_options"} if asked.add_usage else set()
    edited |= {"model"} if asked.model is not None else set()
    gone = set() if asked.keep_store else {"store", "metadata"}
    assert untouched(text, edited) == [
        part.member for part in given.parts if part.key not in edited | gone
    ]


@given(requests(), asked)
def test_the_upstream_reads_what_was_meant(given: ObjectText, asked: Asked) -> None:
    before, after = dict(pairs(given.text)), json.loads(upstream(given.text, asked))
    wanted: dict[str, Any] = {key: json.loads(part) for key, part in last_values(given).items()}
    if not asked.keep_store:
        wanted = {key: wanted[key] for key in wanted if key not in ("store", "metadata")}
    if asked.model is not None:
        wanted["model"] = asked.model
    if asked.add_usage:
        wanted["stream_options"] = (wanted.get("stream_options") or {}) | {"include_usage": True}
    assert after == wanted
    assert set(before) >= set(after) - {"stream_options"}


@given(requests())
def test_without_an_edit_the_very_bytes_go_up(given: ObjectText) -> None:
    assert upstream(given.text, KEEP) == given.text


def untouched(text: bytes, edited: set[str]) -> list[bytes]:
    found = spans.members(text)
    return [text[member.start : member.end] for member in found if member.key not in edited]


def last_values(given: ObjectText) -> dict[str, bytes]:
    return {part.key: part.value for part in given.parts}
