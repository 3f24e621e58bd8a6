"""Pages of a profile's files for a gallery: in any order, by any filters, with the details of each.

A page reads files in its order from an index, and tries the filters on them, until it is full. Its driver is
the set that it reads: everything in this order; or, newest and oldest first, only the files of a type, a
folder, a status or a tag, which have indexes in this order; or a few files, sorted: all that the rarest
filter lets pass, when these are at most 2,000. Each part of a statement has one driver in one order to read,
and all but one are empty. SQLite merges the parts in their order, and stops at the limit.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Unpack
from uuid import UUID

from msgspec import UNSET

from reelbase.engine.file_names import FileName, escaped
from reelbase.engine.ids import END_OF_TIME, MAX_ID
from reelbase.engine.record import Record
from reelbase.engine.statements.arguments import invalid_argument, wrong_type
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.parameters import to_integer, to_moment, to_real
from reelbase.engine.statements.search import trigram_expression
from reelbase.engine.statements.statement import PageQuery, Query
from reelbase.repositories.file_processing import FileStatus
from reelbase.repositories.files.queries import FileQueries
from reelbase.repositories.files.records import (
    File,
    FileCard,
    FileFilters,
    FileOrder,
    FileOrderLike,
)
from reelbase.repositories.tags import normalized


class PlacedFile(Record, frozen=True):
    """A file and its place in an order: the text by which it is ordered, and the id."""

    key: str
    id: UUID
    file: File


class Rarest(Record, frozen=True):
    """The filter that the fewest files pass.

    driver: its name.  tag: the rarest of the tags, normalized.  few: the ids of the files as a JSON array;
    empty where they are too many.
    """

    driver: str
    tag: str | None
    is_too_many: bool
    few: str


# By what pages are ordered, and whether downward.
_ORDERS = {
    FileOrder.NEWEST: ("date", True),
    FileOrder.OLDEST: ("date", False),
    FileOrder.A_TO_Z: ("name", False),
    FileOrder.Z_TO_A: ("name", True),
    FileOrder.SMALLEST: ("size", False),
    FileOrder.LARGEST: ("size", True),
    FileOrder.SHORTEST: ("length", False),
    FileOrder.LONGEST: ("length", True),
}
# So many files are sorted rather than found in their order.
_FEW = 2000
# The filters that can drive, each with the orders in which it finds its files.
_DRIVERS: dict[str, Collection[str]] = {
    "status": ("date",),
    "folder": ("date",),
    "tag": ("date",),
    "type": ("date",),
    "date": ("date",),
    "size": ("size",),
    "length": ("length",),
    "speaker": (),
    "collection": (),
    "trigrams": (),
}
_RANGES = ("date", "size", "length")
_LAST_KEY = "\U0010ffff" * 8
_MIN_ID = UUID(int=0)
_BEGINNING_OF_TIME = datetime.min.replace(tzinfo=UTC)
_MAX_SIZE, _MAX_LENGTH = 2**63 - 1, sys.float_info.max
# A key of a length has three decimals, and may be rounded.
_ROUNDED = 0.001


class FilePages(FileQueries):
    """How files are looked through."""

    _descending = PageQuery(
        PlacedFile,
        """
        SELECT
          place.key,
          place.id,
          files.id AS "file.id",
          files.profile_id AS "file.profile_id",
          files.name AS "file.name",
          files.path AS "file.path",
          files.type AS "file.type",
          files.folder AS "file.folder",
          files.source_file_id AS "file.source_file_id",
          files.origin AS "file.origin",
          files.size_bytes AS "file.size_bytes",
          files.content_type AS "file.content_type",
          files.content_hash AS "file.content_hash",
          files.source_url AS "file.source_url",
          files.created_at AS "file.created_at"
        FROM (
          SELECT id, created_at AS key
          FROM files
          WHERE :order = 'date'
            AND :driver = 'order'
            AND profile_id = :profile_id
          UNION ALL
          SELECT id, created_at
          FROM files
          WHERE :order = 'date'
            AND :driver = 'few'
            AND id IN (SELECT value FROM json_each(:few))
          UNION ALL
          SELECT id, created_at
          FROM files
          WHERE :order = 'date'
            AND :driver = 'type'
            AND profile_id = :profile_id
            AND type = :type
          UNION ALL
          SELECT id, created_at
          FROM files
          WHERE :order = 'date'
            AND :driver = 'folder'
            AND profile_id = :profile_id
            AND folder IS NOT DISTINCT FROM :folder
          UNION ALL
          SELECT file_id, file_created_at
          FROM file_processing
          WHERE :order = 'date'
            AND :driver = 'status'
            AND profile_id = :profile_id
            AND status = :status
          UNION ALL
          SELECT file_id, file_created_at
          FROM file_tags
          WHERE :order = 'date'
            AND :driver = 'tag'
            AND tag_id = (SELECT id FROM tags WHERE profile_id = :profile_id AND normalized_name = :tag)
          UNION ALL
          SELECT id, name_key
          FROM files
          WHERE :order = 'name'
            AND :driver = 'order'
            AND profile_id = :profile_id
          UNION ALL
          SELECT id, name_key
          FROM files
          WHERE :order = 'name'
            AND :driver = 'few'
            AND id IN (SELECT value FROM json_each(:few))
          UNION ALL
          SELECT id, size_key
          FROM files
          WHERE :order = 'size'
            AND :driver = 'order'
            AND profile_id = :profile_id
          UNION ALL
          SELECT id, size_key
          FROM files
          WHERE :order = 'size'
            AND :driver = 'few'
            AND id IN (SELECT value FROM json_each(:few))
          UNION ALL
          SELECT id, length_key
          FROM files
          WHERE :order = 'length'
            AND :driver = 'order'
            AND profile_id = :profile_id
          UNION ALL
          SELECT id, length_key
          FROM files
          WHERE :order = 'length'
            AND :driver = 'few'
            AND id IN (SELECT value FROM json_each(:few))
        ) AS place
        CROSS JOIN files
        WHERE files.id = place.id
          AND (place.key, place.id) < (:key, :id)
          AND place.key >= :least
          AND (NOT :filter_type OR files.type = :type)
          AND (NOT :filter_folder OR files.folder IS NOT DISTINCT FROM :folder)
          AND (NOT :filter_date OR files.created_at >= :since AND files.created_at < :until)
          AND (NOT :filter_size OR files.size_bytes BETWEEN :min_size AND :max_size)
          AND (NOT :filter_length OR files.duration BETWEEN :min_length AND :max_length)
          AND (NOT :filter_search OR instr(folded(files.name), folded(:search)) > 0)
          AND (
            NOT :filter_status
            OR EXISTS (
              SELECT 1
              FROM file_processing AS processing
              WHERE processing.file_id = files.id
                AND processing.status = :status
            )
          )
          AND (
            NOT :filter_collection
            OR EXISTS (
              SELECT 1
              FROM collection_files AS member
              WHERE member.collection_id = :collection_id
                AND member.file_id = files.id
            )
          )
          AND (
            NOT :filter_speaker
            OR EXISTS (
              SELECT 1
              FROM speakers
              WHERE speakers.profile_id = :profile_id
                AND speakers.display_name = :speaker
                AND speakers.file_id = files.id
            )
          )
          AND (
            NOT :filter_tag
            OR NOT EXISTS (
              SELECT 1
              FROM json_each(:tags) AS wanted
              WHERE NOT EXISTS (
                  SELECT 1
                  FROM tags
                  CROSS JOIN file_tags AS link
                  WHERE link.tag_id = tags.id
                    AND tags.profile_id = :profile_id
                    AND tags.normalized_name = wanted.value
                    AND link.file_id = files.id
                )
            )
          )
        ORDER BY place.key DESC, place.id DESC
        LIMIT :limit
        """,
        keyset={"key": _LAST_KEY, "id": MAX_ID},
        hints=("driver", "tag", "few"),
        params={
            "order": str,
            "least": str,
            "driver": str,
            "tag": str,
            "few": str,
            "profile_id": str,
            "type": str,
            "folder": FileName,
            "status": FileStatus,
            "tags": builtins.list[str],
            "speaker": str,
            "collection_id": int,
            "search": FileName,
            "since": datetime,
            "until": datetime,
            "min_size": int,
            "max_size": int,
            "min_length": float,
            "max_length": float,
        },
    )

    _ascending = PageQuery(
        PlacedFile,
        """
        SELECT
          place.key,
          place.id,
          files.id AS "file.id",
          files.profile_id AS "file.profile_id",
          files.name AS "file.name",
          files.path AS "file.path",
          files.type AS "file.type",
          files.folder AS "file.folder",
          files.source_file_id AS "file.source_file_id",
          files.origin AS "file.origin",
          files.size_bytes AS "file.size_bytes",
          files.content_type AS "file.content_type",
          files.content_hash AS "file.content_hash",
          files.source_url AS "file.source_url",
          files.created_at AS "file.created_at"
        FROM (
          SELECT id, created_at AS key
          FROM files
          WHERE :order = 'date'
            AND :driver = 'order'
            AND profile_id = :profile_id
          UNION ALL
          SELECT id, created_at
          FROM files
          WHERE :order = 'date'
            AND :driver = 'few'
            AND id IN (SELECT value FROM json_each(:few))
          UNION ALL
          SELECT id, created_at
          FROM files
          WHERE :order = 'date'
            AND :driver = 'type'
            AND profile_id = :profile_id
            AND type = :type
          UNION ALL
          SELECT id, created_at
          FROM files
          WHERE :order = 'date'
            AND :driver = 'folder'
            AND profile_id = :profile_id
            AND folder IS NOT DISTINCT FROM :folder
          UNION ALL
          SELECT file_id, file_created_at
          FROM file_processing
          WHERE :order = 'date'
            AND :driver = 'status'
            AND profile_id = :profile_id
            AND status = :status
          UNION ALL
          SELECT file_id, file_created_at
          FROM file_tags
          WHERE :order = 'date'
            AND :driver = 'tag'
            AND tag_id = (SELECT id FROM tags WHERE profile_id = :profile_id AND normalized_name = :tag)
          UNION ALL
          SELECT id, name_key
          FROM files
          WHERE :order = 'name'
            AND :driver = 'order'
            AND profile_id = :profile_id
          UNION ALL
          SELECT id, name_key
          FROM files
          WHERE :order = 'name'
            AND :driver = 'few'
            AND id IN (SELECT value FROM json_each(:few))
          UNION ALL
          SELECT id, size_key
          FROM files
          WHERE :order = 'size'
            AND :driver = 'order'
            AND profile_id = :profile_id
          UNION ALL
          SELECT id, size_key
          FROM files
          WHERE :order = 'size'
            AND :driver = 'few'
            AND id IN (SELECT value FROM json_each(:few))
          UNION ALL
          SELECT id, length_key
          FROM files
          WHERE :order = 'length'
            AND :driver = 'order'
            AND profile_id = :profile_id
          UNION ALL
          SELECT id, length_key
          FROM files
          WHERE :order = 'length'
            AND :driver = 'few'
            AND id IN (SELECT value FROM json_each(:few))
        ) AS place
        CROSS JOIN files
        WHERE files.id = place.id
          AND (place.key, place.id) > (:key, :id)
          AND place.key <= :most
          AND (NOT :filter_type OR files.type = :type)
          AND (NOT :filter_folder OR files.folder IS NOT DISTINCT FROM :folder)
          AND (NOT :filter_date OR files.created_at >= :since AND files.created_at < :until)
          AND (NOT :filter_size OR files.size_bytes BETWEEN :min_size AND :max_size)
          AND (NOT :filter_length OR files.duration BETWEEN :min_length AND :max_length)
          AND (NOT :filter_search OR instr(folded(files.name), folded(:search)) > 0)
          AND (
            NOT :filter_status
            OR EXISTS (
              SELECT 1
              FROM file_processing AS processing
              WHERE processing.file_id = files.id
                AND processing.status = :status
            )
          )
          AND (
            NOT :filter_collection
            OR EXISTS (
              SELECT 1
              FROM collection_files AS member
              WHERE member.collection_id = :collection_id
                AND member.file_id = files.id
            )
          )
          AND (
            NOT :filter_speaker
            OR EXISTS (
              SELECT 1
              FROM speakers
              WHERE speakers.profile_id = :profile_id
                AND speakers.display_name = :speaker
                AND speakers.file_id = files.id
            )
          )
          AND (
            NOT :filter_tag
            OR NOT EXISTS (
              SELECT 1
              FROM json_each(:tags) AS wanted
              WHERE NOT EXISTS (
                  SELECT 1
                  FROM tags
                  CROSS JOIN file_tags AS link
                  WHERE link.tag_id = tags.id
                    AND tags.profile_id = :profile_id
                    AND tags.normalized_name = wanted.value
                    AND link.file_id = files.id
                )
            )
          )
        ORDER BY place.key, place.id
        LIMIT :limit
        """,
        keyset={"key": "", "id": _MIN_ID},
        hints=("driver", "tag", "few"),
        params={
            "order": str,
            "most": str,
            "driver": str,
            "tag": str,
            "few": str,
            "profile_id": str,
            "type": str,
            "folder": FileName,
            "status": FileStatus,
            "tags": builtins.list[str],
            "speaker": str,
            "collection_id": int,
            "search": FileName,
            "since": datetime,
            "until": datetime,
            "min_size": int,
            "max_size": int,
            "min_length": float,
            "max_length": float,
        },
    )

    _count_matching = Query(
        int,
        """
        SELECT count(*)
        FROM (
          SELECT 1 AS found
          FROM (
            SELECT id
            FROM files
            WHERE :driver = 'order'
              AND profile_id = :profile_id
            UNION ALL
            SELECT id
            FROM files
            WHERE :driver = 'few'
              AND id IN (SELECT value FROM json_each(:few))
            UNION ALL
            SELECT id
            FROM files
            WHERE :driver = 'type'
              AND profile_id = :profile_id
              AND type = :type
            UNION ALL
            SELECT id
            FROM files
            WHERE :driver = 'folder'
              AND profile_id = :profile_id
              AND folder IS NOT DISTINCT FROM :folder
            UNION ALL
            SELECT file_id
            FROM file_processing
            WHERE :driver = 'status'
              AND profile_id = :profile_id
              AND status = :status
            UNION ALL
            SELECT file_id
            FROM file_tags
            WHERE :driver = 'tag'
              AND tag_id = (SELECT id FROM tags WHERE profile_id = :profile_id AND normalized_name = :tag)
            UNION ALL
            SELECT file_id
            FROM speakers
            WHERE :driver = 'speaker'
              AND profile_id = :profile_id
              AND display_name = :speaker
              AND NOT EXISTS (
                SELECT 1
                FROM speakers AS same
                WHERE same.profile_id = :profile_id
                  AND same.display_name = :speaker
                  AND same.file_id = speakers.file_id
                  AND same.id < speakers.id
              )
            UNION ALL
            SELECT file_id
            FROM collection_files
            WHERE :driver = 'collection'
              AND profile_id = :profile_id
              AND collection_id = :collection_id
            UNION ALL
            SELECT file_numbers.file_id
            FROM file_names_fts(:expression)
            CROSS JOIN file_numbers
            WHERE :driver = 'trigrams'
              AND file_numbers.id = file_names_fts.rowid
            UNION ALL
            SELECT file_id
            FROM file_numbers
            WHERE :driver = 'trigrams'
              AND id > coalesce((SELECT rowid FROM file_names_fts ORDER BY rowid DESC LIMIT 1), 0)
            UNION ALL
            SELECT id
            FROM files
            WHERE :driver = 'date'
              AND profile_id = :profile_id
              AND created_at >= :since
              AND created_at < :until
            UNION ALL
            SELECT id
            FROM files
            WHERE :driver = 'size'
              AND profile_id = :profile_id
              AND size_key BETWEEN :min_size_key AND :max_size_key
            UNION ALL
            SELECT id
            FROM files
            WHERE :driver = 'length'
              AND profile_id = :profile_id
              AND length_key BETWEEN :min_length_key AND :max_length_key
          ) AS place
          CROSS JOIN files
          WHERE files.id = place.id
            AND files.profile_id = :profile_id
            AND (NOT :filter_type OR files.type = :type)
            AND (NOT :filter_folder OR files.folder IS NOT DISTINCT FROM :folder)
            AND (NOT :filter_date OR files.created_at >= :since AND files.created_at < :until)
            AND (NOT :filter_size OR files.size_bytes BETWEEN :min_size AND :max_size)
            AND (NOT :filter_length OR files.duration BETWEEN :min_length AND :max_length)
            AND (NOT :filter_search OR instr(folded(files.name), folded(:search)) > 0)
            AND (
              NOT :filter_status
              OR EXISTS (
                SELECT 1
                FROM file_processing AS processing
                WHERE processing.file_id = files.id
                  AND processing.status = :status
              )
            )
            AND (
              NOT :filter_collection
              OR EXISTS (
                SELECT 1
                FROM collection_files AS member
                WHERE member.collection_id = :collection_id
                  AND member.file_id = files.id
              )
            )
            AND (
              NOT :filter_speaker
              OR EXISTS (
                SELECT 1
                FROM speakers
                WHERE speakers.profile_id = :profile_id
                  AND speakers.display_name = :speaker
                  AND speakers.file_id = files.id
              )
            )
            AND (
              NOT :filter_tag
              OR NOT EXISTS (
                SELECT 1
                FROM json_each(:tags) AS wanted
                WHERE NOT EXISTS (
                    SELECT 1
                    FROM tags
                    CROSS JOIN file_tags AS link
                    WHERE link.tag_id = tags.id
                      AND tags.profile_id = :profile_id
                      AND tags.normalized_name = wanted.value
                      AND link.file_id = files.id
                  )
              )
            )
          LIMIT :limit
        ) AS counted
        """,
        params={
            "expression": str,
            "driver": str,
            "tag": str,
            "few": str,
            "min_size_key": str,
            "max_size_key": str,
            "min_length_key": str,
            "max_length_key": str,
            "profile_id": str,
            "type": str,
            "folder": FileName,
            "status": FileStatus,
            "tags": builtins.list[str],
            "speaker": str,
            "collection_id": int,
            "search": FileName,
            "since": datetime,
            "until": datetime,
            "min_size": int,
            "max_size": int,
            "min_length": float,
            "max_length": float,
        },
    )

    _rarest = Query(
        Rarest,
        """
        WITH rarest_tag (id, name, size) AS (
          SELECT
            tags.id,
            wanted.value,
            (
              SELECT count(*)
              FROM (
                SELECT 1 AS found FROM file_tags WHERE file_tags.tag_id = tags.id LIMIT :limit
              ) AS linked
            ) AS size
          FROM json_each(:tags) AS wanted
          LEFT JOIN tags ON tags.profile_id = :profile_id AND tags.normalized_name = wanted.value
          ORDER BY size, wanted.value
          LIMIT 1
        ),
        last_name (number) AS (
          SELECT coalesce((SELECT rowid FROM file_names_fts ORDER BY rowid DESC LIMIT 1), 0)
        ),
        sizes (driver, size) AS (
          SELECT
            'type',
            (
              SELECT count(*)
              FROM (
                SELECT 1 AS found
                FROM files
                WHERE profile_id = :profile_id
                  AND type = :type
                LIMIT :limit
              ) AS typed
            )
          WHERE :filter_type
          UNION ALL
          SELECT
            'folder',
            (
              SELECT count(*)
              FROM (
                SELECT 1 AS found
                FROM files
                WHERE profile_id = :profile_id
                  AND folder IS NOT DISTINCT FROM :folder
                LIMIT :limit
              ) AS together
            )
          WHERE :filter_folder
          UNION ALL
          SELECT
            'status',
            (
              SELECT count(*)
              FROM (
                SELECT 1 AS found
                FROM file_processing
                WHERE profile_id = :profile_id
                  AND status = :status
                LIMIT :limit
              ) AS processed
            )
          WHERE :filter_status
          UNION ALL
          SELECT 'tag', size
          FROM rarest_tag
          UNION ALL
          SELECT
            'speaker',
            (
              SELECT count(*)
              FROM (
                SELECT 1 AS found
                FROM speakers
                WHERE profile_id = :profile_id
                  AND display_name = :speaker
                LIMIT :limit
              ) AS heard
            )
          WHERE :filter_speaker
          UNION ALL
          SELECT
            'collection',
            (
              SELECT count(*)
              FROM (
                SELECT 1 AS found
                FROM collection_files
                WHERE profile_id = :profile_id
                  AND collection_id = :collection_id
                LIMIT :limit
              ) AS collected
            )
          WHERE :filter_collection
          UNION ALL
          SELECT
            'date',
            (
              SELECT count(*)
              FROM (
                SELECT 1 AS found
                FROM files
                WHERE profile_id = :profile_id
                  AND created_at >= :since
                  AND created_at < :until
                LIMIT :limit
              ) AS dated
            )
          WHERE :filter_date
          UNION ALL
          SELECT
            'size',
            (
              SELECT count(*)
              FROM (
                SELECT 1 AS found
                FROM files
                WHERE profile_id = :profile_id
                  AND size_key BETWEEN :min_size_key AND :max_size_key
                LIMIT :limit
              ) AS sized
            )
          WHERE :filter_size
          UNION ALL
          SELECT
            'length',
            (
              SELECT count(*)
              FROM (
                SELECT 1 AS found
                FROM files
                WHERE profile_id = :profile_id
                  AND length_key BETWEEN :min_length_key AND :max_length_key
                LIMIT :limit
              ) AS timed
            )
          WHERE :filter_length
          UNION ALL
          SELECT
            'trigrams',
            (
              SELECT count(*)
              FROM (
                SELECT 1 AS found
                FROM file_names_fts(:expression)
                UNION ALL
                SELECT 1
                FROM file_numbers
                WHERE id > (SELECT number FROM last_name)
                LIMIT :limit
              ) AS named
            )
          WHERE :filter_trigrams
        ),
        rarest (driver, size) AS (
          SELECT driver, size
          FROM sizes
          ORDER BY size, driver
          LIMIT 1
        ),
        candidate (id) AS (
          SELECT files.id
          FROM rarest
          CROSS JOIN files
          WHERE rarest.driver = 'type'
            AND rarest.size < :limit
            AND files.profile_id = :profile_id
            AND type = :type
          UNION ALL
          SELECT files.id
          FROM rarest
          CROSS JOIN files
          WHERE rarest.driver = 'folder'
            AND rarest.size < :limit
            AND files.profile_id = :profile_id
            AND folder IS NOT DISTINCT FROM :folder
          UNION ALL
          SELECT file_processing.file_id
          FROM rarest
          CROSS JOIN file_processing
          WHERE rarest.driver = 'status'
            AND rarest.size < :limit
            AND file_processing.profile_id = :profile_id
            AND status = :status
          UNION ALL
          SELECT file_tags.file_id
          FROM rarest
          CROSS JOIN file_tags
          WHERE rarest.driver = 'tag'
            AND rarest.size < :limit
            AND file_tags.tag_id = (SELECT id FROM rarest_tag)
          UNION ALL
          SELECT speakers.file_id
          FROM rarest
          CROSS JOIN speakers
          WHERE rarest.driver = 'speaker'
            AND rarest.size < :limit
            AND speakers.profile_id = :profile_id
            AND display_name = :speaker
          UNION ALL
          SELECT collection_files.file_id
          FROM rarest
          CROSS JOIN collection_files
          WHERE rarest.driver = 'collection'
            AND rarest.size < :limit
            AND collection_files.profile_id = :profile_id
            AND collection_files.collection_id = :collection_id
          UNION ALL
          SELECT files.id
          FROM rarest
          CROSS JOIN files
          WHERE rarest.driver = 'date'
            AND rarest.size < :limit
            AND files.profile_id = :profile_id
            AND created_at >= :since
            AND created_at < :until
          UNION ALL
          SELECT files.id
          FROM rarest
          CROSS JOIN files
          WHERE rarest.driver = 'size'
            AND rarest.size < :limit
            AND files.profile_id = :profile_id
            AND size_key BETWEEN :min_size_key AND :max_size_key
          UNION ALL
          SELECT files.id
          FROM rarest
          CROSS JOIN files
          WHERE rarest.driver = 'length'
            AND rarest.size < :limit
            AND files.profile_id = :profile_id
            AND length_key BETWEEN :min_length_key AND :max_length_key
          UNION ALL
          SELECT file_numbers.file_id
          FROM rarest
          CROSS JOIN file_names_fts(:expression)
          CROSS JOIN file_numbers
          CROSS JOIN files
          WHERE rarest.driver = 'trigrams'
            AND rarest.size < :limit
            AND file_numbers.id = file_names_fts.rowid
            AND files.id = file_numbers.file_id
            AND files.profile_id = :profile_id
          UNION ALL
          SELECT file_numbers.file_id
          FROM rarest
          CROSS JOIN file_numbers
          CROSS JOIN files
          WHERE rarest.driver = 'trigrams'
            AND rarest.size < :limit
            AND file_numbers.id > (SELECT number FROM last_name)
            AND files.id = file_numbers.file_id
            AND files.profile_id = :profile_id
        )
        SELECT
          driver,
          (SELECT name FROM rarest_tag) AS tag,
          size >= :limit AS is_too_many,
          (SELECT json_group_array(id) FROM candidate) AS few
        FROM rarest
        ORDER BY driver
        """,
        params={
            "expression": str,
            "min_size_key": str,
            "max_size_key": str,
            "min_length_key": str,
            "max_length_key": str,
            "profile_id": str,
            "type": str,
            "folder": FileName,
            "status": FileStatus,
            "tags": builtins.list[str],
            "speaker": str,
            "collection_id": int,
            "since": datetime,
            "until": datetime,
        },
    )

    _cards = Query(
        FileCard,
        """
        SELECT
          files.id AS "file.id",
          files.profile_id AS "file.profile_id",
          files.name AS "file.name",
          files.path AS "file.path",
          files.type AS "file.type",
          files.folder AS "file.folder",
          files.source_file_id AS "file.source_file_id",
          files.origin AS "file.origin",
          files.size_bytes AS "file.size_bytes",
          files.content_type AS "file.content_type",
          files.content_hash AS "file.content_hash",
          files.source_url AS "file.source_url",
          files.created_at AS "file.created_at",
          media_info.title,
          files.duration AS length,
          file_processing.status,
          (
            SELECT json_group_array(named.name)
            FROM (
              SELECT tags.name
              FROM file_tags
              CROSS JOIN tags
              WHERE file_tags.file_id = files.id
                AND tags.id = file_tags.tag_id
              ORDER BY tags.name, tags.id
            ) AS named
          ) AS tags,
          (
            SELECT json_group_array(heard.name)
            FROM (
              SELECT DISTINCT speakers.display_name AS name
              FROM speakers
              WHERE speakers.file_id = files.id
                AND speakers.display_name IS NOT NULL
              ORDER BY speakers.display_name
            ) AS heard
          ) AS speakers
        FROM (SELECT value AS wanted_id, key AS position FROM json_each(:ids)) AS wanted
        CROSS JOIN files
        LEFT JOIN media_info ON media_info.file_id = files.id
        LEFT JOIN file_processing ON file_processing.file_id = files.id
        WHERE files.id = wanted_id
        ORDER BY position
        """,
        params={"ids": builtins.list[UUID]},
    )

    async def page(
        self,
        profile_id: str,
        *,
        after: File | str | None = None,
        limit: int | None = 50,
        order: FileOrderLike = FileOrder.NEWEST,
        **filters: Unpack[FileFilters],
    ) -> Page[File]:
        """A page of a profile's files, newest first or in another order, by keyset.

        How many files are read does not depend on how many there are: without a filter; with one or several
        of which the rarest passes at most 2,000 files; newest and oldest first also with one of folder, tag,
        status, type and time; and with one of size or length in that order. Otherwise files are read in the
        order until the page is full: one in a thousand that passes makes 50,000. A search of one or two
        characters is tried on the files that the remaining filters let pass, on all files if it is the only
        filter.

        Args:
            profile_id: the profile.
            after: ``next`` of the page before, newest and oldest first also its last file; None: the first
                page.
            limit: at most this many; None: all.
            order: which files come first.
            filters: which files; the fields of FileFilters.

        Returns:
            The files; with ``next``, the token of the next page, or None on the last one.

        Raises:
            InvalidArgumentError: after is no token of this listing; an order, a status or a tag is none.
        """
        files = await self._page_of_places(profile_id, after, limit, order, filters)
        return Page((placed.file for placed in files), next=files.next)

    async def cards(
        self,
        profile_id: str,
        *,
        after: str | None = None,
        limit: int | None = 50,
        order: FileOrderLike = FileOrder.NEWEST,
        **filters: Unpack[FileFilters],
    ) -> Page[FileCard]:
        """A page of a profile's files with the details that a gallery shows: title, length, status, tags and
        speakers. These are read by one more statement, for all files of the page.

        Args:
            profile_id: the profile.
            after: ``next`` of the page before, of cards() or page(); None: the first page.
            limit: as of page().
            order: as of page().
            filters: as of page().

        Returns:
            The cards; with ``next``, as of page(). A file that is deleted meanwhile is left out.

        Raises:
            InvalidArgumentError: as of page().
        """
        files = await self._page_of_places(profile_id, after, limit, order, filters)
        cards = await self._run(self._cards.all(ids=[placed.id for placed in files]))
        return Page(cards, next=files.next)

    async def count(
        self, profile_id: str, *, at_most: int | None = 1000, **filters: Unpack[FileFilters]
    ) -> int:
        """How many of a profile's files pass the filters, up to a bound: "1,000 and more".

        It stops at the bound, so that with no or one filter, and with several of which one passes at most
        2,000 files, it takes the same time among any number of files. Several that each pass more than
        2,000, and together few, are tried on all that one of them passes, a search of one or two
        characters on all files.

        Args:
            profile_id: the profile.
            at_most: the bound: it counts no further; None: counts all.
            filters: which files; the fields of FileFilters. None: all of the profile.

        Returns:
            The number, at most at_most; 0 for an unknown profile.
        """
        values = self._values(profile_id, filters)
        found = await self._driver(values, lambda _: True)
        return await self._run(
            self._count_matching.one(**_of(self._count_matching, values | found), limit=at_most)
        )

    async def _page_of_places(
        self,
        profile_id: str,
        after: File | str | None,
        limit: int | None,
        order: FileOrderLike,
        filters: FileFilters,
    ) -> Page[PlacedFile]:
        try:
            by, is_downward = _ORDERS[FileOrder(order)]
        except ValueError:
            problem = f"must be one of {', '.join(FileOrder)}, not {order!r}"
            raise invalid_argument("order", problem, value=order) from None
        values = self._values(profile_id, filters)
        found = await self._driver(values, lambda driver: by in _DRIVERS[driver])
        if found["driver"] in _RANGES:
            found["driver"] = "order"
        least, most = _ends(by, values)
        query = self._descending if is_downward else self._ascending
        start: dict[str, Any] | None = None
        if is_downward:
            start = {"key": most, "id": MAX_ID}
        elif least:
            start = {"key": _before(least), "id": MAX_ID}
        return await self._run(
            query.page(
                after=_place(after, by) if isinstance(after, File) else after,
                limit=limit,
                start=start,
                **_of(query, values | found | {"order": by, "least": least, "most": most}),
            )
        )

    async def _driver(
        self, values: dict[str, Any], is_enough: Callable[[str], bool]
    ) -> dict[str, Any]:
        """The driver.  is_enough: whether all files that a filter finds may be read in its order."""
        tags = values["tags"]
        given = [driver for driver in _DRIVERS if values[f"filter_{driver}"]]
        if not given:
            return {"driver": "order", "tag": None, "few": "[]"}
        if len(given) == 1 and is_enough(given[0]) and len(tags) < 2:
            return {"driver": given[0], "tag": next(iter(tags), None), "few": "[]"}
        rarest = await self._run(self._rarest.one(**_of(self._rarest, values), limit=_FEW + 1))
        driver = "few"
        if rarest.is_too_many:  # and so is each of the others
            driver = next(filter(is_enough, given), "order")
        return {"driver": driver, "tag": rarest.tag, "few": rarest.few}

    def _values(self, profile_id: str, filters: FileFilters) -> dict[str, Any]:
        """The parameters of all statements: which files pass."""
        if unknown := sorted(filters.keys() - FileFilters.__annotations__.keys()):
            known = ", ".join(FileFilters.__annotations__)
            raise TypeError(f"no filter of files: {', '.join(unknown)}; known: {known}")
        tags = filters.get("tags", ())
        if isinstance(tags, str | bytes) or not isinstance(tags, Iterable):
            raise wrong_type("tags", f"must be a list of str, not {type(tags).__name__}")
        folder = filters.get("folder", UNSET)
        search, speaker = filters.get("search"), filters.get("speaker")
        since, until = filters.get("since"), filters.get("until")
        min_size = _stored("min_size", to_integer, filters.get("min_size"))
        max_size = _stored("max_size", to_integer, filters.get("max_size"))
        min_length = _stored("min_length", to_real, filters.get("min_length"))
        max_length = _stored("max_length", to_real, filters.get("max_length"))
        trigrams = trigram_expression(escaped(search)) if isinstance(search, str) else None
        wanted_tags = sorted({normalized(tag, "tags") for tag in tags})
        return {
            "profile_id": profile_id,
            "filter_type": filters.get("type") is not None,
            "type": filters.get("type"),
            "filter_folder": folder is not UNSET,
            "folder": None if folder is UNSET else folder,
            "filter_status": filters.get("status") is not None,
            "status": filters.get("status"),
            "filter_tag": bool(wanted_tags),
            "tags": wanted_tags,
            "filter_speaker": speaker is not None,
            "speaker": speaker,
            "filter_collection": filters.get("collection_id") is not None,
            "collection_id": filters.get("collection_id"),
            "filter_search": search is not None,
            "search": search,
            "filter_trigrams": trigrams is not None,
            "expression": '""' if trigrams is None else trigrams,
            "filter_date": since is not None or until is not None,
            "since": _BEGINNING_OF_TIME if since is None else since,
            "until": END_OF_TIME if until is None else until,
            "filter_size": min_size is not None or max_size is not None,
            "min_size": 0 if min_size is None else min_size,
            "max_size": _MAX_SIZE if max_size is None else max_size,
            "min_size_key": f"{max(0, min_size or 0):019d}",
            "max_size_key": _LAST_KEY if max_size is None else f"{max_size:019d}",
            "filter_length": min_length is not None or max_length is not None,
            "min_length": 0.0 if min_length is None else min_length,
            "max_length": _MAX_LENGTH if max_length is None else max_length,
            "min_length_key": f"{max(0, (min_length or 0) - _ROUNDED):016.3f}",
            "max_length_key": _LAST_KEY
            if max_length is None
            else f"{max_length + _ROUNDED:016.3f}",
        }


def _stored(name: str, convert: Callable[[Any], Any], value: Any) -> Any:
    """The value as it is stored; TypeError or InvalidArgumentError that name the filter."""
    try:
        return convert(value)
    except TypeError as error:
        raise wrong_type(name, error) from None
    except ValueError as error:
        raise invalid_argument(name, error) from None


def _of(statement: Query[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that the statement has, but for its keyset and its limit."""
    return {name: values[name] for name in statement.parameters if name in values}


def _ends(by: str, values: Mapping[str, Any]) -> tuple[str, str]:
    """The least and the greatest key of the wanted files in this order."""
    if by == "name" or not values[f"filter_{by}"]:
        return "", _LAST_KEY
    if by == "date":
        since = _stored("since", to_moment, values["since"])
        return since, _before(_stored("until", to_moment, values["until"]))
    return values[f"min_{by}_key"], values[f"max_{by}_key"]


def _before(key: str) -> str:
    """A text before this key, and behind all lesser ones of its length."""
    return key[:-1] + chr(ord(key[-1]) - 1) + "~"


def _place(file: File, by: str) -> PlacedFile:
    """The place of a file in an order; TypeError where the file does not hold it."""
    if by != "date":
        raise wrong_type(
            "after", "must be the text of a page's next, unless files are ordered by their time"
        )
    return PlacedFile(key=to_moment(file.created_at) or "", id=file.id, file=file)
