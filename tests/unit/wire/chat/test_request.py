"""A create request: refusals in OpenAI's order and words, then what is read of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jsontexts import ObjectText, objects, pairs, values

from chatkeep.core.wire.chat.request import read_request
from chatkeep.core.wire.request import CreateRequest, StoreHeaders, store_headers
from chatkeep.errors import InvalidHeader, NestedTooDeep, NotJson, Refusal

NONE = StoreHeaders()
DEEP = 100_000
SEVENTEEN = json.dumps({str(i): "" for i in range(17)})
NOT_JSON = "We could not parse the JSON body of your request. (HINT: This likely means you aren't"


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user"}], **fields}).encode()


def read(**fields: Any) -> CreateRequest:
    return read_request(body(**fields), NONE)


def refusal(text: bytes, extra: StoreHeaders = NONE) -> Refusal:
    with pytest.raises(Refusal) as refused:
        read_request(text, extra)
    assert (refused.value.status, refused.value.type) == (400, "invalid_request_error")
    return refused.value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b'[{"model":"m"}]',
        b'{"model":"m","messages":[{}]',
        b'{"model":"m","messages":[{}]} {}',
        b'{"model":"m","messages":[{}],}',
        b'{"model":"m","messages":[{}],"x":01}',
        b'{"model":"m","messages":[{}],"x":NaN}',
        b'{"model":"m","messages":[{"a":"\\q"}]}',
        b'{"model":"m","messages":[{"a":"\xff"}]}',
        b'{"model":"m","messages":[{}],"x":"\xed\xa0\xbd"}',
        b'\xef\xbb\xbf{"model":"m","messages":[{}]}',
        '{"model":"m","messages":[{}]}'.encode("utf-16"),
        b"model=m&messages=hi",
    ],
)
def test_a_body_that_is_no_json_object_in_utf8_is_refused(text: bytes) -> None:
    error = refusal(text)
    assert isinstance(error, NotJson)
    assert error.message.startswith(NOT_JSON)
    assert (error.param, error.code) == (None, None)


@pytest.mark.parametrize("deep", [b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP])
@pytest.mark.parametrize("where", ["x", "messages", "metadata", "tools", "stream_options", "model"])
def test_a_body_nested_too_deep_is_refused(deep: bytes, where: str) -> None:
    given = {"model": b'"m"', "messages": b"[{}]", "s": b'"\\ud83d"'} | {where: deep}
    text = b"{" + b",".join(b'"%b":%b' % (key.encode(), given[key]) for key in given) + b"}"
    for one in (text, text.replace(b'"\\ud83d"', b"1")):
        assert isinstance(refusal(one), NestedTooDeep)


@pytest.mark.parametrize(
    ("fields", "param", "expected", "got"),
    [
        ({"model": 7}, "model", "a string", "an integer"),
        ({"model": ["m"]}, "model", "a string", "an array"),
        ({"messages": "hi"}, "messages", "an array of objects", "a string"),
        ({"messages": {}}, "messages", "an array of objects", "an object"),
        ({"messages": 1.5}, "messages", "an array of objects", "a decimal number"),
        ({"messages": [{}, "hi"]}, "messages[1]", "an object", "a string"),
        ({"messages": [None]}, "messages[0]", "an object", "null"),
        ({"n": "2"}, "n", "an integer", "a string"),
        ({"n": 1.0}, "n", "an integer", "a decimal number"),
        ({"n": True}, "n", "an integer", "a boolean"),
        ({"stream": "true"}, "stream", "a boolean", "a string"),
        ({"stream": 1}, "stream", "a boolean", "an integer"),
        ({"stream_options": []}, "stream_options", "an object", "an array"),
        (
            {"stream_options": {"include_usage": 1}},
            "stream_options.include_usage",
            "a boolean",
            "an integer",
        ),
        ({"store": "true"}, "store", "a boolean", "a string"),
        ({"store": 0}, "store", "a boolean", "an integer"),
        ({"metadata": []}, "metadata", "a metadata object", "an array"),
        ({"metadata": {"k": 10**30}}, "metadata.k", "a string", "an integer"),
    ],
)
def test_a_field_of_another_type_is_refused(
    fields: dict[str, Any], param: str, expected: str, got: str
) -> None:
    for text in (body(**fields), body(**fields, other="\ud83d")):
        error = refusal(text)
        assert (error.param, error.code) == (param, "invalid_type")
        assert error.message == (
            f"Invalid type for '{param}': expected {expected}, but got {got} instead."
        )


@pytest.mark.parametrize(
    ("fields", "message", "param", "code"),
    [
        ({"model": None}, "you must provide a model parameter", None, None),
        ({"model": ""}, "you must provide a model parameter", None, None),
        (
            {"messages": None},
            "Missing required parameter: 'messages'.",
            "messages",
            "missing_required_parameter",
        ),
        (
            {"messages": []},
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an"
            " empty array instead.",
            "messages",
            "empty_array",
        ),
        (
            {"n": 0},
            "Invalid 'n': integer below minimum value. Expected a value >= 1, but got 0 instead.",
            "n",
            "integer_below_min_value",
        ),
        (
            {"n": -(10**30)},
            "Invalid 'n': integer below minimum value. Expected a value >= 1, but got"
            f" {-(10**30)} instead.",
            "n",
            "integer_below_min_value",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_openais_words(
    fields: dict[str, Any], message: str, param: str | None, code: str | None
) -> None:
    for text in (body(**fields), body(**fields, other="\ud83d")):
        error = refusal(text)
        assert (error.message, error.param, error.code) == (message, param, code)


def test_a_field_that_is_absent_is_refused_like_null() -> None:
    assert refusal(b'{"messages":[{}]}').message == "you must provide a model parameter"
    assert refusal(b'{"model":"m"}').message == "Missing required parameter: 'messages'."


# One fault each, in the order in which OpenAI tells of them (CONTRACT.md §3).
IN_ORDER: list[tuple[str, Any]] = [
    ("model", None),
    ("messages", []),
    ("stream", "yes"),
    ("store", "yes"),
    ("metadata", "yes"),
]


@pytest.mark.parametrize("first", range(len(IN_ORDER)))
def test_of_several_faults_the_first_in_openais_order_is_told(first: int) -> None:
    faults = dict(IN_ORDER[first:])
    alone = refusal(body(**{IN_ORDER[first][0]: IN_ORDER[first][1]}))
    assert refusal(body(**faults)).message == alone.message
    assert refusal(body(**dict(reversed(faults.items())))).message == alone.message


@pytest.mark.parametrize(
    "extra", [{}, {"store": None, "metadata": None, "stream": None, "n": None}]
)
def test_without_the_fields_we_act_on_the_defaults_hold(extra: dict[str, None]) -> None:
    found = read(**extra)
    assert (found.model, found.n, found.stream, found.include_usage) == ("m", 1, False, False)
    assert (found.store, found.metadata) == (None, {})


def test_the_fields_we_act_on_are_read() -> None:
    found = read(
        n=3, stream=True, store=True, metadata={"k": "v"}, stream_options={"include_usage": True}
    )
    assert (found.model, found.n, found.stream, found.include_usage) == ("m", 3, True, True)
    assert (found.store, found.metadata) == (True, {"k": "v"})
    assert read(store=False).store is False


@pytest.mark.parametrize("options", [None, {}, {"include_usage": None}, {"include_usage": False}])
def test_usage_is_wanted_only_when_asked_for(options: Any) -> None:
    assert read(stream_options=options).include_usage is False


def test_fields_we_do_not_act_on_are_the_upstreams_business() -> None:
    odd = {"temperature": "hot", "tools": 7, "colour": [], "functions": None, "user": {}}
    found = read(**odd, messages=[{"role": 5, "content": {}}])
    assert found.messages == [b'{"role": 5, "content": {}}']


def test_metadata_without_store_is_taken_and_checked() -> None:
    assert read(metadata={"k": "v"}).metadata == {"k": "v"}
    assert refusal(body(metadata={"k" * 65: ""})).code == "property_name_above_max_length"


def test_of_a_repeated_field_the_last_counts() -> None:
    text = (
        b'{"model":"a","messages":[],"store":false,"n":0,"model":"b","messages":[{"a":1}],'
        b'"store":true,"n":2}'
    )
    for one in (text, text.replace(b'{"a":1}', b'{"a":"\\ud83d"}')):
        found = read_request(one, NONE)
        assert (found.model, found.store, found.n, len(found.messages)) == ("b", True, 2, 1)


@given(objects(values=values), st.booleans())
def test_the_body_is_kept_as_received_beside_its_messages(
    other: ObjectText, with_tools: bool
) -> None:
    message = other.text.strip()
    tools = b',"tools": [ %b ]' % message if with_tools else b""
    text = b' { "messages" :[%b , {"role":"user"}], "model":"m"%b }\n' % (message, tools)
    found = read_request(text, NONE)
    assert found.body == text
    assert found.messages == [message, b'{"role":"user"}']
    assert found.aside == ((b"[ %b ]" % message,) if with_tools else ())


@given(objects(st.sampled_from(('"model"', '"messages"', '"store"', '"n"', '"x"')), values))
def test_any_object_is_refused_or_read_and_never_an_error_of_another_kind(
    given: ObjectText,
) -> None:
    try:
        found = read_request(given.text, NONE)
    except Refusal:
        return
    last = dict(pairs(given.text))
    assert (found.model, found.n) == (last["model"], last.get("n") or 1)


@pytest.mark.parametrize("value", ["", "yes", "1", "null", "truee", "True false"])
def test_a_store_header_that_says_neither_is_refused(value: str) -> None:
    with pytest.raises(InvalidHeader) as refused:
        store_headers({b"x-chatkeep-store": value.encode()})
    assert "x-chatkeep-store" in refused.value.message
    assert repr(value) in refused.value.message
    assert (refused.value.status, refused.value.code) == (400, "invalid_header")


@pytest.mark.parametrize(
    "value", ["", "{", "k=v", '{"k":"\xff"}', '{"k":"\xed\xa0\xbd"}', "[" * DEEP]
)
def test_a_metadata_header_that_is_no_json_in_utf8_is_refused(value: str) -> None:
    with pytest.raises(InvalidHeader) as refused:
        store_headers({b"x-chatkeep-metadata": value.encode("latin-1")})
    assert refused.value.param == "x-chatkeep-metadata"


@pytest.mark.parametrize(
    ("value", "param", "code"),
    [
        ("[]", "x-chatkeep-metadata", "invalid_type"),
        ('"k"', "x-chatkeep-metadata", "invalid_type"),
        ('{"k":1}', "x-chatkeep-metadata.k", "invalid_type"),
        ('{"k":"\\u0000"}', "x-chatkeep-metadata.k", "invalid_value"),
        ('{"k":"\\ud83d"}', "x-chatkeep-metadata.k", "invalid_value"),
        (SEVENTEEN, "x-chatkeep-metadata", "object_above_max_properties"),
    ],
)
def test_metadata_of_a_header_has_the_same_limits(value: str, param: str, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        store_headers({b"x-chatkeep-metadata": value.encode("latin-1")})
    assert (refused.value.param, refused.value.code) == (param, code)


def test_too_many_pairs_of_header_and_body_together_are_refused() -> None:
    header = StoreHeaders(metadata={f"h{i}": "" for i in range(9)})
    error = refusal(body(metadata={f"b{i}": "" for i in range(8)}), header)
    assert (error.param, error.code) == ("metadata", "object_above_max_properties")
    both = read_request(body(metadata={f"h{i}": "b" for i in range(16)}), header)
    assert both.metadata == {f"h{i}": "b" for i in range(16)}


def test_headers_are_read_in_any_case_of_letters_and_as_utf8() -> None:
    assert store_headers({}) == StoreHeaders(None, {})
    assert store_headers({b"x-chatkeep-store": b"TRUE"}).store is True
    assert store_headers({b"x-chatkeep-store": b"false"}).store is False
    on_the_wire = '{"k":"é😀"}'.encode()
    assert store_headers({b"x-chatkeep-metadata": on_the_wire}).metadata == {"k": "é😀"}
    assert store_headers({b"x-chatkeep-metadata": b"null"}).metadata == {}


@pytest.mark.parametrize(
    ("in_header", "in_body", "wanted"),
    [
        (None, None, None),
        (True, None, True),
        (False, None, False),
        (True, False, False),
        (False, True, True),
        (None, True, True),
    ],
)
def test_what_the_body_says_of_store_wins(
    in_header: bool | None, in_body: bool | None, wanted: bool | None
) -> None:
    extra = StoreHeaders(store=in_header)
    assert read_request(body(store=in_body), extra).store is wanted
    if in_body is None:
        assert read_request(body(), extra).store is wanted


maps = st.dictionaries(st.sampled_from("abcde"), st.text("xyz", max_size=2))


@given(maps, maps)
def test_metadata_of_header_and_body_are_merged_and_the_body_wins(
    header: dict[str, str], own: dict[str, str]
) -> None:
    found = read_request(body(metadata=own), StoreHeaders(metadata=header)).metadata
    assert set(found) == set(header) | set(own)
    assert all(found[key] == own.get(key, header.get(key)) for key in found)
