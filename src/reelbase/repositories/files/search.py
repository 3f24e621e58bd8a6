"""The search of files by their words, and the index of these words."""

from __future__ import annotations

import builtins
from uuid import UUID

from reelbase.engine.file_names import escaped
from reelbase.engine.statements.search import match_expression
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.files.names import FileNames
from reelbase.repositories.files.records import File


class FileSearch(FileNames):
    """How files are found by their words."""

    # Numbers only grow while there are files, so the files that are not indexed yet lie behind the last
    # indexed one.
    _index_new = Command(
        File,
        """
        INSERT INTO files_fts (rowid, name, folder, path, title)
        SELECT file_numbers.id, spaced(name), spaced(folder), spaced(path), spaced(title)
        FROM file_numbers
        CROSS JOIN files
        LEFT JOIN media_info ON media_info.file_id = files.id
        WHERE files.id = file_numbers.file_id
          AND file_numbers.id > coalesce(
            (SELECT rowid FROM files_fts ORDER BY rowid DESC LIMIT 1), 0
          )
        """,
    )

    # Rebuilt from the texts, because a damaged index cannot be cleared.
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

    # A trigger has removed files from the index whose text changed.
    index_again = Command(
        File,
        """
        INSERT INTO files_fts (rowid, name, folder, path, title)
        SELECT file_numbers.id, spaced(name), spaced(folder), spaced(path), spaced(title)
        FROM file_numbers
        CROSS JOIN files
        LEFT JOIN media_info ON media_info.file_id = files.id
        WHERE files.id = file_numbers.file_id
          AND file_numbers.file_id IN (SELECT value FROM json_each(:file_ids))
          AND NOT EXISTS (SELECT 1 FROM files_fts WHERE files_fts.rowid = file_numbers.id)
        """,
        params={"file_ids": builtins.list[UUID]},
    )

    # Ranking costs a microsecond a row, so of very many matches only the newest are ranked. CROSS JOIN makes
    # SQLite search first. A word of the name or the title counts for more than a word of the path.
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
            FROM files_fts(:expression)
            CROSS JOIN file_numbers
            CROSS JOIN files
            WHERE file_numbers.id = files_fts.rowid
              AND files.id = file_numbers.file_id
              AND files.profile_id = :profile_id
            ORDER BY files_fts.rowid DESC
            LIMIT 10000
          ) AS found
          ORDER BY score, id
          LIMIT :limit OFFSET :offset
        ) AS best
        CROSS JOIN files
        WHERE files.id = best.file_id
        ORDER BY best.score, best.id
        """,
        params={"expression": str},
    )

    async def search(
        self, profile_id: str, query: str, *, limit: int | None = 50, offset: int = 0
    ) -> builtins.list[File]:
        """Finds the profile's files by the words of their name, folder, path and title (of media_info).

        page(search=) finds substrings of names.

        Args:
            profile_id: the profile.
            query: words that must all occur. The last word matches as a prefix, a "quoted part" as a
                phrase, scripts without spaces (Chinese, Thai …) as substrings; case, accents and width do
                not count. No query is an error.
            limit: at most this many; None: all.
            offset: this many, the best ones, are skipped first.

        Returns:
            The files, the best match first; [] for a query without a word. Of more than 10,000 matches the
            10,000 that were stored last are ranked.
        """
        expression = match_expression(escaped(self._expect("query", query, str)))
        if expression is None:
            return []
        return await self._run(
            self._search.all(
                profile_id=profile_id, expression=expression, limit=limit, offset=offset
            )
        )

    async def rebuild_search(self) -> int:
        """Rebuilds the search indexes of files, also for rows that another program has written. Returns how
        many files are indexed."""
        commands = (*FileNames._derivation, *self._derivation)
        *_, count = await self._batch(*(command.count() for command in commands))
        return int(count)
