"""IN with a list: it is bound as JSON, and json_each() makes rows of it."""

from __future__ import annotations

from uuid import UUID

import reelbase


async def names_of(database: reelbase.Database, file_ids: list[UUID]) -> dict[UUID, str]:
    """The names of the files that there are, in one statement, for any number of ids."""
    rows = await database.fetch_all(
        tuple[UUID, str],
        "SELECT id, name FROM files WHERE id IN (SELECT value FROM json_each(:ids))",
        {"ids": file_ids},
    )
    return dict(rows)
