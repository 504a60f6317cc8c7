"""The stored object and its messages as the API shows them (CONTRACT.md §1.2, §1.7).

The 19 recorded keys come first and in the recorded order, then every other field of the upstream's
answer. Values are carried as the bytes that were stored.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from chatkeep.core.json import spans, tolerant
from chatkeep.core.json.spans import dumps, loads
from chatkeep.core.json.tolerant import typed
from chatkeep.core.model.completion import Row, Stored, Turn
from chatkeep.core.model.ids import second_of
from chatkeep.errors import Refusal

# By key. A Raw goes into a template like the bytes it stands for. What is shown at a place of its
# own is taken out, and the rest follows.
_Members = dict[str, Raw]

_NULL = Raw(b"null")
_NONE = Raw(b"[]")
_NOTHING: Mapping[str, object] = {}
# The recorded keys in their order; the last place is for everything else.
_BEFORE_METADATA = (
    b'{"object":"chat.completion","id":%b,"model":%b,"created":%b,"request_id":"req_%b",'
    b'"tool_choice":%b,"usage":%b,"seed":%b,"top_p":%b,"temperature":%b,"presence_penalty":%b,'
    b'"frequency_penalty":%b,"system_fingerprint":%b,"input_user":%b,"service_tier":%b,"tools":%b,'
    b'"metadata":'
)
_BEHIND_METADATA = b',"choices":%b,"response_format":%b%b}'
_CHOICE = b'{"index":%b,"message":%b,"finish_reason":%b,"logprobs":%b%b}'
_MESSAGE = b'{"content":%b,"role":%b,"tool_calls":%b,"function_call":%b%b}'
# A choice with nothing else in it, filled at once with its message.
_PLAIN_CHOICE = _CHOICE % (b"%b", _MESSAGE, b"%b", b"%b", b"")
_ITEM = b'{"id":%b,"role":%b,"content":%b,"content_parts":%b,"name":%b%b}'
_PART = b'{"type":%b,"text":%b,"image_url":%b,"input_audio":%b,"file":%b%b}'
_IMAGE = b'{"url":%b,"detail":%b%b}'


def _keys(template: bytes) -> frozenset[str]:
    return frozenset(re.findall(r'"(\w+)":', template.decode()))


_STORED_KEYS = _keys(_BEFORE_METADATA + _BEHIND_METADATA)
_HIDDEN_OF_ITEM = ("id", "content_parts")  # a message's own, where ours stand


class _Asked(Struct, gc=False):
    """What the stored object shows of its request."""

    tool_choice: Raw = _NULL
    seed: Raw = _NULL
    top_p: Raw = _NULL
    temperature: Raw = _NULL
    presence_penalty: Raw = _NULL
    frequency_penalty: Raw = _NULL
    user: Raw = _NULL
    tools: Raw = _NULL
    response_format: Raw = _NULL


class _Choice(Struct, forbid_unknown_fields=True, gc=False):
    message: Annotated[_Members, Meta(min_length=1)]
    index: Raw = _NULL
    finish_reason: Raw = _NULL
    logprobs: Raw = _NULL


class _Given(Struct, forbid_unknown_fields=True, gc=False):
    """An answer that has nothing else, as most are: it is read in one go."""

    model: Raw
    created: Raw
    choices: list[_Choice]
    id: Raw = _NULL
    object: Raw = _NULL
    usage: Raw = _NULL
    service_tier: Raw = _NULL
    system_fingerprint: Raw = _NULL


_ASKED = msgspec.json.Decoder(_Asked)
_GIVEN = msgspec.json.Decoder(_Given)
_OBJECT = msgspec.json.Decoder(_Members)
_ARRAY = msgspec.json.Decoder(list[Raw])


def completion(item: Stored) -> bytes:
    """The stored object: what list, retrieve and update answer."""
    return _whole(item, "completion", _nothing)


def kept(item: Stored) -> bytes:
    """The stored object as /keep/v1 shows it: with what else is known of it."""
    return _whole(item, "kept", _kept_fields)


def _whole(item: Stored, shown_as: str, ours: Callable[[Stored], Mapping[str, object]]) -> bytes:
    halves = item.halves.get(shown_as)
    if halves is None:
        halves = item.halves[shown_as] = _halves(item, ours(item))
    before, behind = halves
    return b"".join((before, item.row.metadata, behind))


def _halves(item: Stored, ours: Mapping[str, object]) -> tuple[bytes, bytes]:
    """The object before and behind its metadata; `ours` come last."""
    row, asked = item.row, _asked(item.request)
    given, choices, others = _given(row, item.answer)
    before = _BEFORE_METADATA % (
        dumps(item.id),
        given.model,
        given.created,
        row.request_id.hex().encode(),
        asked.tool_choice,
        given.usage,
        asked.seed,
        _else(asked.top_p, b"1.0"),
        _else(asked.temperature, b"1.0"),
        _else(asked.presence_penalty, b"0.0"),
        _else(asked.frequency_penalty, b"0.0"),
        given.system_fingerprint,
        asked.user,
        given.service_tier,
        asked.tools,
    )
    rest = _rest({**others, **ours} if others else ours)
    return before, _BEHIND_METADATA % (choices, asked.response_format, rest)


def _else(value: Raw, default: bytes) -> bytes | Raw:
    return default if value is _NULL or value == _NULL else value


def _nothing(item: Stored) -> Mapping[str, object]:
    return _NOTHING


def _kept_fields(item: Stored) -> Mapping[str, object]:
    row = item.row
    return {
        "received_at": second_of(row.seq),
        "status": row.status,
        "upstream": row.upstream,
        "key": row.key,
        "duration_ms": row.duration_ms,
        "first_token_ms": row.first_token_ms,
        "cost_micro": row.cost_micro,
        "has_body": item.has_body,
    }


def deleted(id: str) -> bytes:
    return b'{"object":"chat.completion.deleted","id":%b,"deleted":true}' % dumps(id)


def turn(one: Turn) -> bytes:
    """The same as part of a conversation."""
    ours = {**_kept_fields(one.item), "parent": one.parent}
    before, behind = _halves(one.item, ours)
    return b"".join((before, one.item.row.metadata, behind))


def message_item(name: str, message: bytes) -> bytes:
    """An input message under its name, `<completion_id>-<index>`."""
    members = _members(message)
    content = members.pop("content", _NULL)
    parts = _parts(content)
    for hidden in _HIDDEN_OF_ITEM:
        members.pop(hidden, None)
    return _ITEM % (
        dumps(name),
        members.pop("role", _NULL),
        content if parts is None else dumps(" ".join(map(_part_text, parts))),
        _NULL if parts is None else b"[%b]" % b",".join(map(_part, parts)),
        members.pop("name", _NULL),
        _rest(members),
    )


def list_body(items: Iterable[bytes], first: str | None, last: str | None, more: bool) -> bytes:
    """The list envelope in the recorded key order."""
    return b'{"object":"list","data":[%s],"first_id":%s,"last_id":%s,"has_more":%s}' % (
        b",".join(items),
        dumps(first),
        dumps(last),
        b"true" if more else b"false",
    )


def _asked(request: bytes) -> _Asked:
    return typed(_ASKED, request, _odd_asked)


def _odd_asked(request: bytes) -> _Asked:
    given = _raw_fields(request)
    return _Asked(**{key: given[key] for key in _Asked.__struct_fields__ if key in given})


def _given(row: Row, answer: bytes) -> tuple[_Given, bytes | Raw, _Members]:
    """The answer's fields, its choices as they are shown, and its other members."""
    given = typed(_GIVEN, answer, _members)
    if isinstance(given, dict):
        return _odd(row, given)
    return given, b"[" + b",".join(map(_plain_choice, given.choices)) + b"]", {}


