"""Observers for monitoring: spans for OpenTelemetry, figures for Prometheus.

connect("media.db", observers=[reelbase.telemetry.OpenTelemetry()])
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Any

from reelbase import DatabaseError, JobQueue, JobStatus, Observer, StatementEvent, UnitEvent

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from reelbase.database import Database
    from reelbase.synchronous import SyncDatabase

__all__ = ["Metrics", "OpenTelemetry", "prometheus_text"]

_OPERATION = re.compile(r"(SELECT|INSERT|UPDATE|DELETE|REPLACE|VALUES)\b", re.IGNORECASE)


class OpenTelemetry(Observer):
    """A span for each statement, and one for each unit of work and snapshot.

    Its parent is the span that is open where the call is made, although the statement runs on another thread.
    Attributes follow the semantic conventions for databases (``db.system.name``, ``db.query.text``,
    ``db.operation.name``, ``db.response.returned_rows``, ``error.type``); the name of the span is the
    method's, ``FileRepository.page``. Parameters are never in it. ``reelbase.waited_seconds`` is the time in
    the queue, which the span does not contain.

    tracer_provider: where the spans go; None: the provider of the process.

    Raises ImportError without opentelemetry-api, which ``reelbase[telemetry]`` brings.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        try:
            from opentelemetry import trace  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ImportError(
                "reelbase.telemetry.OpenTelemetry needs opentelemetry-api: pip install 'reelbase[telemetry]'"
            ) from error
        self._trace = trace
        self._tracer = trace.get_tracer("reelbase", tracer_provider=tracer_provider)

    def statement(self, event: StatementEvent) -> None:
        """As of Observer."""
        attributes: dict[str, Any] = {
            "db.system.name": "sqlite",
            "db.query.text": event.sql,
            "reelbase.waited_seconds": event.waited_seconds,
        }
        if operation := _OPERATION.match(event.sql):  # WITH may begin any of them
            attributes["db.operation.name"] = operation[1].upper()
        if event.rows is not None and not event.writes:
            attributes["db.response.returned_rows"] = event.rows
        self._record(
            event.name, self._trace.SpanKind.CLIENT, event.seconds, event.error, attributes
        )

    def unit(self, event: UnitEvent) -> None:
        """As of Observer."""
        attributes: dict[str, Any] = {
            "db.system.name": "sqlite",
            "reelbase.unit": event.name,
            "reelbase.outcome": event.outcome,
            "reelbase.waited_seconds": event.waited_seconds,
        }
        self._record(
            event.kind, self._trace.SpanKind.INTERNAL, event.seconds, event.error, attributes
        )

    def _record(
        self,
        name: str,
        kind: Any,
        seconds: float,
        error: BaseException | None,
        attributes: dict[str, Any],
    ) -> None:
        ended = time.time_ns()
        if isinstance(error, DatabaseError):
            attributes["db.response.status_code"] = error.code
        if error is not None:
            attributes["error.type"] = type(error).__qualname__
        span = self._tracer.start_span(
            name, kind=kind, attributes=attributes, start_time=ended - round(seconds * 1e9)
        )
        if error is not None:
            span.record_exception(error, timestamp=ended)
            span.set_status(self._trace.StatusCode.ERROR, str(error))
        span.end(ended)


class Metrics(Observer):
    """Adds up statements by method, and units by kind and outcome, for prometheus_text()."""

    def __init__(self) -> None:
        self._lock = Lock()  # statements end on several threads
        self._statements: dict[str, _Sum] = {}
        self._units: dict[tuple[str, str], _Sum] = {}

    def statement(self, event: StatementEvent) -> None:
        """As of Observer."""
        with self._lock:
            self._statements.setdefault(event.name, _Sum()).add(event)

    def unit(self, event: UnitEvent) -> None:
        """As of Observer."""
        with self._lock:
            self._units.setdefault((event.kind, event.outcome), _Sum()).add(event)

    def lines(self, *, process: str | None = None) -> Iterator[str]:
        """The figures in Prometheus's text format, line by line. process: a label of each; None: none."""
        with self._lock:
            statements = [
                (_labels(name=name, process=process), sums.copy())
                for name, sums in sorted(self._statements.items())
            ]
            units = [
                (_labels(kind=kind, outcome=outcome, process=process), sums.copy())
                for (kind, outcome), sums in sorted(self._units.items())
            ]
        for what, text, sums in (
            ("statement", "statements by method", statements),
            ("unit", "units of work and snapshots by outcome", units),
        ):
            yield from _family(f"{what}_seconds", "summary", f"Seconds of {text}.")
            for labels, figures in sums:
                yield f"reelbase_{what}_seconds_count{labels} {figures.count}"
                yield f"reelbase_{what}_seconds_sum{labels} {figures.seconds:.6f}"
            yield from _family(
                f"{what}_waited_seconds_total", "counter", f"Seconds that {text} have waited."
            )
            for labels, figures in sums:
                yield f"reelbase_{what}_waited_seconds_total{labels} {figures.waited:.6f}"
            yield from _family(f"{what}_errors_total", "counter", f"Errors of {text}.")
            for labels, figures in sums:
                yield f"reelbase_{what}_errors_total{labels} {figures.errors}"


