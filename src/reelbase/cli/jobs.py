"""``reelbase jobs``: which jobs are there, and what became of them? Retries, cancels, gives back."""

from __future__ import annotations

import argparse
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from reelbase import InvalidArgumentError, Job, JobStatus, UnitOfWork
from reelbase.cli.arguments import add_database, add_json, existing
from reelbase.cli.output import Table, in_one_line, print_tables
from reelbase.cli.process import UsageError, run_async

Move = Callable[[UnitOfWork, str], Awaitable[Job]]


class JobsFacts(msgspec.Struct, frozen=True):
    """jobs: those that were asked for, or as they are now.  next: what --after takes; None at the end."""

    jobs: list[Job]
    next: str | None = None


async def _retry(unit: UnitOfWork, job_id: str) -> Job:
    return await unit.jobs.retry(job_id)


async def _cancel(unit: UnitOfWork, job_id: str) -> Job:
    return await unit.jobs.cancel(job_id)


async def _release(unit: UnitOfWork, job_id: str) -> Job:
    job = await unit.jobs.get(job_id)
    return await unit.jobs.release(job.id, job.worker or "", attempt=job.attempts)


_MOVES: dict[str, tuple[Move, str]] = {
    "retry": (_retry, "queue finished jobs again; of a batch, the children that did not succeed"),
    "cancel": (
        _cancel,
        "cancel queued and running jobs with their children; finished ones stay as they are",
    ),
    "release": (
        _release,
        "take running jobs from their workers, which are gone, and queue them again",
    ),
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its own commands and their arguments."""
    parser = subparsers.add_parser(
        "jobs",
        help="list, show, retry, cancel and release jobs",
        description="Shows the jobs of a database, and moves them. The application may go on meanwhile.",
    )
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="what", required=True
    )
    listing = commands.add_parser("list", help="list jobs, the newest first")
    add_database(listing)
    listing.add_argument("--profile", metavar="ID", help="only of this profile")
    listing.add_argument("--status", choices=[status.value for status in JobStatus])
    listing.add_argument("--type", help="only of this type")
    listing.add_argument(
        "--limit", type=int, default=50, metavar="N", help="how many (50 unless it is given)"
    )
    listing.add_argument(
        "--after", metavar="TOKEN", help="go on behind a list, whose last line has the token"
    )
    add_json(listing)
    listing.set_defaults(run=_run_list)
    show = commands.add_parser("show", help="show jobs with all their fields")
    _add_ids(show)
    show.set_defaults(run=_run_show)
    for name, (_, help) in _MOVES.items():
        moving = commands.add_parser(
            name, help=help, description=f"To {help}. If one cannot be, none is."
        )
        _add_ids(moving)
        moving.set_defaults(run=_run_move)


def _add_ids(parser: argparse.ArgumentParser) -> None:
    add_database(parser)
    parser.add_argument("ids", metavar="ID", nargs="+", help="the job")
    add_json(parser)


def _run_list(arguments: argparse.Namespace) -> int:
    facts = _done(_list(arguments))
    if not _has_printed_json(facts, arguments):
        _print_table(facts.jobs, f"Jobs of {in_one_line(arguments.file)}")
        if facts.next is not None:
            print(f"more: --after {facts.next}")
    return 0


def _run_show(arguments: argparse.Namespace) -> int:
    facts = _done(_show(arguments))
    if not _has_printed_json(facts, arguments):
        for job in facts.jobs:
            for name, value in msgspec.to_builtins(job).items():
                print(in_one_line(f"{name:>17}: {'' if value is None else value}".rstrip()))
            print()
    return 0


def _run_move(arguments: argparse.Namespace) -> int:
    facts = _done(_move(arguments))
    if not _has_printed_json(facts, arguments):
        for job in facts.jobs:
            print(f"{job.id}: {job.status}")
    return 0


def _done(work: Coroutine[Any, Any, JobsFacts]) -> JobsFacts:
    try:
        return run_async(work)
    except InvalidArgumentError as error:
        raise UsageError(str(error)) from error


async def _list(arguments: argparse.Namespace) -> JobsFacts:
    async with existing(arguments.file) as database:
        page = await database.jobs.page(
            arguments.profile,
            after=arguments.after,
            limit=arguments.limit,
            status=arguments.status,
            type=arguments.type,
        )
        return JobsFacts(list(page), page.next)


async def _show(arguments: argparse.Namespace) -> JobsFacts:
    async with existing(arguments.file) as database, database.snapshot() as view:
        return JobsFacts([await view.jobs.get(job_id) for job_id in arguments.ids])


async def _move(arguments: argparse.Namespace) -> JobsFacts:
    move, _ = _MOVES[arguments.what]
    async with existing(arguments.file) as database, database.transaction() as unit:
        return JobsFacts([await move(unit, job_id) for job_id in arguments.ids])


def _has_printed_json(facts: JobsFacts, arguments: argparse.Namespace) -> bool:
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(facts), indent=2))
    return bool(arguments.json)


def _print_table(jobs: list[Job], title: str) -> None:
    rows = [
        [
            str(job.id),
            job.type,
            job.profile_id,
            job.status,
            f"{job.progress:.0%}",
            f"{job.attempts}/{job.max_attempts}",
            job.worker or "",
            job.created_at.isoformat(sep=" ", timespec="seconds"),
        ]
        for job in jobs
    ]
    columns = ["job", "type", "profile", "status", "done", "attempts", "worker", "created at"]
    print_tables([Table(title, columns, rows)])
