"""Merges the deltas of a streamed message.

A message is a tree of nodes, JSON values that still grow: `Pieces` for a string, `List` and `Calls`
for lists, a dict of nodes for an object; numbers and booleans stand for themselves. `merge` adds a
delta to it, `plain` gives the JSON value. Strings join, lists grow or merge by `index`, objects
merge, numbers and booleans overwrite, null changes nothing; `RULES` names the exceptions. A piece
of another kind than what has come before is left out.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeGuard

Rule = Callable[[Any, Any], Any]  # (the node so far or None, the piece) → the node from now on

_MAX_INDEX = 1 << 31
_FLOWING = ("text", "thinking")


def merge(into: dict[str, Any], delta: dict[str, Any]) -> None:
    _merge_by(RULES, into, delta)


class Flow(NamedTuple):
    """Where a text goes: the key it stands under in a delta, and the node it is added to."""

    key: str
    node: "Pieces"


def flow(merged: dict[str, Any], delta: dict[str, Any]) -> Flow | None:
    """The only text of a delta that was merged last, when the rest of it may be merged again."""
    growing = [key for key, piece in delta.items() if piece and key != "role"]
    if len(growing) != 1:
        return None
    (key,) = growing
    node, piece = merged.get(key), delta[key]
    if type(node) is Calls:
        return node.flow(piece)
    if type(node) is Pieces and type(piece) is str and key != "name":
        return Flow(key, node)
    return None


def plain(node: Any) -> Any:
    match node:
        case Pieces():
            return "".join(node)
        case List():
            return [plain(row) for row in node.rows]
        case Calls():
            return node.plain()
        case dict():
            return {key: plain(member) for key, member in node.items()}
        case _:
            return node


def is_index(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < _MAX_INDEX


class Pieces(list[str]):
    """A string in pieces, none of them empty: joining at every piece would be quadratic."""


class List:
    """A list whose items merge by `index` where they have one."""

    __slots__ = ("_newest", "rows")

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self._newest: dict[int, dict[str, Any]] = {}

    def __bool__(self) -> bool:
        return bool(self.rows)

    def extend(self, items: list[Any], rules: Mapping[str, Rule]) -> None:
        for item in items:
            if isinstance(item, dict) and is_index(item.get("index")):
                _merge_by(rules, self._row(item), item)
            else:
                self.rows.append(item)

    def extend_parts(self, parts: list[Any]) -> None:
        """Content parts: a text or a thought goes on in the part before it."""
        for part in parts:
            last = self.rows[-1] if self.rows else None
            if not isinstance(part, dict):
                self.rows.append(part)
            elif isinstance(last, dict) and last.get("type") == part.get("type") in _FLOWING:
                merge(last, part)
            else:
                self.rows.append({})
                merge(self.rows[-1], part)

    def _row(self, item: dict[str, Any]) -> dict[str, Any]:
        row = self._newest.get(item["index"])
        # Some servers number a reasoning text and its encrypted form alike.
        if row is None or _both_and_different(row.get("type"), item.get("type")):
            row = self._newest[item["index"]] = {}
            self.rows.append(row)
        return row


class Calls:
    """Tool calls: told apart by `index`, and by `id` where a server omits or repeats the index."""

    __slots__ = ("_by_id", "_by_index", "_calls", "_last")

    def __init__(self) -> None:
        self._calls: list[tuple[int, dict[str, Any]]] = []
        self._by_index: dict[int, dict[str, Any]] = {}
        self._by_id: dict[str, dict[str, Any]] = {}
        self._last: dict[str, Any] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def extend(self, items: list[Any]) -> None:
        for position, item in enumerate(items):
            if isinstance(item, dict):
                call = self._find(item, leads=position == 0)
                merge(call, item)
                self._last = call
                if id := _id_of(call):
                    self._by_id[id] = call

    def flow(self, items: Any) -> Flow | None:
        """The text of the only call in a list that was merged last, as `flow` of a delta."""
        if not isinstance(items, list) or len(items) != 1 or not isinstance(items[0], dict):
            return None
        item = items[0]
        growing = [key for key, piece in item.items() if piece and key not in ("index", "type")]
        if growing != ["function"] or not is_index(item.get("index")):
            return None
        merged, piece = self._by_index[item["index"]].get("function"), item["function"]
        return flow(merged, piece) if type(merged) is dict and type(piece) is dict else None

    def plain(self) -> list[Any]:
        in_order = sorted(self._calls, key=lambda numbered: numbered[0])
        return [
            {key: plain(node) for key, node in call.items() if key != "index"}
            for _, call in in_order
        ]

    def _find(self, item: dict[str, Any], *, leads: bool) -> dict[str, Any]:
        index = item.get("index")
        return self._numbered(index, item) if is_index(index) else self._unnumbered(item, leads)

    def _numbered(self, index: int, item: dict[str, Any]) -> dict[str, Any]:
        call = self._by_index.get(index)
        if call is None:
            return self._open(index)
        id = _id_of(item)
        # Some servers number all calls 0.
        if _both_and_different(_id_of(call), id) and _names_a_tool(item):
            return self._by_id.get(id) or self._open(index)
        return call

    def _unnumbered(self, item: dict[str, Any], leads: bool) -> dict[str, Any]:
        if self._calls and self._goes_on(item, leads):
            return self._last
        return self._by_id.get(_id_of(item)) or self._open(self._calls[-1][0] if self._calls else 0)

    def _goes_on(self, item: dict[str, Any], leads: bool) -> bool:
        """Whether an item without an index belongs to the call before it."""
        if id := _id_of(item):
            return id == _id_of(self._last)
        return leads or not _names_a_tool(item)

    def _open(self, index: int) -> dict[str, Any]:
        call: dict[str, Any] = {}
        self._calls.append((index, call))
        self._by_index[index] = call
        return call


def _merge_by(rules: Mapping[str, Rule], into: dict[str, Any], delta: dict[str, Any]) -> None:
    for key, piece in delta.items():
        node = into.get(key)
        if type(node) is Pieces and type(piece) is str and key != "name":  # nearly always
            if piece:
                node.append(piece)
        elif piece is not None:
            into[key] = rules.get(key, _join)(node, piece)
        else:
            into.setdefault(key)


def _join(node: Any, piece: Any, rules: Mapping[str, Rule] | None = None) -> Any:
    kind = _KINDS.get(type(piece))
    if type(node) is not kind:
        if node and isinstance(node, _GROWING):
            return node
        if kind is None:
            return piece
        node = kind()
    if kind is Pieces:
        if piece:
            node.append(piece)
    elif kind is List:
        node.extend(piece, rules or RULES)
    elif kind is dict:
        merge(node, piece)
    return node


def _last(node: Any, piece: Any) -> Any:
    return node if isinstance(piece, dict | list) or (piece == "" and node) else piece


def _first(node: Any, piece: Any) -> Any:
    return node if node or isinstance(piece, dict | list) else piece


def _name(node: Any, piece: Any) -> Any:
    """A name may come in pieces, or whole again in every delta."""
    again = isinstance(piece, str) and isinstance(node, Pieces) and len(piece) >= len(node)
    return node if again and "".join(node) == piece else _join(node, piece)


def _parts(node: Any, piece: Any) -> Any:
    """A string, or a list of parts; Mistral sends lists while it thinks and strings after."""
    if not isinstance(node, List) and not isinstance(piece, list):
        return _join(node, piece)
    parts = node if isinstance(node, List) else List()
    parts.extend_parts([*_as_parts(node), *_as_parts(piece)])
    return parts


def _as_parts(value: Any) -> list[Any]:
    text = "".join(value) if isinstance(value, Pieces | str) else ""
    if text:
        return [{"type": "text", "text": text}]
    return value if type(value) is list else []


def _calls(node: Any, piece: Any) -> Any:
    calls = node if isinstance(node, Calls) else Calls()
    calls.extend(piece if isinstance(piece, list) else [])
    return calls


def _details(node: Any, piece: Any) -> Any:
    return _join(node, piece, _DETAIL_RULES)


def _id_of(item: dict[str, Any]) -> str:
    id = item.get("id")
    return id if isinstance(id, str) else ""


def _names_a_tool(item: dict[str, Any]) -> bool:
    tools = (item.get("function"), item.get("custom"))
    return any(isinstance(tool, dict) and tool.get("name") for tool in tools)


def _both_and_different(one: Any, other: Any) -> bool:
    return bool(one and other) and one != other


_KINDS: Mapping[type, type] = {str: Pieces, list: List, dict: dict}
_GROWING = (Pieces, List, Calls, dict)

RULES: Mapping[str, Rule] = {
    "content": _parts,
    "id": _first,
    "index": _last,
    "name": _name,
    "reasoning_details": _details,
    "role": _last,
    "thinking": _parts,
    "tool_calls": _calls,
    "type": _last,
}
_DETAIL_RULES = {**RULES, "format": _last, "id": _last, "signature": _last}
