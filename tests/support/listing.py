"""What a page should show, computed the slow and obvious way."""

from collections.abc import Iterable

import msgspec

from chatkeep.core.model.completion import Query, Row
from chatkeep.core.model.ids import second_of

COLUMNS = ("model", "status", "finish_reason", "upstream", "key")


def pairs_of(row: Row) -> dict[str, str]:
    return msgspec.json.decode(row.metadata, type=dict[str, str])


def is_wanted(row: Row, query: Query) -> bool:
    """Whether any page of the query shows the row."""
    after, before = query.created_after, query.created_before
    return (
        all(getattr(query, name) in (None, getattr(row, name)) for name in COLUMNS)
        and all(pairs_of(row).get(key) == value for key, value in query.metadata.items())
        and (after is None or after <= second_of(row.seq))
        and (before is None or second_of(row.seq) <= before)
    )


def expected_page(rows: Iterable[Row], query: Query) -> tuple[list[Row], bool]:
    """The rows of the page, and whether there are more."""
    descending = query.order == "desc"
    wanted = [row for row in rows if is_wanted(row, query)]
    wanted.sort(key=lambda row: row.seq, reverse=descending)
    if query.after is not None:
        wanted = [
            row
            for row in wanted
            if (row.seq < query.after if descending else row.seq > query.after)
        ]
    return wanted[: query.limit], 0 < query.limit < len(wanted)
