"""The index of the trigrams of names, by which files.page(search=) finds a substring."""

from __future__ import annotations

from reelbase.engine.statements.statement import Command
from reelbase.repositories.files.queries import FileQueries
from reelbase.repositories.files.records import File


class FileNames(FileQueries):
    """How names come into the index of their trigrams.

    A trigger takes the file of a changed name out of the index and gives it a new number. So all files that
    are not indexed have numbers behind the last indexed one, where a search looks at them one by one.
    """

    _index_names = Command(
        File,
        """
        INSERT INTO file_names_fts (rowid, name)
        SELECT file_numbers.id, unbroken(files.name)
        FROM file_numbers
        CROSS JOIN files
        WHERE files.id = file_numbers.file_id
          AND file_numbers.id > coalesce(
            (SELECT rowid FROM file_names_fts ORDER BY rowid DESC LIMIT 1), 0
          )
        """,
    )

    # Many at once take a third of the time of many one by one.
    _index_many_names = Command(
        File,
        """
        INSERT INTO file_names_fts (rowid, name)
        SELECT file_numbers.id, unbroken(files.name)
        FROM file_numbers
        CROSS JOIN files
        WHERE files.id = file_numbers.file_id
          AND file_numbers.id > coalesce(
            (SELECT rowid FROM file_names_fts ORDER BY rowid DESC LIMIT 1), 0
          )
          AND (SELECT max(id) FROM file_numbers) >= 256 + coalesce(
            (SELECT rowid FROM file_names_fts ORDER BY rowid DESC LIMIT 1), 0
          )
        """,
    )

    _mend_names = Command(
        File,
        """
        INSERT INTO file_names_fts (file_names_fts)
        VALUES ('rebuild')
        """,
    )

    _clear_names = Command(
        File,
        """
        DELETE FROM file_names_fts
        """,
    )
    _derived = "file_names_fts"
    _derivation = (_mend_names, _clear_names, _index_names)
