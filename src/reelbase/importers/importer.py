"""Importing the database of another application: import_from()."""

from __future__ import annotations

import os
from datetime import tzinfo
from pathlib import Path

from reelbase.engine.copies.backup import translated
from reelbase.engine.file.paths import file_path
from reelbase.engine.ids import utc_now
from reelbase.engine.secrets import Secrets
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.parameters import to_moment
from reelbase.engine.threads.copying import OnStep, Progress, on_a_thread
from reelbase.errors import SchemaError
from reelbase.importers.conversion import Application, Conversion, Options
from reelbase.importers.dgx_music import DGX_MUSIC
from reelbase.importers.media_rip import MEDIA_RIP
from reelbase.importers.mirumoji import MIRUMOJI
from reelbase.importers.mirumoji_2025 import MIRUMOJI_2025
from reelbase.importers.opentranscribe import OPENTRANSCRIBE
from reelbase.importers.outcome import ImportReport, Outcome, RejectsFile
from reelbase.importers.source import OldDatabase, old_database
from reelbase.importers.stoat_and_ferret import STOAT_AND_FERRET
from reelbase.operations.transfer.target import RowStore, store_rows

APPLICATIONS = (MIRUMOJI, MIRUMOJI_2025, MEDIA_RIP, DGX_MUSIC, STOAT_AND_FERRET, OPENTRANSCRIBE)
NAMES = tuple(dict.fromkeys(application.name for application in APPLICATIONS))

_ROWS_BETWEEN_STEPS = 500


async def import_from(
    application: str | None,
    old: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    zone: tzinfo | None = None,
    strip_prefix: str = "",
    encryption_key: str | None = None,
    secrets: Secrets | None = None,
    busy_timeout: float = 5.0,
    progress: Progress | None = None,
) -> ImportReport:
    """Makes a database from the one of another application.

    Every row is imported as it is, adjusted by a rule that has a name, or rejected. Rejected rows, and rows
    and values that the schema has no place for, are written to ``<new>.rejects.ndjson``, a line of JSON each:
    table, reason and row, without credentials. Unfinished work gets the status that the old application
    would have given it at its next start. The same database gives the same ids every time. Memory does not
    grow with the number of rows.

    The old database is only read, in one read transaction. The new one appears when it is complete; if the
    process is killed before, there is none.

    Args:
        application: mirumoji, media-rip, dgx-music, stoat-and-ferret or opentranscribe; None: the
            application that has these tables.
        old: its SQLite file, a -wal beside it included; for opentranscribe also a plain-text pg_dump.
        new: a new file; or a database of reelbase without rows.
        dry_run: everything is tried and counted, and nothing is kept.
        zone: the time zone in which the oldest mirumoji stored its times; None: the machine's.
        strip_prefix: the text that mirumoji's paths of 2025 lose at their beginning.
        encryption_key: OpenTranscribe's ENCRYPTION_KEY. With it and secrets API keys come along.
        secrets: the keys that encrypt the API keys from now on, as in connect().
        busy_timeout: seconds to wait for another process that has locked one of the files.
        progress: called now and then with (done_rows, total_rows), on the event loop.

    Returns:
        The report on the rows.

    Raises:
        InvalidArgumentError: there is no such application.
        SchemaError: code foreign, with the missing tables and columns: old is no database of that
            application, or of any of them; incomplete: a dump is cut off; empty.
        DatabaseError: code not_empty: new holds rows or objects.
        DatabaseIOError: a file is missing or cannot be used.
        DatabaseCorruptError: the old database is damaged.
    """
    if application is not None and application not in NAMES:
        raise invalid_argument("application", f"is none of {', '.join(NAMES)}: {application!r}")
    candidates = [each for each in APPLICATIONS if application in (None, each.name)]
    options = Options(zone, strip_prefix, encryption_key, secrets)
    work = ForeignImport(
        file_path(old, "old"), file_path(new, "new"), candidates, options, dry_run, busy_timeout
    )
    return await on_a_thread(work.run, progress)


class ForeignImport:
    """An import, as a thread runs it: from the first candidate with tables that the old database has."""

    def __init__(
        self,
        old: Path,
        new: Path,
        candidates: list[Application],
        options: Options,
        is_dry_run: bool,
        busy_timeout: float,
    ) -> None:
        self._old = old
        self._new = _beside_what_is_there(new) if is_dry_run else new
        self._candidates = candidates
        self._options = options
        self._is_dry_run = is_dry_run
        self._busy_timeout = busy_timeout
        self._done = self._total = 0

    def run(self, on_step: OnStep) -> ImportReport:
        """Imports. on_step: called now and then with (done_rows, total_rows)."""
        self._on_step = on_step
        with (
            translated(f"importing into {self._new}"),
            old_database(self._old, self._busy_timeout, self._loaded, self._step) as old,
        ):
            application = detected(self._candidates, old, self._old)
            self._total = sum(table.rows for table in old.tables.values())
            if self._is_dry_run:
                return self._imported(application, old, None)
            with RejectsFile(Path(f"{self._new}.rejects.ndjson")) as rejects:
                return self._imported(application, old, rejects)

    def _imported(
        self, application: Application, old: OldDatabase, rejects: RejectsFile | None
    ) -> ImportReport:
        outcome = Outcome(None if rejects is None else rejects.stream)
        written: Path | None = None

        def fill(store: RowStore) -> None:
            nonlocal written
            now = to_moment(utc_now())
            assert now is not None
            conversion = Conversion(
                application, old, store, outcome, self._options, now, self._count_row
            )
            application.convert(conversion)
            conversion.lose_other_tables()
            if rejects is not None:
                written = rejects.keep()  # before the database gets its name

        counts = store_rows(
            self._new,
            fill,
            busy_timeout_seconds=self._busy_timeout,
            on_step=self._step,
            keep=not self._is_dry_run,
        )
        return ImportReport(
            read=dict(outcome.read),
            imported=counts,
            adjusted=dict(outcome.adjusted),
            rejected=dict(outcome.rejected),
            no_home=dict(outcome.no_home),
            application=str(application),
            ids=outcome.ids,
            notes=outcome.notes,
            rejects=written,
        )

    def _loaded(self, rows: int) -> None:
        self._on_step(rows, rows + 1)  # how many a dump holds is not known before its end

    def _count_row(self) -> None:
        self._done += 1
        if self._done % _ROWS_BETWEEN_STEPS == 0:
            self._step()

    def _step(self) -> None:
        self._on_step(self._done, self._total)


def _beside_what_is_there(path: Path) -> Path:
    """The path in the nearest folder above it that there is: a trial makes no folders."""
    while not path.parent.is_dir():
        path = path.parent.with_name(path.name)
    return path


def detected(candidates: list[Application], old: OldDatabase, path: Path) -> Application:
    """The application that has these tables.

    Raises SchemaError (code foreign), with the missing tables and columns, when none of the candidates fits.
    """
    missing = {str(each): each.missing_in(old) for each in candidates}
    for each in candidates:
        if not missing[str(each)]:
            return each
    lines = "; ".join(f"{name}: {', '.join(lacks)}" for name, lacks in missing.items())
    raise SchemaError(
        f"{path} is no database that can be imported. It lacks, of {lines}",
        code="foreign",
        details={"missing": missing},
    )
