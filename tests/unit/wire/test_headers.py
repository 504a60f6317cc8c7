"""Which headers pass, up and down; an allow-list up, a deny-list down."""

import pytest

from chatkeep.core.wire import headers

# What a browser, a proxy and the SDKs send along.
SENT = {
    b"host": b"chatkeep:8787",
    b"authorization": b"Bearer sk-ck-secret",
    b"api-key": b"secret",
    b"x-api-key": b"secret",
    b"cookie": b"session=1",
    b"x-forwarded-for": b"10.0.0.1",
    b"x-forwarded-host": b"inside",
    b"forwarded": b"for=10.0.0.1",
    b"x-real-ip": b"10.0.0.1",
    b"x-chatkeep-store": b"true",
    b"x-chatkeep-metadata": b"{}",
    b"content-length": b"12",
    b"content-encoding": b"gzip",
    b"transfer-encoding": b"chunked",
    b"accept-encoding": b"gzip, br",
    b"connection": b"keep-alive",
    b"user-agent": b"OpenAI/Python",
    b"x-stainless-lang": b"python",
    b"openai-organization": b"org",
    b"openai-project": b"proj",
    b"origin": b"https://example.org",
    b"if-match": b'"x"',
}
PASSING = {
    b"content-type": b"application/json",
    b"accept": b"application/json",
    b"openai-beta": b"assistants=v2",
    b"idempotency-key": b"abc",
    b"traceparent": b"00-1-2-01",
    b"x-chatkeep-hop": b"another",  # as far as the client, which adds this server to it
    b"x-chatkeep-upstream-key": b"sk-other",  # as far as the client, which makes its own key of it
}


@pytest.mark.parametrize("name", SENT)
def test_a_header_that_is_not_on_the_list_does_not_go_up(name: bytes) -> None:
    assert headers.up({name: SENT[name]}) == {}


def test_the_headers_on_the_list_go_up_unchanged() -> None:
    assert headers.up(SENT | PASSING) == PASSING


def test_configured_headers_go_up_when_they_are_there() -> None:
    given = {b"x-stainless-lang": b"python", b"accept": b"*/*"}
    assert headers.up(given, (b"x-stainless-lang", b"x-absent")) == given


@pytest.mark.parametrize(
    "name",
    [
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"set-cookie",
        b"server",
    ],
)
def test_what_is_between_the_upstream_and_us_does_not_come_down(name: bytes) -> None:
    assert headers.Passing().down([(name, b"x"), (b"content-type", b"text/plain")]) == [
        (b"content-type", b"text/plain")
    ]


def test_headers_named_by_connection_do_not_come_down() -> None:
    given = [
        (b"connection", b"close, X-Internal"),
        (b"x-internal", b"1"),
        (b"connection", b"x-other ,"),
        (b"x-other", b"2"),
        (b"x-kept", b"3"),
    ]
    assert headers.Passing().down(given) == [(b"x-kept", b"3")]


def test_the_upstreams_request_id_comes_down_under_a_name_of_its_own() -> None:
    assert headers.Passing().down([(b"x-request-id", b"req_1")]) == [
        (b"x-upstream-request-id", b"req_1")
    ]


@pytest.mark.parametrize("name", [b"openai-processing-ms", b"openai-version", b"date"])
def test_what_we_say_ourselves_does_not_come_down(name: bytes) -> None:
    assert headers.Passing().down([(name, b"x")]) == []


def test_everything_else_comes_down_in_its_order_repeated_ones_included() -> None:
    given = [
        (b"content-type", b"application/json"),
        (b"x-ratelimit-limit-requests", b"100"),
        (b"retry-after", b"1"),
        (b"openai-organization", b"org"),
        (b"link", b"<a>"),
        (b"link", b"<b>"),
        (b"content-length", b"12"),
        (b"x-should-retry", b"false"),
        (b"strict-transport-security", b"max-age=1"),
    ]
    assert headers.Passing().down(given) == given


def test_what_was_learned_of_one_answer_holds_for_the_next() -> None:
    passing = headers.Passing(frozenset({b"etag"}))
    given = [(b"etag", b"1"), (b"x-request-id", b"r"), (b"a" * 100, b"2"), (b"x-chatkeep-id", b"3")]
    for _ in range(2):
        assert passing.down(given) == [(b"x-upstream-request-id", b"r"), (b"a" * 100, b"2")]
    assert headers.Passing().down(given[:1]) == given[:1]


def test_more_names_pass_than_are_remembered() -> None:
    passing = headers.Passing()
    given = [(b"x-%d" % number, b"") for number in range(1000)]
    assert [passing.down(given) for _ in range(2)] == [given, given]


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b", "a\x7fb", "a\u20acb"])
def test_what_no_header_can_hold_becomes_a_question_mark(text: str) -> None:
    assert headers.value(text) == b"a?b"


def test_headers_can_be_left_out_by_name() -> None:
    given = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"c", b"4")]
    assert headers.without(given, {b"a", b"c", b"d"}) == [(b"b", b"2")]
    assert headers.without(given, ()) == given


def test_the_first_of_a_repeated_header_counts_and_an_absent_one_is_empty() -> None:
    given = [(b"a", b"1"), (b"a", b"2")]
    assert headers.get(given, b"a") == b"1"
    assert headers.get(given, b"b") == b""
