"""Promises about reelbase.telemetry: spans of OpenTelemetry and the text for Prometheus."""

from __future__ import annotations

import asyncio
import builtins
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, Tracer

import reelbase
from reelbase import Database, JobStatus, RecordNotFoundError
from reelbase.telemetry import Metrics, OpenTelemetry, prometheus_text
from reelbase.testing.clock import FrozenClock


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture
def tracer(provider: TracerProvider) -> Tracer:
    return provider.get_tracer("application")


@pytest.fixture
async def traced(
    path: Path, exporter: InMemorySpanExporter, provider: TracerProvider
) -> AsyncIterator[Database]:
    async with reelbase.connect(path, observers=[OpenTelemetry(provider)]) as database:
        await database.profiles.ensure("anna")
        exporter.clear()
        yield database


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_span_follows_the_conventions_for_databases(
    traced: Database, exporter: InMemorySpanExporter
) -> None:
    await traced.profiles.list()
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind) == ("ProfileRepository.list", SpanKind.CLIENT)
    found = attributes(span)
    assert found.pop("reelbase.waited_seconds") > 0
    assert found.pop("db.query.text").startswith("SELECT id, created_at")
    assert found == {
        "db.system.name": "sqlite",
        "db.operation.name": "SELECT",
        "db.response.returned_rows": 1,
    }
    assert span.start_time is not None
    assert span.end_time is not None
    assert 0 < span.end_time - span.start_time < 10**10


async def test_the_parent_is_the_span_of_the_caller(
    traced: Database, exporter: InMemorySpanExporter, tracer: Tracer
) -> None:
    async def request(name: str) -> None:
        with tracer.start_as_current_span(name):
            await traced.profiles.ensure(name)
            async with traced.transaction() as unit:
                await unit.profiles.list()

    await asyncio.gather(*(request(f"request {n}") for n in range(5)))
    spans = exporter.get_finished_spans()
    roots = {span.context.span_id: span.name for span in spans if span.context and not span.parent}
    parents = [roots[span.parent.span_id] for span in spans if span.parent]
    # Two statements of ensure(), list(), and the transaction.
    assert sorted(parents) == sorted(f"request {n}" for n in range(5) for _ in range(4))


async def test_an_error_is_on_its_span(traced: Database, exporter: InMemorySpanExporter) -> None:
    with pytest.raises(RecordNotFoundError):
        await traced.profiles.get("nobody")
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == "RecordNotFoundError"
    assert attributes(span)["db.response.status_code"] == "not_found"
    assert [event.name for event in span.events] == ["exception"]


async def test_a_unit_has_a_span_with_its_outcome(
    traced: Database, exporter: InMemorySpanExporter
) -> None:
    async with traced.transaction() as unit:
        await unit.rollback()
    (span,) = exporter.get_finished_spans()
    assert (span.name, attributes(span)["reelbase.outcome"]) == ("transaction", "rolled_back")


async def test_a_statement_that_begins_with_with_has_no_operation(
    traced: Database, exporter: InMemorySpanExporter
) -> None:
    await traced.fetch_one(int, "WITH one (x) AS (SELECT 1) SELECT x FROM one")
    (span,) = exporter.get_finished_spans()
    assert "db.operation.name" not in attributes(span)


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=re.escape("pip install 'reelbase[telemetry]'")):
        OpenTelemetry()


# Prometheus

FAMILY = re.compile(r"# (HELP|TYPE) (reelbase_[a-z_]+) (.+)")
SAMPLE = re.compile(r'(reelbase_[a-z_]+)(\{(?:[a-z]+="[^"\n]*",?)+\})? (\d+(?:\.\d+)?)')


def samples(text: str) -> dict[str, float]:
    """The samples by name and labels; every line must be of the format."""
    found: dict[str, float] = {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if sample := SAMPLE.fullmatch(line):
            assert sample[1] + (sample[2] or "") not in found
            found[sample[1] + (sample[2] or "")] = float(sample[3])
        else:
            assert FAMILY.fullmatch(line), line
    return found


async def test_the_text_has_what_the_database_does(database: Database) -> None:
    await database.profiles.ensure("anna")
    async with database.snapshot() as view:
        await view.profiles.list()
        found = samples(prometheus_text(database))
    assert found["reelbase_commits_total"] >= 1
    assert found["reelbase_calls_total"] >= found["reelbase_hops_total"] > 0
    assert found["reelbase_oldest_reader_seconds"] > 0
    assert found["reelbase_waiting_writes"] == 0


async def test_metrics_add_up_statements_and_units(path: Path) -> None:
    metrics = Metrics()
    async with reelbase.connect(path, observers=[metrics]) as database:
        for _ in range(3):
            await database.profiles.list()
        for name in ("nobody", "none"):
            with pytest.raises(RecordNotFoundError):
                await database.profiles.get(name)
        async with database.transaction():
            pass
        found = samples(prometheus_text(database, metrics))
    assert found['reelbase_statement_seconds_count{name="ProfileRepository.list"}'] == 3
    assert found['reelbase_statement_seconds_sum{name="ProfileRepository.list"}'] > 0
    assert found['reelbase_statement_errors_total{name="ProfileRepository.get"}'] == 2
    assert found['reelbase_unit_seconds_count{kind="transaction",outcome="committed"}'] == 1


def test_the_text_of_a_synchronous_database(path: Path) -> None:
    with reelbase.connect_sync(path) as database:
        assert samples(prometheus_text(database))["reelbase_waiting_reads"] == 0


async def test_the_text_has_the_jobs_that_wait_by_type_and_all_jobs_by_status(
    path: Path,
) -> None:
    long_ago = FrozenClock(datetime.now(UTC) - timedelta(seconds=100))
    async with reelbase.connect(path, clock=long_ago) as database:
        await database.profiles.ensure("anna")
        for type in ("scan", "scan", 'with "quotes"'):
            await database.jobs.add("anna", type, {})
        failed = await database.jobs.add("anna", "scan", {})
        await database.jobs.update(failed.id, status="failed")
        queues = await database.jobs.queues()
        counts = await database.jobs.counts_by_status()
        text = prometheus_text(database, queues=queues, counts=counts)
    assert 'reelbase_waiting_jobs{type="with \\"quotes\\""} 1' in text
    found = samples(text.replace('\\"', "'"))
    assert found['reelbase_waiting_jobs{type="scan"}'] == 2
    assert 100 <= found['reelbase_oldest_waiting_job_seconds{type="scan"}'] < 200
    statuses = {status: found[f'reelbase_jobs{{status="{status}"}}'] for status in JobStatus}
    assert statuses == {"queued": 3, "running": 0, "succeeded": 0, "failed": 1, "cancelled": 0}


async def test_the_figures_of_a_process_have_its_name_and_those_of_the_jobs_have_not(
    path: Path,
) -> None:
    metrics = Metrics()
    async with reelbase.connect(path, observers=[metrics]) as database:
        await database.profiles.ensure("anna")
        await database.jobs.add("anna", "scan", {})
        queues = await database.jobs.queues()
        found = samples(prometheus_text(database, metrics, process="7", queues=queues))
    named = {name for name in found if 'process="7"' in name}
    assert found.keys() - named == {
        'reelbase_waiting_jobs{type="scan"}',
        'reelbase_oldest_waiting_job_seconds{type="scan"}',
    }
    assert 'reelbase_commits_total{process="7"}' in named
    name = 'reelbase_statement_seconds_count{name="JobRepository.queues",process="7"}'
    assert found[name] == 1
