"""How the deltas of a message merge."""

from typing import Any

import pytest

from chatkeep.core.stream.chat.delta import merge, plain


def merged(*deltas: dict[str, Any]) -> Any:
    message: dict[str, Any] = {}
    for delta in deltas:
        merge(message, delta)
    return plain(message)


def calls(*deltas: Any) -> Any:
    """The assembled calls of deltas that bring one item, or a list of them, each."""
    lists = [delta if isinstance(delta, list) else [delta] for delta in deltas]
    return merged(*({"tool_calls": items} for items in lists))["tool_calls"]


def call(name: str | None = None, arguments: str | None = None, **keys: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {
        **keys,
        "function": {key: value for key, value in function.items() if value is not None},
    }


@pytest.mark.parametrize("absurd", [7, True, "x", {"a": 1}, [1], [None], [["x"]]])
@pytest.mark.parametrize("key", ["content", "role", "tool_calls", "reasoning_details", "audio"])
def test_absurd_types_never_cost_what_came_before(key: str, absurd: Any) -> None:
    sensible = {
        "content": "hello",
        "role": "assistant",
        "tool_calls": [{"index": 0, "id": "a"}],
        "reasoning_details": [{"index": 0, "text": "hm"}],
        "audio": {"id": "a"},
    }
    before = merged(sensible)
    after = merged(sensible, {key: absurd}, {key: None})
    assert after.keys() == before.keys()
    if not isinstance(absurd, list) and type(absurd) is not type(sensible[key]) and key != "role":
        assert after == before


@pytest.mark.parametrize("index", [-1, "0", 10**30, 1.5, True, {}, None])
def test_an_absurd_index_of_a_call_counts_as_none(index: Any) -> None:
    assert calls(call("f", "{", id="a", index=index), call(arguments="}", index=index)) == [
        {"id": "a", "function": {"name": "f", "arguments": "{}"}}
    ]


def test_a_function_that_is_no_object_is_no_function_name() -> None:
    assert calls({"index": 0, "function": "f"}, {"index": 0, "function": ["f"]}) == [
        {"function": "f"}
    ]


def test_strings_join_and_null_changes_nothing() -> None:
    assert merged(
        {"content": None, "refusal": None},
        {"content": "a", "reasoning_content": "x"},
        {"content": None},
        {"content": "b", "reasoning_content": "y"},
    ) == {"content": "ab", "refusal": None, "reasoning_content": "xy"}


def test_role_type_and_index_are_overwritten_but_not_with_nothing() -> None:
    deltas = ({"role": "user", "x": {"type": "a", "index": 1}}, {"role": "assistant"}, {"role": ""})
    assert merged(*deltas, {"x": {"type": "b", "index": 2}}) == {
        "role": "assistant",
        "x": {"type": "b", "index": 2},
    }


def test_numbers_and_booleans_are_overwritten_and_never_added() -> None:
    assert merged({"n": 1, "b": False}, {"n": 41, "b": True}) == {"n": 41, "b": True}


def test_an_unknown_object_merges_and_an_unknown_list_grows() -> None:
    first = {"x": {"a": "1", "b": {"c": "2"}}, "sources": ["u"]}
    second = {"x": {"a": "3", "b": {"c": "4", "d": 5}}, "sources": ["v", {"url": "w"}]}
    assert merged(first, second) == {
        "x": {"a": "13", "b": {"c": "24", "d": 5}},
        "sources": ["u", "v", {"url": "w"}],
    }


def test_something_replaces_what_is_empty() -> None:
    empty = {"a": "", "b": [], "c": {}}
    assert merged(empty, {"a": {"x": 1}, "b": "y", "c": [2]}) == {"a": {"x": 1}, "b": "y", "c": [2]}


def test_a_string_replaces_a_number_but_nothing_replaces_a_string() -> None:
    assert merged({"a": 0, "b": "text"}, {"a": "x", "b": 0}) == {"a": "x", "b": "text"}


def test_a_tool_call_comes_in_pieces() -> None:
    pieces = [call("get_", "", index=0, id="a", type="function"), call("weather", '{"c', index=0)]
    assert calls(*pieces, call(arguments='ity":1}', index=0)) == [
        {
            "id": "a",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city":1}'},
        }
    ]


def test_a_name_and_an_id_sent_with_every_piece_are_kept_once() -> None:
    pieces = [call("f", piece, index=0, id="a", type="function") for piece in "{}"]
    assert calls(*pieces) == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]


def test_the_first_id_that_is_not_empty_is_kept() -> None:
    assert calls({"index": 0, "id": ""}, {"index": 0, "id": "a"}, {"index": 0, "id": "b"}) == [
        {"id": "a"}
    ]


def test_parallel_calls_are_told_apart_by_index_and_come_out_in_its_order() -> None:
    opened = [call("g", "", index=1, id="b"), call("f", "", index=0, id="a")]
    pieces = [call(arguments="1", index=0), call(arguments="2", index=1)]
    assert calls(opened, *pieces) == [call("f", "1", id="a"), call("g", "2", id="b")]


