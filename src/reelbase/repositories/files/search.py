"""Files by the words of their names, folders, paths and titles."""

from __future__ import annotations

from uuid import UUID

from reelbase.engine.file_names import escaped
from reelbase.engine.statements.search import match_expression
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.files.finding import FileFinding
from reelbase.repositories.files.records import File


class FileSearch(FileFinding):
    """How files are found by words."""

    # Numbers only grow while there are files, so that what is not indexed yet is what lies behind the last
    # indexed one.
    _index_new = Command(
        File,
        """
        INSERT INTO files_fts (rowid, name, folder, path, title)
        SELECT file_numbers.id, spaced(name), spaced(folder), spaced(path), spaced(title)
        FROM file_numbers
        CROSS JOIN files ON files.id = file_numbers.file_id
        LEFT JOIN media_info ON media_info.file_id = files.id
        WHERE file_numbers.id > coalesce(
            (SELECT rowid FROM files_fts ORDER BY rowid DESC LIMIT 1), 0
          )
        """,
    )

    # The index from its own texts: one that is damaged cannot be cleared.
    _mend_index = Command(
        File,
        """
        INSERT INTO files_fts (files_fts)
        VALUES ('rebuild')
        """,
    )

    _clear_index = Command(
        File,
        """
        DELETE FROM files_fts
        """,
    )
    _derived = "files_fts"
    _derivation = (_mend_index, _clear_index, _index_new)

    # A trigger has taken files out of the index of which a text changed.
    index_again = Command(
        File,
        """
        INSERT INTO files_fts (rowid, name, folder, path, title)
        SELECT file_numbers.id, spaced(name), spaced(folder), spaced(path), spaced(title)
        FROM file_numbers
        CROSS JOIN files ON files.id = file_numbers.file_id
        LEFT JOIN media_info ON media_info.file_id = files.id
        WHERE file_numbers.file_id IN (SELECT value FROM json_each(:file_ids))
          AND NOT EXISTS (SELECT 1 FROM files_fts WHERE files_fts.rowid = file_numbers.id)
        """,
        params={"file_ids": list[UUID]},
    )

    # Ranking costs a microsecond a row; so only the newest of very many are ranked. CROSS JOIN, so that the
    # search comes first. A word of the name or the title counts for more than one of the path.
    _search = Query(
        File,
        """
        SELECT
          files.id, files.profile_id, files.name, files.path, files.type, files.folder,
          files.source_file_id, files.origin, files.size_bytes, files.content_type,
          files.content_hash, files.source_url, files.created_at
        FROM (
          SELECT id, score, file_id
          FROM (
            SELECT
              files_fts.rowid AS id,
              bm25(files_fts, 4.0, 1.0, 1.0, 4.0) AS score,
              file_numbers.file_id
            FROM files_fts
            CROSS JOIN file_numbers ON file_numbers.id = files_fts.rowid
            CROSS JOIN files ON files.id = file_numbers.file_id
            WHERE files_fts MATCH :expression
              AND files.profile_id = :profile_id
            ORDER BY files_fts.rowid DESC
            LIMIT 10000
          )
          ORDER BY score, id
          LIMIT :limit
        ) AS best
        CROSS JOIN files ON files.id = best.file_id
        ORDER BY best.score, best.id
        """,
        params={"expression": str},
    )

    async def search(self, profile_id: str, query: str, *, limit: int | None = 50) -> list[File]:
        """The profile's files in whose name, folder, path and title (of media_info) all words of the query
        are, the best match first.

        The last word matches as a prefix, a "quoted part" as a phrase; scripts without spaces
        (Chinese, Thai …) as substrings; case, accents and width do not count. No query is an error; one
        without a word finds nothing. Of more than 10,000 matches the last 10,000 to be stored are ranked.
        page(search=) finds substrings of names.
        """
        expression = match_expression(escaped(self._expect("query", query, str)))
        if expression is None:
            return []
        return await self._run(
            self._search.all(profile_id=profile_id, expression=expression, limit=limit)
        )

    async def rebuild_search(self) -> int:
        """Indexes every file again, also those that came in by the sqlite3 prompt; how many."""
        *_, count = await self._batch(*(command.count() for command in self._derivation))
        return int(count)
