"""Wire formats: each has a name, a prefix of its ids and a row, and none is taken for another."""

from itertools import permutations
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.forms import CHAT
from chatkeep.core.model import ids
from chatkeep.core.model.form import PREFIXES, FormName
from chatkeep.core.model.ids import MAX_SEQ, TAG_BYTES, Seq


def test_each_form_has_a_prefix_and_a_row() -> None:
    assert {CHAT.name} == set(PREFIXES) == set(get_args(FormName))


def test_no_prefix_begins_another() -> None:
    assert not [one for one, other in permutations(PREFIXES.values(), 2) if other.startswith(one)]


@given(st.sampled_from(sorted(PREFIXES)), st.integers(0, MAX_SEQ), st.binary(min_size=TAG_BYTES))
def test_an_id_says_its_form(form: FormName, seq: int, tag: bytes) -> None:
    named = ids.named(Seq(seq), tag[:TAG_BYTES], form)
    assert named.id.startswith(PREFIXES[form])
    assert ids.decode(named.id) == named