def test_calls_that_all_have_index_0_are_told_apart_by_id_and_name() -> None:
    assert calls(
        call("f", "{", index=0, id="a"),
        call(arguments="}", index=0),
        call("f", "[", index=0, id="b"),
        call(arguments="]", index=0, id="b"),
        call("f", "!", index=0, id="a"),
    ) == [call("f", "{}!", id="a"), call("f", "[]", id="b")]
    custom = [{"index": 0, "id": id, "custom": {"name": "f", "input": id}} for id in "ab"]
    assert [one["id"] for one in calls(*custom)] == ["a", "b"]


def test_calls_without_an_index_are_told_apart_by_id() -> None:
    assert calls(
        call("f", "{", id="a"),
        call(arguments="}"),
        call("g", "[", id="b"),
        call(arguments="]", id="b"),
        call(arguments="!", id="a"),
    ) == [call("f", "{}!", id="a"), call("g", "[]", id="b")]


def test_calls_without_index_and_id_in_one_delta_are_different_calls() -> None:
    assert calls([call("f", "{}"), call("f", "[]")]) == [call("f", "{}"), call("f", "[]")]


def test_a_call_without_index_and_id_goes_on_in_the_next_delta() -> None:
    assert calls(call("f", "{"), call("f", "1"), call(arguments="}")) == [call("f", "{1}")]


def test_a_call_without_an_index_stands_behind_the_one_before_it() -> None:
    assert calls(
        call("f", "", id="a", index=1), call("g", "", id="b"), call("h", "", id="c", index=0)
    ) == [call("h", "", id="c"), call("f", "", id="a"), call("g", "", id="b")]


def test_an_index_0_left_out_is_still_index_0() -> None:
    assert calls(
        call("f", "{", id="a"),
        call("g", "[", id="b", index=1),
        call(arguments="}", index=0),
        call(arguments="]", index=1),
    ) == [call("f", "{}", id="a"), call("g", "[]", id="b")]


def test_a_function_call_and_a_custom_call_merge_like_any_object() -> None:
    assert merged(
        {"function_call": {"name": "f", "arguments": "{"}},
        {"function_call": {"arguments": "}"}},
        {"tool_calls": [{"index": 0, "type": "custom", "custom": {"name": "g", "input": "a"}}]},
        {"tool_calls": [{"index": 0, "custom": {"input": "b"}}]},
    ) == {
        "function_call": {"name": "f", "arguments": "{}"},
        "tool_calls": [{"type": "custom", "custom": {"name": "g", "input": "ab"}}],
    }


def test_reasoning_details_merge_by_index_and_signatures_are_overwritten() -> None:
    first = {"type": "reasoning.text", "text": "Let", "format": "v1", "index": 0, "id": None}
    second = {"type": "reasoning.text", "text": " me", "signature": "early", "index": 0}
    last = {"type": "reasoning.text", "signature": "s", "index": 0, "id": "r"}
    other = {"type": "reasoning.summary", "summary": "a", "index": 1}
    details = [[first], [second], [last], [other], [{"summary": "b", "index": 1}], [{"text": "x"}]]
    assert merged(*({"reasoning_details": items} for items in details))["reasoning_details"] == [
        {**first, "text": "Let me", "signature": "s", "id": "r"},
        {"type": "reasoning.summary", "summary": "ab", "index": 1},
        {"text": "x"},
    ]


def test_reasoning_details_of_another_type_under_the_same_index_stay_apart() -> None:
    text = {"type": "reasoning.text", "text": "a", "index": 0}
    encrypted = {"type": "reasoning.encrypted", "data": "b", "index": 0}
    assert merged({"reasoning_details": [text]}, {"reasoning_details": [encrypted]}) == {
        "reasoning_details": [text, encrypted]
    }


def test_content_parts_of_one_type_become_one_part() -> None:
    image = {"type": "image", "url": "e"}

    def thought(text: str) -> dict[str, Any]:
        return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}

    deltas = ["", [thought("a")], [thought("b")], "c", "", "d", [image], [image]]
    assert merged(*({"content": content} for content in deltas))["content"] == [
        thought("ab"),
        {"type": "text", "text": "cd"},
        image,
        image,
    ]


def test_a_text_before_content_parts_becomes_one() -> None:
    assert merged({"content": "a"}, {"content": [{"type": "text", "text": "b"}, 7]}) == {
        "content": [{"type": "text", "text": "ab"}, 7]
    }


def test_very_many_pieces_take_linear_time() -> None:
    # Joining at every piece would take minutes here.
    message: dict[str, Any] = {}
    piece = {"content": "x", "tool_calls": [call("n", "y" * 10, index=0)], "reasoning": "z" * 10}
    count = 100_000
    for _ in range(count):
        merge(message, piece)
    assert len(plain(message)["tool_calls"][0]["function"]["arguments"]) == 10 * count
