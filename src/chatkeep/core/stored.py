"""The stored object and its messages as the API shows them (CONTRACT.md §1.2, §1.7).

The 19 recorded keys come first and in the recorded order, then every other field of the upstream's
answer. Values are carried as the bytes that were stored.
"""

import re
from collections.abc import Container, Iterable

from chatkeep.core import jsonspan
from chatkeep.core.ids import second_of
from chatkeep.core.jsonspan import dumps, loads
from chatkeep.core.model import Stored
from chatkeep.errors import Refusal

Fields = dict[str, bytes]  # raw JSON by key, the last of a repeated key

_NULL = b"null"
_NO_FIELDS: Fields = {}
# The recorded keys in their order; the last place is for everything else.
_STORED = (
    b'{"object":"chat.completion","id":%b,"model":%b,"created":%b,"request_id":"req_%b",'
    b'"tool_choice":%b,"usage":%b,"seed":%b,"top_p":%b,"temperature":%b,"presence_penalty":%b,'
    b'"frequency_penalty":%b,"system_fingerprint":%b,"input_user":%b,"service_tier":%b,"tools":%b,'
    b'"metadata":%b,"choices":%b,"response_format":%b%b}'
)
_CHOICE = b'{"index":%b,"message":%b,"finish_reason":%b,"logprobs":%b%b}'
_MESSAGE = b'{"content":%b,"role":%b,"tool_calls":%b,"function_call":%b%b}'
_ITEM = b'{"id":%b,"role":%b,"content":%b,"content_parts":%b,"name":%b%b}'
_PART = b'{"type":%b,"text":%b,"image_url":%b,"input_audio":%b,"file":%b%b}'


def _keys(template: bytes) -> tuple[str, ...]:
    return tuple(re.findall(r'"(\w+)":', template.decode()))


_STORED_KEYS = frozenset(_keys(_STORED))
_CHOICE_KEYS = _keys(_CHOICE)
_MESSAGE_KEYS = _keys(_MESSAGE)
_ITEM_KEYS = _keys(_ITEM)
_PART_KEYS = _keys(_PART)


def fields(text: bytes) -> Fields:
    """The values of a JSON object by key; empty for anything else."""
    try:
        return jsonspan.fields(text)
    except Refusal:
        return {}


def completion(item: Stored, ours: Fields = _NO_FIELDS) -> bytes:
    """The stored object: what list, retrieve and update answer. `ours` come behind its keys."""
    row, request, answer = item.row, fields(item.request), fields(item.answer)
    return _STORED % (
        dumps(row.id),
        answer.get("model") or dumps(row.model),
        answer.get("created") or b"%d" % second_of(row.seq),
        row.request_id.hex().encode(),
        request.get("tool_choice", _NULL),
        answer.get("usage", _NULL),
        request.get("seed", _NULL),
        _given(request, "top_p", b"1.0"),
        _given(request, "temperature", b"1.0"),
        _given(request, "presence_penalty", b"0.0"),
        _given(request, "frequency_penalty", b"0.0"),
        answer.get("system_fingerprint", _NULL),
        request.get("user", _NULL),
        answer.get("service_tier", _NULL),
        request.get("tools", _NULL),
        row.metadata,
        _choices(answer.get("choices", b"[]")),
        request.get("response_format", _NULL),
        _rest({**answer, **ours}, _STORED_KEYS),
    )


def kept(item: Stored) -> bytes:
    """The stored object as /keep/v1 shows it: with what else is known of it."""
    row = item.row
    ours = {
        "received_at": b"%d" % second_of(row.seq),
        "status": dumps(row.status),
        "upstream": dumps(row.upstream),
        "key": dumps(row.key),
        "duration_ms": b"%d" % row.duration_ms,
        "first_token_ms": dumps(row.first_token_ms),
        "cost_micro": dumps(row.cost_micro),
    }
    return completion(item, ours)


def message_items(id: str, messages: Iterable[bytes]) -> list[tuple[str, bytes]]:
    """The input messages in request order, each with its id `<completion_id>-<index>`."""
    names = ((f"{id}-{index}", message) for index, message in enumerate(messages))
    return [(name, _message_item(name, fields(message))) for name, message in names]


def list_body(items: Iterable[bytes], first: str | None, last: str | None, more: bool) -> bytes:
    """The list envelope in the recorded key order."""
    return b'{"object":"list","data":[%s],"first_id":%s,"last_id":%s,"has_more":%s}' % (
        b",".join(items),
        dumps(first),
        dumps(last),
        b"true" if more else b"false",
    )


def _given(request: Fields, key: str, default: bytes) -> bytes:
    """A sampling parameter: what the request said, else the recorded default."""
    value = request.get(key, _NULL)
    return default if value == _NULL else value


def _choices(raw: bytes) -> bytes:
    try:
        return b"[%s]" % b",".join(map(_choice, jsonspan.elements(raw)))
    except Refusal:
        return raw


def _choice(raw: bytes) -> bytes:
    choice = fields(raw)
    if not choice:
        return raw
    index, message, reason, logprobs = (choice.get(key, _NULL) for key in _CHOICE_KEYS)
    return _CHOICE % (index, _message(message), reason, logprobs, _rest(choice, _CHOICE_KEYS))


def _message(raw: bytes) -> bytes:
    message = fields(raw)
    if not message:
        return raw
    shown = (message.get(key, _NULL) for key in _MESSAGE_KEYS)
    return _MESSAGE % (*shown, _rest(message, _MESSAGE_KEYS))


def _message_item(name: str, message: Fields) -> bytes:
    content = message.get("content", _NULL)
    parts = _parts(content)
    return _ITEM % (
        dumps(name),
        message.get("role", _NULL),
        content if parts is None else dumps(" ".join(map(_part_text, parts))),
        _NULL if parts is None else b"[%b]" % b",".join(map(_part, parts)),
        message.get("name", _NULL),
        _rest(message, _ITEM_KEYS),
    )


def _parts(content: bytes) -> list[bytes] | None:
    if content[:1] != b"[":
        return None
    return jsonspan.elements(content)


def _part(raw: bytes) -> bytes:
    """A content part with all five keys, and `detail` in an image URL (CONTRACT.md D5)."""
    part = fields(raw)
    if not part:
        return raw
    shown = {key: part.get(key, _NULL) for key in _PART_KEYS}
    if fields(shown["image_url"]):
        shown["image_url"] = _image_url(fields(shown["image_url"]))
    return _PART % (*shown.values(), _rest(part, _PART_KEYS))


def _image_url(image: Fields) -> bytes:
    url, detail = image.get("url", _NULL), image.get("detail", _NULL)
    return b'{"url":%b,"detail":%b%b}' % (url, detail, _rest(image, ("url", "detail")))


def _part_text(raw: bytes) -> str:
    """What a part adds to the joined `content`; other kinds of part add an empty string."""
    part = loads(raw)
    if isinstance(part, str):
        return part
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""


def _rest(given: Fields, shown: Container[str]) -> bytes:
    """What else there is, each member with the comma before it."""
    rest = [b",%b:%b" % (dumps(key), value) for key, value in given.items() if key not in shown]
    return b"".join(rest)
