"""A request cut at its messages: whatever it is cut at, the same bytes come together again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.model.record import Request, cut
from chatkeep.core.wire.chat.request import read_request
from chatkeep.core.wire.request import StoreHeaders

ONE, TWO, THREE = b'{"role":"system"}', b'{ "role" : "user"\n}', b'{"role":"user"}'
TOOLS = b'[ {"type": "function"} ]'


def asked(body: bytes) -> Request:
    """As a call keeps it."""
    found = read_request(body, StoreHeaders())
    return cut(body, found.messages, found.aside)


def test_messages_and_what_stands_around_and_between_them() -> None:
    body = b'{"messages": [\n %b,%b,%b ], "store": true }' % (ONE, TWO, THREE)
    body = body.replace(b'{"messages"', b'{"model":"m","messages"')
    assert asked(body) == Request(
        b'{"model":"m","messages": [\n ', [ONE, TWO, THREE], b",", b' ], "store": true }'
    )
    assert asked(body).whole() == body


@pytest.mark.parametrize("separator", [b",", b", ", b"\n,\t", b" ,"])
def test_separators_that_are_all_the_same_are_kept_once(separator: bytes) -> None:
    body = b'{"model":"m","messages":[%b]}' % separator.join([ONE, TWO, THREE])
    assert asked(body).separators == separator
    assert asked(body).whole() == body


def test_separators_that_differ_are_kept_in_their_order() -> None:
    body = b'{"model":"m","messages":[%b , %b,\n%b]}' % (ONE, TWO, THREE)
    assert asked(body).separators == [b" , ", b",\n"]
    assert asked(body).whole() == body


@pytest.mark.parametrize(
    "body",
    [
        b'{"tools":%b,"model":"m","messages":[%b]}' % (TOOLS, ONE),
        b'{"model":"m","messages":[%b],"tools":%b}' % (ONE, TOOLS),
    ],
)
def test_tools_stand_before_or_behind_the_messages(body: bytes) -> None:
    assert asked(body).aside == (TOOLS,)
    assert TOOLS in asked(body).before + asked(body).after
    assert asked(body).whole() == body


def test_a_message_that_stands_elsewhere_too_costs_no_byte() -> None:
    body = b'{"prediction":%b,"model":"m","messages":[%b,%b]}' % (ONE, ONE, TWO)
    assert asked(body).messages == [ONE, TWO]
    assert asked(body).whole() == body


def test_of_a_repeated_key_the_last_messages_count_and_the_others_are_not_lost() -> None:
    body = b'{"messages":[%b],"model":"m","messages":[%b]}' % (ONE, TWO)
    assert asked(body).messages == [TWO]
    assert asked(body).whole() == body


def test_messages_that_do_not_stand_in_the_body_leave_it_in_one_piece() -> None:
    assert cut(b"abc", [b"a", b"x"]) == Request(b"abc", (), b"", b"")
    assert cut(b"abc", [b"c", b"a"]).whole() == b"abc"


@st.composite
def bodies_with_parts(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    pieces = draw(st.lists(st.tuples(st.binary(max_size=3), st.booleans()), max_size=8))
    return b"".join(piece for piece, _ in pieces), [piece for piece, named in pieces if named]


@given(bodies_with_parts())
def test_parts_that_stand_in_the_body_in_this_order_are_all_its_messages(
    given: tuple[bytes, list[bytes]],
) -> None:
    body, parts = given
    found = cut(body, parts)
    assert list(found.messages) == parts
    assert found.whole() == body


@given(st.binary(max_size=20), st.lists(st.binary(max_size=3), max_size=6), st.binary(max_size=3))
def test_parts_that_may_not_stand_there_change_no_byte(
    body: bytes, parts: list[bytes], aside: bytes
) -> None:
    assert cut(body, parts, (aside,)).whole() == body
