"""SQLite's errors as ours, in one table."""

import apsw

from chatkeep.errors import Refusal, StoreBusy, StoreFailed

_BUSY: dict[type[apsw.Error], str] = {
    apsw.BusyError: "another process is writing to it",
    apsw.LockedError: "another connection is writing to it",
    apsw.InterruptError: "the query took longer than it may",
}
_FAILED: dict[type[apsw.Error], str] = {
    apsw.FullError: "the disk is full",
    apsw.IOError: "the disk reports an error",
    apsw.ReadOnlyError: "the file may not be written",
    apsw.CantOpenError: "the file cannot be opened",
    apsw.PermissionsError: "the file may not be opened",
    apsw.CorruptError: "the file is damaged",
    apsw.NotADBError: "the file is no database",
    apsw.TooBigError: "the record is larger than the database takes",
    apsw.NoMemError: "there is not enough memory",
    apsw.ConstraintError: "the record contradicts one that is there",
}


def mapped(error: apsw.Error) -> Refusal:
    """StoreBusy for what may go better in a moment, StoreFailed for the rest."""
    for kind, detail in _BUSY.items():
        if isinstance(error, kind):
            return StoreBusy(detail=detail)
    for kind, detail in _FAILED.items():
        if isinstance(error, kind):
            return StoreFailed(detail=detail)
    return StoreFailed(detail=str(error))
