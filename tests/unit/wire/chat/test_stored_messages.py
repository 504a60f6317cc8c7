"""The message items of a stored completion: the request's messages, never the answer's."""

import json
from typing import Any

import pytest
from hypothesis import given
from support.exchanges import PAGES_OF_MESSAGES, entries_of, every
from support.jsontexts import ObjectText, objects, standard, values

from chatkeep.core.json import spans
from chatkeep.core.model.ids import CompletionId
from chatkeep.core.wire.chat import stored

ID = CompletionId("chatcmpl-x")
ITEM_KEYS = ["id", "role", "content", "content_parts", "name"]
PART_KEYS = ["type", "text", "image_url", "input_audio", "file"]
WITH_AN_IMAGE = every([PAGES_OF_MESSAGES], ["GetChatCompletionMessagesWithPagination"])
WITHOUT = every([], ["GetChatCompletionMessagesWithAfterIdPagination"])


def texts(request: bytes, id: str = ID) -> list[bytes]:
    messages = spans.elements(spans.fields(request)["messages"])
    names = [f"{id}-{index}" for index in range(len(messages))]
    shown = list(map(stored.message_item, names, messages))
    assert [standard(text)["id"] for text in shown] == names
    return shown


def items(messages: Any, id: str = ID) -> list[dict[str, Any]]:
    return [standard(text) for text in texts(json.dumps({"messages": messages}).encode(), id)]


def text_of(message: bytes) -> bytes:
    (text,) = texts(b'{"messages":[%b]}' % message)
    return text


def listed(name: str) -> list[tuple[str, list[Any], list[Any]]]:
    """The id of each completion of which messages were listed, those sent and those answered."""
    sent: dict[str, list[Any]] = {}
    answered: dict[str, list[Any]] = {}
    for entry in entries_of(name):
        _, _, path = entry["uri"].partition("/chat/completions")
        if entry["status"] == 200 and entry["method"] == "POST" and not path:
            sent[entry["response_body"]["id"]] = entry["request_body"]["messages"]
        elif entry["status"] == 200 and "/messages" in path:
            answered.setdefault(path.split("/")[1], []).extend(entry["response_body"]["data"])
    return [(id, sent[id], answered[id]) for id in answered]


@pytest.mark.parametrize("name", [*WITH_AN_IMAGE, *WITHOUT])
def test_the_items_are_openais(name: str) -> None:
    ((id, sent, answered),) = listed(name)
    ours = items(sent, id)
    assert len(ours) == len(answered) == len(sent)
    for item, wanted in zip(ours, answered, strict=True):
        assert list(item) == list(wanted) == ITEM_KEYS
        for part, wanted_part in zip(
            item["content_parts"] or (), wanted["content_parts"] or (), strict=True
        ):
            assert list(part) == list(wanted_part) == PART_KEYS
        # OpenAI fetches the image; we keep its address (DESIGN.md §2).
        assert without_addresses(item) == without_addresses(wanted)


def without_addresses(item: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(json.dumps(item))
    for part in value["content_parts"] or ():
        if part["image_url"] is not None:
            assert part["image_url"].pop("url")
    return value


@pytest.mark.parametrize("name", WITH_AN_IMAGE)
def test_the_items_are_texts_and_an_image(name: str) -> None:
    ((_, _, answered),) = listed(name)
    assert [item["content_parts"] is None for item in answered] == [True, True, True, False]
    assert answered[-1]["content"] == answered[-1]["content_parts"][0]["text"] + " "


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        ([], ""),
        (["a"], "a"),
        (["Look at it: ", None], "Look at it:  "),
        ([None, "a", "b", None], " a b "),
        ([None], ""),
    ],
)
def test_the_texts_of_parts_are_joined_by_spaces(parts: list[str | None], content: str) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    sent = [image if text is None else {"type": "text", "text": text} for text in parts]
    (item,) = items([{"role": "user", "content": sent}])
    assert item["content"] == content
    assert [part["text"] for part in item["content_parts"]] == parts


