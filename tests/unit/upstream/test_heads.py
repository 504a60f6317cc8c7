"""The heads of what an upstream is asked, some of which are remembered."""

from hypothesis import given
from hypothesis import strategies as st
from support.calls import named

from chatkeep.core.wire.headers import CALLERS_KEY, HOP
from chatkeep.upstream.http.connections import Connections
from chatkeep.upstream.http.heads import Heads

NAMES = (
    b"content-type",
    b"user-agent",
    b"idempotency-key",
    b"api-key",
    CALLERS_KEY,
    HOP,
    b"cookie",
)

callers = st.dictionaries(st.sampled_from(NAMES), st.sampled_from((b"a", b"b", b"sk-ck-c")))
calls = st.tuples(st.sampled_from(("POST", "GET")), st.sampled_from(("/x", "/y")), st.integers(0))


def heads(*, pass_key: bool) -> Heads:
    setting = named("a", "http://localhost/v1", key="own", auth_header="api-key", pass_key=pass_key)
    return Heads(setting, "us", Connections(setting.base_url, 1.0))


@given(st.lists(st.tuples(calls, callers), max_size=8), st.booleans())
def test_no_head_tells_anything_of_another_call(
    asked: list[tuple[tuple[str, str, int], dict[bytes, bytes]]], pass_key: bool
) -> None:
    one = heads(pass_key=pass_key)
    for call, sent in asked:
        assert one.head(*call, sent) == heads(pass_key=pass_key).head(*call, sent)


def test_a_head_says_how_long_its_own_body_is() -> None:
    one = heads(pass_key=False)
    for length in (7, 8):
        head = one.head("POST", "/x", length, {b"content-type": b"text/x"})
        assert head.endswith(b"\r\ncontent-length: %d\r\n\r\n" % length)
        assert head.count(b"content-length") == 1