class _Sum:
    """Events, added up."""

    def __init__(self) -> None:
        self.count = 0
        self.errors = 0
        self.seconds = 0.0
        self.waited = 0.0

    def add(self, event: StatementEvent | UnitEvent) -> None:
        self.count += 1
        self.errors += event.error is not None
        self.seconds += event.seconds
        self.waited += event.waited_seconds

    def copy(self) -> _Sum:
        copied = _Sum()
        vars(copied).update(vars(self))
        return copied


def prometheus_text(
    database: Database | SyncDatabase,
    metrics: Metrics | None = None,
    *,
    process: str | None = None,
    queues: Sequence[JobQueue] | None = None,
    counts: Mapping[JobStatus, int] | None = None,
) -> str:
    """The figures of a Database in Prometheus's text format (version 0.0.4), for a route ``/metrics``.

    It reads nothing from the file, so it may be asked at any rate; queues and counts were read before. The
    figures of jobs are the file's, all others of this Database alone. With several processes behind
    one port (``uvicorn --workers 2``) a scrape reaches any one of them: with ``process=str(os.getpid())``
    each has figures of its own, to be added up; without, a figure would jump from that of one process to
    that of another.

    Args:
        database: its queues, readers, hops and commits are reported, as of Database.activity().
        metrics: one of its observers; its sums are added; None: none.
        process: a label of all figures of this process; None: none.
        queues: of jobs.queues(): for each type how many jobs wait for a worker, and for how many seconds the
            first of them has; None: left out.
        counts: of jobs.counts_by_status(): how many jobs have each status; None: left out. This reads all
            top-level jobs, finished ones too.
    """
    activity = database.activity()
    figures: list[tuple[str, str, str, float]] = [
        ("waiting_writes", "gauge", "Calls in the queue of the writer.", activity.waiting_writes),
        ("waiting_reads", "gauge", "Calls in the queue of the readers.", activity.waiting_reads),
        (
            "oldest_reader_seconds",
            "gauge",
            "Age of the oldest open snapshot, stream, backup or check.",
            activity.oldest_reader_seconds or 0.0,
        ),
        ("calls_total", "counter", "Reads, writes and units that were run.", activity.calls),
        ("hops_total", "counter", "How often a thread was woken for calls.", activity.hops),
        ("hops_saved_total", "counter", "Calls that shared a hop.", activity.hops_saved),
        ("commits_total", "counter", "Commits of the writer.", activity.commits),
    ]
    lines: list[str] = []
    for name, kind, text, figure in figures:
        lines += [*_family(name, kind, text), f"reelbase_{name}{_labels(process=process)} {figure}"]
    if metrics is not None:
        lines += metrics.lines(process=process)
    if queues is not None:
        lines += _lines_of_queues(queues)
    if counts is not None:
        lines += _family("jobs", "gauge", "Jobs without a parent, by status.")
        lines += [
            f"reelbase_jobs{_labels(status=status)} {counts.get(status, 0)}" for status in JobStatus
        ]
    return "\n".join(lines) + "\n"


def _lines_of_queues(queues: Sequence[JobQueue]) -> Iterator[str]:
    now = datetime.now(UTC)
    yield from _family("waiting_jobs", "gauge", "Jobs that wait for a worker, by type.")
    for queue in queues:
        yield f"reelbase_waiting_jobs{_labels(type=queue.type)} {queue.count}"
    yield from _family(
        "oldest_waiting_job_seconds",
        "gauge",
        "How long the first of these jobs has waited, by type.",
    )
    for queue in queues:
        seconds = max((now - queue.waiting_since).total_seconds(), 0.0)
        yield f"reelbase_oldest_waiting_job_seconds{_labels(type=queue.type)} {seconds:.3f}"


def _family(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP reelbase_{name} {text}"
    yield f"# TYPE reelbase_{name} {kind}"


def _labels(**labels: str | None) -> str:
    """The labels that are not None, in braces; '' when there is none."""
    pairs = [f'{name}="{_escaped(value)}"' for name, value in labels.items() if value is not None]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
