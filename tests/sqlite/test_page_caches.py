"""What SQLite remembers of the file has an end, however large the file and whoever reads it."""

from pathlib import Path

import apsw

from chatkeep.store.sqlite import open_sqlite
from chatkeep.store.sqlite.connection import connect

MOST = 48 << 20
A_LITTLE = 1 << 20  # of what is in use at the moment, which no limit takes away
PAGES = 9000  # of 8 KiB: more than all caches may hold
FILLER = """
CREATE TABLE filler AS
WITH RECURSIVE page(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM page WHERE number < ?)
SELECT zeroblob(7000) AS data FROM page
"""


async def test_all_connections_together_remember_no_more_than_they_may(tmp_path: Path) -> None:
    path = tmp_path / "chatkeep.db"
    store = await open_sqlite(path)
    connections = [connect(path) for _ in range(4)]
    connections[0].execute(FILLER, (PAGES,))
    for connection in connections:
        connection.execute("SELECT sum(length(data)) FROM filler").fetchall()
        assert apsw.memory_used() < MOST + A_LITTLE
    assert apsw.memory_used() > MOST / 2  # or this would show nothing
    for connection in connections:
        connection.close()
    await store.aclose()