def test_a_part_has_all_five_keys_and_its_other_fields_after_them() -> None:
    text = text_of(
        b'{"role":"user","content":[{"cache_control":{ },"text":"\\ud83d","type":"text"},'
        b'{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}},'
        b'{"type":"file","file":{"file_id":"f"}},'
        b'{"type":"image_url","image_url":{"x":1e3,"detail":"low","url":"u"}},'
        b'{"type":"image_url","image_url":"u"}]}'
    )
    assert text == (
        b'{"id":"chatcmpl-x-0","role":"user","content":"\\ud83d    ","content_parts":['
        b'{"type":"text","text":"\\ud83d","image_url":null,"input_audio":null,"file":null,'
        b'"cache_control":{ }},'
        b'{"type":"input_audio","text":null,"image_url":null,'
        b'"input_audio":{"data":"AA==","format":"wav"},"file":null},'
        b'{"type":"file","text":null,"image_url":null,"input_audio":null,"file":{"file_id":"f"}},'
        b'{"type":"image_url","text":null,"image_url":{"url":"u","detail":"low","x":1e3},'
        b'"input_audio":null,"file":null},'
        b'{"type":"image_url","text":null,"image_url":"u","input_audio":null,"file":null}'
        b'],"name":null}'
    )


@pytest.mark.parametrize(
    ("message", "item"),
    [
        (b'{"role":"user","content":"a"}', b'"user","content":"a"%b,"name":null}'),
        (
            b'{"content":"\\ud83d\xc3\xa9","name":"n"}',
            b'null,"content":"\\ud83d\xc3\xa9"%b,"name":"n"}',
        ),
        (
            b'{"role":"assistant","tool_calls":[ {"id":"c"} ]}',
            b'"assistant","content":null%b,"name":null,"tool_calls":[ {"id":"c"} ]}',
        ),
        (
            b'{"tool_call_id":"c","role":"tool","content":"1e3"}',
            b'"tool","content":"1e3"%b,"name":null,"tool_call_id":"c"}',
        ),
        (
            b'{"role":"user","content":1E400,"x":{"b":1,"a":-0}}',
            b'"user","content":1E400%b,"name":null,"x":{"b":1,"a":-0}}',
        ),
        (b'{"id":"mine","role":"user"}', b'"user","content":null%b,"name":null}'),
        (b"{}", b'null,"content":null%b,"name":null}'),
    ],
)
def test_every_field_of_a_message_keeps_its_bytes(message: bytes, item: bytes) -> None:
    rest = item % b',"content_parts":null'
    assert text_of(message) == b'{"id":"chatcmpl-x-0","role":' + rest


@pytest.mark.parametrize("part", [b"null", b"7", b"[]", b'{"text":5}', b'{"type":"text"}'])
def test_an_odd_part_adds_no_text_and_is_shown(part: bytes) -> None:
    value = standard(text_of(b'{"content":["a",%b,{"text":"b"}]}' % part))
    assert value["content"] == "a  b"
    shown, sent = value["content_parts"][1], json.loads(part)
    assert shown == (dict.fromkeys(PART_KEYS) | sent if isinstance(sent, dict) else sent)


def test_the_items_come_in_the_order_of_the_request() -> None:
    sent = [{"role": "user", "content": str(index)} for index in range(12)]
    assert [item["content"] for item in items(sent)] == [str(index) for index in range(12)]


def test_the_halves_of_a_pair_in_two_parts_stay_two() -> None:
    value = standard(text_of(b'{"content":[{"text":"\\ud83d"},{"text":"\\ude00"}]}'))
    assert value["content"] == "\ud83d \ude00"


@given(objects(values=values))
def test_any_message_is_shown_with_all_its_fields(message: ObjectText) -> None:
    value = standard(text_of(message.text.strip()))
    assert list(value)[:5] == ITEM_KEYS
    sent = {part.key: standard(part.value) for part in message.parts}
    known = {*ITEM_KEYS[:1], *ITEM_KEYS[2:4]}
    assert {key: value[key] for key in sent if key not in known} == {
        key: sent[key] for key in sent if key not in known
    }
