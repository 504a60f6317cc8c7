"""The table of a project's settings, and the rights that keys hand on."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.accounts import authority
from chatkeep.core.accounts.authority import OPERATOR
from chatkeep.core.accounts.projects import (
    SETTINGS,
    Setting,
    changed,
    described,
    parsed,
    usable_name,
)
from chatkeep.core.model.completion import SCOPES, Key, KeyId, Project, ProjectId, Scope
from chatkeep.errors import ScopeMissing, UnusableValue

PROJECT = Project(ProjectId(1), "ours", b"")
scopes = st.frozensets(st.sampled_from(SCOPES))
settings = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5
)


def key(scopes: frozenset[Scope], expires_unix: int | None = None) -> Key:
    return Key(KeyId(1), PROJECT, "hint", scopes, 0, expires_unix=expires_unix)


def test_every_setting_of_a_project_stands_in_the_table() -> None:
    fields = Project.__struct_fields__
    rest = fields[fields.index("created_unix") + 1 :]
    assert [setting.name for setting in SETTINGS] == list(rest)


@settings
def test_null_gives_the_default_back(setting: Setting) -> None:
    assert changed({setting.name: None})(PROJECT) == PROJECT
    assert parsed(setting.name, "none") is None


@settings
@given(value=anything)
def test_any_value_is_taken_whole_or_refused(setting: Setting, value: object) -> None:
    try:
        new = changed({setting.name: value})(PROJECT)
    except UnusableValue:
        return
    expected = getattr(PROJECT, setting.name) if value is None else value
    shown = described(new)[setting.name]
    assert (list(shown) if isinstance(shown, tuple) else shown) == expected


@settings
@given(text=st.text())
def test_any_text_of_a_command_line_is_read_or_refused(setting: Setting, text: str) -> None:
    try:
        new = changed({setting.name: parsed(setting.name, text)})(PROJECT)
    except UnusableValue:
        return
    shown = msgspec.json.decode(msgspec.json.encode(described(new)))
    assert changed({setting.name: shown[setting.name]})(PROJECT) == new


@given(st.text())
def test_a_usable_name_can_stand_in_a_url_and_in_a_table(name: str) -> None:
    if usable_name(name):
        assert name == name.strip()
        assert "/" not in name
        assert name.isprintable()
        assert name.encode()
        assert 0 < len(name) <= 64


@given(mine=scopes, wanted=scopes)
def test_rights_that_somebody_lacks_are_not_handed_on(
    mine: frozenset[Scope], wanted: frozenset[Scope]
) -> None:
    by = authority.of(key(mine))
    if wanted <= mine or "root" in mine:
        by.need(wanted)
    else:
        with pytest.raises(ScopeMissing):
            by.need(wanted)
    OPERATOR.need(wanted)


@given(mine=st.none() | st.integers(0, 9), wanted=st.none() | st.integers(0, 9))
def test_time_that_somebody_lacks_is_not_handed_on(mine: int | None, wanted: int | None) -> None:
    by = authority.of(key(frozenset(), mine))
    if mine is None or (wanted is not None and wanted <= mine):
        by.limit(wanted)
    else:
        with pytest.raises(UnusableValue):
            by.limit(wanted)
    OPERATOR.limit(wanted)


@given(scopes)
def test_only_root_reaches_other_projects(mine: frozenset[Scope]) -> None:
    by = authority.of(key(mine))
    other = Project(ProjectId(2), "theirs", b"")
    assert by.reaches(PROJECT)
    assert by.reaches(other) == ("root" in mine)
