"""``reelbase jobs``: which jobs are there, and how did they end? Retries, cancels, gives back; pauses and
limits their types."""

from __future__ import annotations

import argparse
import json
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from reelbase import InvalidArgumentError, Job, JobStatus, Snapshot, UnitOfWork
from reelbase.cli.arguments import add_database, add_json, existing
from reelbase.cli.output import Table, in_one_line, print_tables
from reelbase.cli.process import UsageError, run_async

Move = Callable[[UnitOfWork, str], Awaitable[Job]]
Facts = TypeVar("Facts", bound=msgspec.Struct)


class JobsFacts(msgspec.Struct, frozen=True):
    """jobs: the requested or changed jobs, as they are now.  next: the value for --after; None at the end."""

    jobs: list[Job]
    next: str | None = None


class JobTypeFacts(msgspec.Struct, frozen=True):
    """The state of the jobs of a type. waiting: how many could be claimed now.  waiting_since: since when
    the first of them; None: none waits.  paused_at: since when it is paused; None: it is not.  running_limit:
    how many may run at once; None: any number.  start_limit: how many may start within start_seconds; None:
    any number."""

    type: str
    waiting: int
    waiting_since: datetime | None
    paused_at: datetime | None
    running_limit: int | None
    start_limit: int | None
    start_seconds: float | None


class JobTypesFacts(msgspec.Struct, frozen=True):
    """types: the named ones; else each type with waiting jobs, and each paused or limited type."""

    types: list[JobTypeFacts]


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
        help="list, show, retry, cancel and release jobs; pause and limit their types",
        description=(
            "Shows the jobs of a database, moves them, and holds types of them back, in all processes. The"
            " application may go on meanwhile."
        ),
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
    types = commands.add_parser(
        "types", help="show the types of which jobs wait, and those that are paused or limited"
    )
    add_database(types)
    add_json(types)
    types.set_defaults(run=_run_types)
    for name, help in (
        ("pause", "keep all workers from claiming jobs of these types; those that run go on"),
        ("resume", "end the pause of these types"),
    ):
        holding = commands.add_parser(name, help=help, description=f"To {help}.")
        _add_types(holding)
        holding.set_defaults(run=_run_types)
    limiting = commands.add_parser(
        "limit",
        help="set how many jobs of these types may run at once, or start within a period",
        description=(
            "Sets how many jobs of each of these types may run at once, or start within a period, in all"
            " processes. What is not given stays as it is; none takes a limit away."
        ),
    )
    _add_types(limiting)
    limiting.add_argument(
        "--running",
        type=_number_or_none,
        default=UNSET,
        metavar="N",
        help="how many run at once, at most; none: any number",
    )
    limiting.add_argument(
        "--starts",
        type=_number_or_none,
        default=UNSET,
        metavar="N",
        help="how many are claimed within --per seconds, at most; none: any number",
    )
    limiting.add_argument("--per", type=_period, metavar="SECONDS", help="the period of --starts")
    limiting.set_defaults(run=_run_types)


def _number_or_none(text: str) -> int | None:
    try:
        return None if text == "none" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number or none, not {text!r}") from None


def _period(text: str) -> timedelta:
    try:
        return timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"must be seconds, not {text!r}") from None


def _add_types(parser: argparse.ArgumentParser) -> None:
    add_database(parser)
    parser.add_argument("types", metavar="TYPE", nargs="+", help="the type of the jobs")
    add_json(parser)


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


def _run_types(arguments: argparse.Namespace) -> int:
    facts = _done(_types(arguments) if arguments.what == "types" else _hold(arguments))
    if not _has_printed_json(facts, arguments):
        _print_types(facts.types, f"Types of jobs of {in_one_line(arguments.file)}")
    return 0


def _done(work: Coroutine[Any, Any, Facts]) -> Facts:
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


async def _types(arguments: argparse.Namespace) -> JobTypesFacts:
    async with existing(arguments.file) as database, database.snapshot() as view:
        return JobTypesFacts(await _types_of(view))


async def _hold(arguments: argparse.Namespace) -> JobTypesFacts:
    if arguments.what == "limit" and arguments.running is UNSET and arguments.starts is UNSET:
        raise UsageError("name --running or --starts with --per")
    async with existing(arguments.file) as database, database.transaction() as unit:
        for type in arguments.types:
            if arguments.what == "limit":
                await unit.jobs.limit(
                    type,
                    running=arguments.running,
                    starts=arguments.starts,
                    per=arguments.per,
                )
            elif arguments.what == "pause":
                await unit.jobs.pause(type)
            else:
                await unit.jobs.resume(type)
        found = {facts.type: facts for facts in await _types_of(unit)}
        free = JobTypeFacts("", 0, *[None] * 5)
        return JobTypesFacts(
            [
                found.get(type, msgspec.structs.replace(free, type=type))
                for type in dict.fromkeys(arguments.types)
            ]
        )


async def _types_of(view: Snapshot | UnitOfWork) -> list[JobTypeFacts]:
    queues = {queue.type: queue for queue in await view.jobs.queues()}
    paused, limits, rates = (
        await view.jobs.paused(),
        await view.jobs.limits(),
        await view.jobs.rates(),
    )
    found = []
    for type in sorted({*queues, *paused, *limits, *rates}):
        queue = queues.get(type)
        starts, per = rates.get(type, (None, None))
        facts = JobTypeFacts(
            type=type,
            waiting=0 if queue is None else queue.count,
            waiting_since=None if queue is None else queue.waiting_since,
            paused_at=paused.get(type),
            running_limit=limits.get(type),
            start_limit=starts,
            start_seconds=None if per is None else per.total_seconds(),
        )
        found.append(facts)
    return found


def _has_printed_json(facts: msgspec.Struct, arguments: argparse.Namespace) -> bool:
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
            _time(job.created_at),
        ]
        for job in jobs
    ]
    columns = ["job", "type", "profile", "status", "done", "attempts", "worker", "created at"]
    print_tables([Table(title, columns, rows)])


def _print_types(types: list[JobTypeFacts], title: str) -> None:
    rows = [
        [
            facts.type,
            str(facts.waiting),
            _time(facts.waiting_since),
            _time(facts.paused_at),
            "" if facts.running_limit is None else str(facts.running_limit),
            ""
            if facts.start_limit is None
            else f"{facts.start_limit} in {facts.start_seconds:g} s",
        ]
        for facts in types
    ]
    columns = ["type", "waiting", "since", "paused since", "run at once", "start"]
    print_tables([Table(title, columns, rows)])


def _time(time: datetime | None) -> str:
    return "" if time is None else time.isoformat(sep=" ", timespec="seconds")
