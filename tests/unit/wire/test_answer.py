"""What is known of an answer of any wire format."""

from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.wire.answer import scrubbed

any_text = st.text(st.characters() | st.sampled_from("\0\n\r\u2028\ud83d\ude00 "))


@given(any_text)
def test_scrubbing_replaces_what_no_database_takes_and_nothing_else(text: str) -> None:
    wanted = "".join(
        "\ufffd" if one == "\0" or "\ud800" <= one <= "\udfff" else one for one in text
    )
    assert scrubbed(text) == wanted