def _plain_choice(choice: _Choice) -> bytes:
    shown = _shown_message(choice.message)
    return _PLAIN_CHOICE % (choice.index, *shown, choice.finish_reason, choice.logprobs)


def _odd(row: Row, members: _Members) -> tuple[_Given, bytes | Raw, _Members]:
    """The same of any other answer, member by member."""
    given = _Given(
        members.get("model") or Raw(dumps(row.model)),
        members.get("created") or Raw(b"%d" % second_of(row.seq)),
        [],
        usage=members.get("usage", _NULL),
        service_tier=members.get("service_tier", _NULL),
        system_fingerprint=members.get("system_fingerprint", _NULL),
    )
    others = {key: value for key, value in members.items() if key not in _STORED_KEYS}
    return given, _choices(members.get("choices", _NONE)), others


def _members(text: bytes | Raw) -> _Members:
    """The members of an object; none of anything else."""
    return typed(_OBJECT, text, _raw_fields)


def _raw_fields(text: bytes) -> _Members:
    return {key: Raw(value) for key, value in tolerant.fields(text).items()}


def _elements(array: Raw) -> list[Raw]:
    """Raises NotJson when it is no array."""
    return typed(_ARRAY, array, _raw_elements)


def _raw_elements(array: bytes) -> list[Raw]:
    return [Raw(element) for element in spans.elements(array)]


def _choices(raw: Raw) -> bytes | Raw:
    try:
        return b"[%b]" % b",".join(map(_choice, _elements(raw)))
    except Refusal:
        return raw


def _choice(raw: Raw) -> bytes | Raw:
    choice = _members(raw)
    if not choice:
        return raw
    message = choice.pop("message", _NULL)
    members = _members(message)
    return _CHOICE % (
        choice.pop("index", _NULL),
        _MESSAGE % _shown_message(members) if members else message,
        choice.pop("finish_reason", _NULL),
        choice.pop("logprobs", _NULL),
        _rest(choice),
    )


def _shown_message(message: _Members) -> tuple[Raw, Raw, Raw, Raw, bytes]:
    return (
        message.pop("content", _NULL),
        message.pop("role", _NULL),
        message.pop("tool_calls", _NULL),
        message.pop("function_call", _NULL),
        _rest(message),
    )


def _parts(content: Raw) -> list[Raw] | None:
    return _elements(content) if bytes(content)[:1] == b"[" else None


def _part(raw: Raw) -> bytes | Raw:
    """A content part with all five keys, and `detail` in an image URL (CONTRACT.md D5)."""
    part = _members(raw)
    if not part:
        return raw
    return _PART % (
        part.pop("type", _NULL),
        part.pop("text", _NULL),
        _image_url(part.pop("image_url", _NULL)),
        part.pop("input_audio", _NULL),
        part.pop("file", _NULL),
        _rest(part),
    )


def _image_url(raw: Raw) -> bytes | Raw:
    image = _members(raw)
    if not image:
        return raw
    url, detail = image.pop("url", _NULL), image.pop("detail", _NULL)
    return _IMAGE % (url, detail, _rest(image))


def _part_text(raw: Raw) -> str:
    """What a part adds to the joined `content`; other kinds of part add an empty string."""
    part = loads(bytes(raw))
    if isinstance(part, str):
        return part
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""


def _rest(left: Mapping[str, object]) -> bytes:
    """What else there is, each member with the comma before it."""
    if not left:
        return b""
    try:
        return b"," + msgspec.json.encode(left)[1:-1]
    except UnicodeEncodeError:  # a lone surrogate
        return b"".join([b",%b:%b" % (dumps(key), dumps(value)) for key, value in left.items()])
