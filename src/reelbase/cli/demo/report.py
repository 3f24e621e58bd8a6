"""The report that the demo ends with: the facts, and how they are printed."""

from __future__ import annotations

import os
import shlex

import msgspec

from reelbase.cli.demo.facts import Group, Holdings
from reelbase.cli.demo.kill import Kill, NoKill
from reelbase.cli.demo.queue import Found
from reelbase.cli.demo.search import Search, clock
from reelbase.cli.demo.workers import Done
from reelbase.cli.output import Table, in_one_line, print_tables, size
from reelbase.operations.quantities import counted

_VANISHED_SHOWN = 5

_LOOK = (
    "SELECT folder, type, count(*) AS files, sum(size_bytes) AS bytes "
    "FROM files GROUP BY folder, type ORDER BY bytes DESC LIMIT 20"
)


class Report(msgspec.Struct, frozen=True):
    """The findings and the work of a run, and the contents of the database now."""

    database: str
    database_bytes: int
    journal_mode: str
    journal_reason: str
    folder: str
    found: Found
    done: Done
    vanished: list[str]
    seconds: float
    files_per_second: float
    holdings: Holdings
    kill: Kill | NoKill
    search: Search
    look_inside: str
    python: list[str]


def look_inside(database: str) -> str:
    """A command for a POSIX shell."""
    return f'sqlite3 {shlex.quote(database)} "{_LOOK}"'


def print_report(report: Report) -> None:
    """Prints the report as tables."""
    held = report.holdings
    print_tables(
        [
            Table("What the database holds", ("table", "rows"), _row_counts(held)),
            Table("Files by type", ("type", "files", "transcripts", "size"), _groups(held.types)),
            Table(
                _folders_title(held),
                ("folder", "files", "transcripts", "size"),
                _groups(held.folders),
            ),
            Table(_search_title(report.search), ("sentence", "time", "file"), _hits(report)),
        ]
    )
    for line in _lines(report):
        print(in_one_line(line))
    print()
    print("Look inside:")
    print(f"  {report.look_inside}")
    print("Next: change, add or delete a file and run the same command again; or kill it and do.")
    print("The same search in three lines of Python:")
    print()
    for line in report.python:
        print(line)


def _lines(report: Report) -> list[str]:
    found, done = report.found, report.done
    lines = [
        f"Scanned   {report.folder}: {counted(found.files, 'file')}, {found.new:,} new, "
        f"{done.changed:,} changed, {found.unchanged + done.same:,} unchanged",
        f"Read      {counted(done.files, 'file')}, {size(done.size_bytes)} in {report.seconds:.1f} s"
        f" ({report.files_per_second:,.0f} files/s)",
    ]
    if found.left:
        lines.append(f"Resumed   {counted(found.left, 'job')} that an earlier run left")
    if done.failed:
        lines.append(f"Failed    {counted(done.failed, 'file')} could not be read; see jobs.error")
        lines += [f"          {_shown_path(failure, report)}" for failure in done.failures]
    lines += _kill_lines(report)
    if skipped := _skipped(report):
        lines.append(f"Skipped   {skipped}")
    if report.vanished:
        shown = ", ".join(report.vanished[:_VANISHED_SHOWN])
        more = ", …" if len(report.vanished) > _VANISHED_SHOWN else ""
        lines.append(
            f"Vanished  {counted(len(report.vanished), 'file')} that the database keeps: {shown}{more}"
        )
    return [
        *lines,
        f"Database  {report.database} ({size(report.database_bytes)})",
        f"Journal   {report.journal_reason}",
    ]


def _kill_lines(report: Report) -> list[str]:
    kill, jobs = report.kill, report.holdings.jobs
    if isinstance(kill, NoKill):
        return [f"Killed    no worker: {kill.reason}"]
    return [
        f"Killed    worker process {kill.pid} (SIGKILL), while it held the job of "
        f"{_shown_path(kill.path, report)}",
        f"          its lease ended {kill.lease_seconds:.1f} s later; claimed again (attempt "
        f"{kill.attempts}), the job {kill.status} {kill.seconds:.1f} s after the kill",
        f"          nothing is lost: {_finished(jobs):,} of {sum(jobs.values()):,} jobs are finished",
    ]


def _finished(jobs: dict[str, int]) -> int:
    return sum(count for status, count in jobs.items() if status not in {"queued", "running"})


def _search_title(search: Search) -> str:
    where = counted(search.segments, "segment")
    if search.is_of_sample:
        where += "; the folder has no subtitles, so this is from a sample that comes with reelbase"
    return f"Search for {search.words!r}, {search.seconds * 1000:.1f} ms, in {where}"


def _hits(report: Report) -> list[tuple[str, str, str]]:
    return [
        (hit.text, clock(hit.start_time), _shown_path(hit.path, report))
        for hit in report.search.hits
    ]


def _shown_path(path: str, report: Report) -> str:
    """Below the folder, as it is found there."""
    return path.removeprefix(os.path.join(report.folder, ""))


def _skipped(report: Report) -> str:
    skipped = report.found.skipped
    counts = [
        (skipped.hidden_folders, "hidden or cache folder"),
        (skipped.links, "symbolic link"),
        (skipped.special_files, "socket, pipe or device"),
        (skipped.unreadable, "unreadable file or folder"),
        (skipped.odd_names, "name that is no valid Unicode"),
        (skipped.database_files, "file of the database itself"),
    ]
    return ", ".join(f"{noun}: {number:,}" for number, noun in counts if number)


def _row_counts(held: Holdings) -> list[tuple[str, str]]:
    rows = [(name, f"{count:,}") for name, count in held.rows.items()]
    rows += [(f"  jobs {status}", f"{count:,}") for status, count in held.jobs.items()]
    rows += [(f"  batches {status}", f"{count:,}") for status, count in held.batches.items()]
    return rows


def _folders_title(held: Holdings) -> str:
    shown = len(held.folders)
    if shown == held.folder_count:
        return "Files by folder"
    return f"Files by folder (the largest {shown} of {held.folder_count:,})"


def _groups(groups: list[Group]) -> list[tuple[str, str, str, str]]:
    return [
        (group.name, f"{group.files:,}", f"{group.transcripts:,}", size(group.size_bytes))
        for group in groups
    ]
