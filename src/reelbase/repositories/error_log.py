"""Downloads that failed, by URL and domain."""

from __future__ import annotations

import builtins
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from reelbase.engine.file_names import Message
from reelbase.engine.ids import moment_before
from reelbase.engine.record import Record
from reelbase.engine.repository import SLICE, Repository
from reelbase.engine.statements.statement import Command, Query
from reelbase.repositories.credentials import text_without_credentials, url_without_credentials

_ERROR_LENGTH = 2000
# A longer text is cut before it is masked: masking takes the event loop's time, and an error may be the
# whole output of a program.
_ERROR_LENGTH_CONSIDERED = 16_000


def domain_of(url: str) -> str | None:
    """The host of a URL, in lower case, without port and userinfo; None for a URL without a host."""
    try:
        return urlsplit(url.strip()).hostname
    except ValueError:  # an opening bracket without an IPv6 address
        return None


def error_without_credentials(error: str) -> str:
    """The error as the log keeps it: credentials in it are masked, and it is cut to 2000 characters."""
    return text_without_credentials(_beginning(error))[:_ERROR_LENGTH]


def _beginning(error: str) -> str:
    """The beginning of a long error, without the word that the cut would tear."""
    if len(error) <= _ERROR_LENGTH_CONSIDERED:
        return error
    beginning = error[:_ERROR_LENGTH_CONSIDERED]
    words = beginning.rsplit(maxsplit=1)
    return words[0] if len(words) > 1 else beginning


class ErrorLogEntry(Record, frozen=True):
    """A failed download. url and error hold no credentials. domain: the host; None for a URL without one."""

    id: int
    url: Message
    domain: str | None
    error: Message
    format_id: str | None
    media_type: str | None
    session_id: str | None
    created_at: datetime


class DomainErrors(Record, frozen=True):
    """How many errors of a domain the log holds."""

    domain: str
    count: int


class ErrorLogRepository(Repository):
    """Errors of downloads by domain, table ``error_log``, for administrators; credentials in URLs are
    masked. Entries outlive sessions.
    """

    entity = "error log entry"

    _add = Command(
        ErrorLogEntry,
        """
        INSERT INTO error_log (url, domain, error, format_id, media_type, session_id, created_at)
        VALUES (:url, :domain, :error, :format_id, :media_type, :session_id, :created_at)
        RETURNING *
        """,
    )

    _list = Query(
        ErrorLogEntry,
        """
        SELECT *
        FROM error_log
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _list_of_domain = Query(
        ErrorLogEntry,
        """
        SELECT *
        FROM error_log
        WHERE domain = :domain
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    _count = Query(
        int,
        """
        SELECT count(*)
        FROM error_log
        """,
    )

    _newest = Query(
        int,
        """
        SELECT id
        FROM error_log
        ORDER BY id DESC
        LIMIT 1
        """,
    )

    _clear = Command(
        ErrorLogEntry,
        """
        DELETE FROM error_log
        WHERE id IN (
          SELECT id
          FROM error_log
          WHERE id <= :newest
          ORDER BY id
          LIMIT :slice
        )
        """,
        params={"newest": int, "slice": int},
    )

    _prune = Command(
        ErrorLogEntry,
        """
        DELETE FROM error_log
        WHERE id IN (
          SELECT id
          FROM error_log
          WHERE created_at < :before
          ORDER BY created_at, id
          LIMIT :slice
        )
        """,
        params={"before": datetime, "slice": int},
    )

    _top_domains = Query(
        DomainErrors,
        """
        SELECT domain, count(*) AS count
        FROM error_log
        WHERE domain IS NOT NULL
        GROUP BY domain
        ORDER BY count DESC, domain
        LIMIT :limit
        """,
    )

    async def add(
        self,
        url: str,
        error: str,
        *,
        session_id: str | None = None,
        format_id: str | None = None,
        media_type: str | None = None,
    ) -> ErrorLogEntry:
        """Logs a failure.

        Args:
            url: the URL; credentials in it are masked.
            error: the reason; credentials in it are masked, and it is cut to 2000 characters.
            session_id: the session of the download, or None; it need not exist.
            format_id: the format of the download, or None.
            media_type: the application's own word, or None.

        Returns:
            The entry.
        """
        masked = url_without_credentials(self._expect("url", url, str))
        return await self._run(
            self._add.one(
                url=masked,
                domain=domain_of(masked),
                error=error_without_credentials(self._expect("error", error, str)),
                format_id=format_id,
                media_type=media_type,
                session_id=session_id,
                created_at=self._now(),
            )
        )

    async def list(
        self, *, domain: str | None = None, limit: int | None = 100, offset: int = 0
    ) -> builtins.list[ErrorLogEntry]:
        """Entries, newest first.

        Args:
            domain: only entries of this domain; None: all.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The entries; [] when there are none.
        """
        if domain is None:
            return await self._run(self._list.all(limit=limit, offset=offset))
        self._expect("domain", domain, str)
        step = self._list_of_domain.all(domain=domain.lower(), limit=limit, offset=offset)
        return await self._run(step)

    async def count(self) -> int:
        """How many entries there are."""
        return await self._run(self._count.one())

    async def clear(self) -> int:
        """Deletes every entry that is there when it begins. Returns how many.

        Waiting writers get their turn meanwhile: every few hundred entries are a transaction of their own,
        unless this is called in a unit of work.
        """
        newest = await self._run(self._newest.optional())
        clear = self._clear.count(newest=newest or 0, slice=SLICE)
        return sum([count async for (count,) in self._slices(clear)])

    async def prune(self, older_than: timedelta) -> int:
        """Deletes the entries that are older than this. Returns how many.

        Waiting writers get their turn meanwhile: every few hundred entries are a transaction of their own,
        unless this is called in a unit of work.
        """
        prune = self._prune.count(
            before=moment_before(self._now(), "older_than", older_than), slice=SLICE
        )
        return sum([count async for (count,) in self._slices(prune)])

    async def top_domains(self, limit: int = 10) -> builtins.list[DomainErrors]:
        """The domains with the most errors, most first, then by name."""
        return await self._run(self._top_domains.all(limit=limit))
