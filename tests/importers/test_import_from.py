"""Promises about databases of other applications: every row is accounted for, the old file is left alone, and
the new one is sound."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from commands import run
from old_databases import (
    EXPECTED,
    NAMES,
    counts,
    digest,
    imported,
    old_database,
    read_back,
    rejects,
    rows_of,
)

import reelbase
from reelbase import DatabaseError, InvalidArgumentError, SchemaError
from reelbase.importers.importer import APPLICATIONS
from reelbase.importers.importer import NAMES as APPLICATION_NAMES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where an old database lies; the new one does not."""
    path = tmp_path / "old"
    path.mkdir()
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_database_gives_its_counts(name: str, folder: Path, tmp_path: Path) -> None:
    report = imported(old_database(name, folder), tmp_path / "new.db")
    assert counts(report) == EXPECTED[name]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_every_imported_row_is_read_back_from_a_sound_database(
    name: str, folder: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new.db"
    report = imported(old_database(name, folder), new)
    found = read_back(new)
    tables = [
        what for what in report.imported if what not in ("job_references", "profiles.active_*")
    ]
    assert {table: report.imported[table] for table in tables} == {
        table: found[table] for table in tables
    }
    assert sum(found.values()) == sum(report.imported[table] for table in tables)


# What triggers keep, which are off while rows are imported.
OUT_OF_PLACE = """
SELECT 'batch', id
FROM jobs
WHERE is_batch <> EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = jobs.id)
UNION ALL
SELECT 'status', file_id
FROM file_processing AS processing
JOIN files ON files.id = file_id
WHERE (processing.profile_id, processing.file_created_at) IS NOT (files.profile_id, files.created_at)
UNION ALL
SELECT 'tag', file_id
FROM file_tags
JOIN files ON files.id = file_id
WHERE file_created_at IS NOT files.created_at
"""


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_imported_files_are_found_by_status_and_tag_and_batches_are_no_jobs_to_claim(
    name: str, folder: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new.db"
    imported(old_database(name, folder), new)
    assert rows_of(new, OUT_OF_PLACE) == []
    with reelbase.connect_sync(new) as database:
        for profile in database.profiles.list():
            files = database.files.list_for_profile(profile.id)
            tagged = database.tags.for_files([file.id for file in files])
            for file in files:
                for tag in tagged.get(file.id, []):
                    found = database.files.page(profile.id, tags=[tag.name], limit=None)
                    assert file.id in [each.id for each in found]


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_come_along_is_in_the_file_of_rejects(
    name: str, folder: Path, tmp_path: Path
) -> None:
    report = imported(old_database(name, folder), tmp_path / "new.db")
    lines = rejects(tmp_path / "new.db")
    assert report.rejects == (Path(f"{tmp_path / 'new.db'}.rejects.ndjson") if lines else None)
    reasons = [f"{line['table']}: {line['reason']}" for line in lines]
    for reason, number in report.rejected.items():
        assert reasons.count(reason) == number
    lost = [line["reason"].removeprefix("no home: ") for line in lines]
    for what, number in report.no_home.items():
        assert sum(what in reason for reason in lost) >= number, what
    assert all(line["row"] for line in lines)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_second_import_gives_the_same_ids(name: str, folder: Path, tmp_path: Path) -> None:
    old = old_database(name, folder)
    first, second = imported(old, tmp_path / "1.db"), imported(old, tmp_path / "2.db")
    assert first.ids == second.ids
    for table in first.imported:
        if table not in ("job_references", "profiles.active_*"):
            sql = f"SELECT * FROM {table} ORDER BY 1"
            keys = [[row[:1] for row in rows_of(tmp_path / file, sql)] for file in ("1.db", "2.db")]
            assert keys[0] == keys[1]


@pytest.mark.parametrize("name", NAMES)
def test_the_old_database_and_its_folder_stay_as_they_are(
    name: str, folder: Path, tmp_path: Path
) -> None:
    old = old_database(name, folder)
    before = digest(folder)
    imported(old, tmp_path / "new.db")
    assert digest(folder) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_dry_run_counts_the_same_and_makes_nothing(
    name: str, folder: Path, tmp_path: Path
) -> None:
    old = old_database(name, folder)
    report = imported(old, tmp_path / "far" / "off" / "new.db", dry_run=True)
    assert counts(report) == EXPECTED[name]
    assert report.rejects is None
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.long
def test_what_is_in_the_log_beside_the_old_database_counts(folder: Path, tmp_path: Path) -> None:
    old = old_database("media-rip", folder)
    with closing(sqlite3.connect(old)) as native:
        native.execute("PRAGMA journal_mode = WAL")
        native.execute("PRAGMA wal_autocheckpoint = 0")
        native.execute("INSERT INTO config VALUES ('late', '1', NULL)")
        native.commit()
        report = imported(old, tmp_path / "new.db")
        before = digest(folder)
        imported(old, tmp_path / "again.db")
        assert digest(folder) == before
    assert report.imported["config"] == EXPECTED["media-rip"]["imported"]["config"] + 1


@pytest.mark.long
def test_the_old_database_is_read_as_it_was_at_one_moment(folder: Path, tmp_path: Path) -> None:
    old = old_database("media-rip", folder)
    with closing(sqlite3.connect(old, isolation_level=None)) as native:
        native.execute("PRAGMA journal_mode = WAL")

        def write(done: int, total: int) -> None:
            native.execute(
                "INSERT INTO config VALUES (?, '1', NULL)", (f"late {done} {time.time()}",)
            )

        for number in range(2000):
            native.execute("INSERT INTO sessions VALUES (?, '2026-01-01', '2026-01-01')", (number,))
        report = imported(old, tmp_path / "new.db", progress=write)
        assert native.execute("SELECT count(*) FROM config").fetchone()[0] > 9
    assert report.imported["config"] == 9


def test_unknown_columns_and_tables_are_named_and_kept_in_the_file_of_rejects(
    folder: Path, tmp_path: Path
) -> None:
    old = old_database("media-rip", folder)
    with closing(sqlite3.connect(old)) as native:
        native.execute("ALTER TABLE jobs ADD COLUMN rating INTEGER")
        native.execute("UPDATE jobs SET rating = 5 WHERE status = 'completed'")
        native.execute("CREATE TABLE bookmarks (url TEXT)")
        native.execute("INSERT INTO bookmarks VALUES ('https://example.org')")
        native.commit()
    report = imported(old, tmp_path / "new.db")
    assert report.no_home == {"jobs.rating": 4, "table bookmarks": 1}
    assert any("rating" in note for note in report.notes)
    lines = rejects(tmp_path / "new.db")
    assert [line["row"]["rating"] for line in lines if line["table"] == "jobs"] == [5] * 4
    assert lines[-1]["row"] == {"url": "https://example.org"}


def test_optional_columns_and_tables_may_be_missing(folder: Path, tmp_path: Path) -> None:
    old = old_database("mirumoji-3", folder)
    with closing(sqlite3.connect(old)) as native:
        native.execute("DROP INDEX ix_files_source_file_id")
        native.execute(
            "CREATE TABLE older AS SELECT id, profile_id, name, path, created_at FROM files"
        )
        native.execute("DROP TABLE files")
        native.execute("ALTER TABLE older RENAME TO files")
        native.commit()
    report = imported(old, tmp_path / "new.db")
    assert report.imported["files"] == EXPECTED["mirumoji-3"]["imported"]["files"]
    sql = "SELECT DISTINCT type, folder, source_file_id, origin FROM files"
    assert rows_of(tmp_path / "new.db", sql) == [(None,) * 4]


def test_an_older_media_rip_has_no_logs(folder: Path, tmp_path: Path) -> None:
    old = old_database("media-rip", folder)
    with closing(sqlite3.connect(old)) as native:
        native.executescript("DROP TABLE error_log; DROP TABLE unsupported_urls;")
    report = imported(old, tmp_path / "new.db")
    assert report.read == {"sessions": 34, "jobs": 12, "config": 9}


def test_a_database_of_no_known_application_is_refused_with_what_is_missing(
    folder: Path, tmp_path: Path
) -> None:
    old = old_database("media-rip", folder)
    with closing(sqlite3.connect(old)) as native:
        native.execute("ALTER TABLE jobs RENAME COLUMN url TO address")
        native.commit()
    with pytest.raises(SchemaError, match=r"media-rip: jobs\.url") as caught:
        imported(old, tmp_path / "new.db")
    assert caught.value.code == "foreign"
    assert set(caught.value.details["missing"]) == {str(each) for each in APPLICATIONS}
    with pytest.raises(SchemaError, match=r"lacks, of media-rip: jobs\.url"):
        imported(old, tmp_path / "new.db", "media-rip")
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"no database\n" * 100, "neither an SQLite database nor"),
        (b"PGDMP\x01\x0e", "pg_restore -f out.sql"),
        (b"\x1f\x8b\x08", "unpack it"),
        (b"INSERT INTO public.user VALUES (1);\n", "without --inserts"),
        (b"SET client_encoding = 'MULE_INTERNAL';\n", "--encoding=UTF8"),
        (b"COPY public.a (b) FROM stdin;\nc\n", "is cut off"),
        (b"COPY public.a (b) FROM stdin;\nc\td\n\\.\n", "a row of a has 2 values for 1 columns"),
        (b"CREATE TABLE public.a (\n    b text\n", "is cut off"),
    ],
)
def test_what_is_no_database_is_refused_with_a_remedy(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.write_bytes(content)
    with pytest.raises(SchemaError, match=problem):
        imported(old, tmp_path / "new.db")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_dump_without_its_last_line_is_refused(folder: Path, tmp_path: Path) -> None:
    old = old_database("opentranscribe", folder)
    content = old.read_text("utf-8")
    old.write_text(content[: content.index("COPY public.user_setting")], "utf-8")
    with pytest.raises(SchemaError, match="cut off") as caught:
        imported(old, tmp_path / "new.db")
    assert caught.value.code == "incomplete"


@pytest.mark.long
def test_a_database_of_reelbase_is_refused(tmp_path: Path) -> None:
    assert run("init", tmp_path / "old.db") == 0
    with pytest.raises(SchemaError, match="is a database of reelbase already"):
        imported(tmp_path / "old.db", tmp_path / "new.db")


def test_an_application_that_there_is_not_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="media-rip"):
        imported(old_database("media-rip", folder), tmp_path / "new.db", "plex")


@pytest.mark.long
def test_a_database_with_rows_is_not_imported_into(folder: Path, tmp_path: Path) -> None:
    old, new = old_database("media-rip", folder), tmp_path / "new.db"
    imported(old, new)
    before = digest(tmp_path / "old"), new.read_bytes()
    with pytest.raises(DatabaseError) as caught:
        imported(old, new)
    assert caught.value.code == "not_empty"
    assert (digest(tmp_path / "old"), new.read_bytes()) == before


@pytest.mark.long
def test_an_import_fills_an_empty_database(folder: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.db"
    assert run("init", new) == 0
    imported(old_database("media-rip", folder), new)
    assert read_back(new)["downloads"] == 12


class _Stop(Exception):
    pass


@pytest.mark.parametrize("at", [1, 2, 5, 20, 60])
def test_an_import_that_is_given_up_leaves_nothing(at: int, folder: Path, tmp_path: Path) -> None:
    old = old_database("opentranscribe", folder)
    before, steps = digest(folder), 0

    async def cancelled() -> None:
        def step(done: int, total: int) -> None:
            nonlocal steps
            steps += 1
            if steps == at:
                task.cancel()

        task = asyncio.ensure_future(
            reelbase.import_from(None, old, tmp_path / "new.db", progress=step)
        )
        await task

    try:
        asyncio.run(cancelled())
    except asyncio.CancelledError:
        assert [path.name for path in tmp_path.iterdir()] == ["old"]
    else:
        assert read_back(tmp_path / "new.db")["files"] == 12
    assert digest(folder) == before


def test_an_error_of_progress_ends_the_import(folder: Path, tmp_path: Path) -> None:
    def step(done: int, total: int) -> None:
        raise _Stop

    with pytest.raises(_Stop):
        imported(old_database("opentranscribe", folder), tmp_path / "new.db", progress=step)


@pytest.mark.long
def test_a_kill_at_any_moment_leaves_the_old_file_untouched_and_no_half_new_one(
    folder: Path, tmp_path: Path
) -> None:
    old, new = old_database("stoat-and-ferret", folder), tmp_path / "new.db"
    before = digest(folder)
    code = (
        "import asyncio, sys, reelbase; print('ready', flush=True);"
        " asyncio.run(reelbase.import_from(None, sys.argv[1], sys.argv[2])); print('done', flush=True)"
    )
    outcomes = set()
    for delay in (0.0, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 2.0):
        process = subprocess.Popen(
            [sys.executable, "-c", code, old, new], stdout=subprocess.PIPE, env=os.environ
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(delay)
        process.kill()
        process.communicate()
        assert digest(folder) == before
        outcomes.add(new.exists())
        if new.exists():
            assert read_back(new)["projects"] == 5
            assert len(rejects(new)) > 10
            new.unlink()
    assert outcomes == {False, True}


@pytest.mark.long
def test_ids_go_on_where_the_old_ones_ended(folder: Path, tmp_path: Path) -> None:
    old, new = old_database("media-rip", folder), tmp_path / "new.db"
    with closing(sqlite3.connect(old)) as native:
        native.execute("DELETE FROM error_log WHERE id = 5")
        native.commit()
    imported(old, new)

    async def next_id() -> int:
        async with reelbase.connect(new) as database:
            return (await database.error_log.add("https://example.org", "e")).id

    assert asyncio.run(next_id()) == 6


def test_a_file_of_rejects_of_an_earlier_import_goes(folder: Path, tmp_path: Path) -> None:
    stale = tmp_path / "new.db.rejects.ndjson"
    stale.write_text("{}\n")
    imported(old_database("media-rip", folder), tmp_path / "new.db")
    assert not stale.exists()


@pytest.mark.long
def test_the_command_names_what_became_of_the_rows(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = old_database("mirumoji-3", folder), tmp_path / "new.db"
    assert run("import", "--from", "mirumoji", old, new) == 1
    said = capsys.readouterr().out
    assert "clips: FOREIGN KEY constraint failed" in said
    assert f"3 rows rejected; see {new}.rejects.ndjson" in said


@pytest.mark.long
def test_the_command_gives_the_report_as_json(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = old_database("media-rip", folder), tmp_path / "new.db"
    assert run("import", "--from", old, new, "--dry-run", "--json") == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert {part: said[part] for part in EXPECTED["media-rip"]} == EXPECTED["media-rip"]
    assert (said["dry_run"], said["application"], said["rejects"]) == (True, "media-rip", None)
    assert not new.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--from", "plex", "old", "new"),
        ("--from", "mirumoji", "old"),
        ("--from", "mirumoji", "old", "new", "--timezone", "Mars"),
        ("old",),
    ],
)
def test_the_command_refuses_wrong_use(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("import", *arguments) == 2
    assert "reelbase import: " in capsys.readouterr().err


@pytest.mark.long
def test_the_command_takes_the_time_zone_and_the_prefix(folder: Path, tmp_path: Path) -> None:
    old, new = old_database("mirumoji-2025", folder), tmp_path / "new.db"
    options = ("--timezone", "Asia/Tokyo", "--strip-prefix", "media_files/profiles/")
    assert run("import", "--from", "mirumoji", old, new, *options) == 1
    assert rows_of(new, "SELECT created_at FROM transcripts ORDER BY 1") == [
        ("2025-06-01T12:05:01.500Z",),
        ("2025-06-02T12:05:01.500Z",),
    ]
    assert rows_of(new, "SELECT count(*) FROM files WHERE path LIKE 'media_files%'") == [(0,)]


def test_every_application_has_a_database_here() -> None:
    assert {name.removesuffix("-3").removesuffix("-2025") for name in NAMES} == set(
        APPLICATION_NAMES
    )


def test_times_of_the_oldest_mirumoji_are_local_ones(folder: Path, tmp_path: Path) -> None:
    zone = timezone(timedelta(hours=2))
    old = old_database("mirumoji-2025", folder)
    imported(old, tmp_path / "new.db", zone=zone)
    (first, *_) = rows_of(tmp_path / "new.db", "SELECT created_at FROM transcripts ORDER BY 1")
    assert first == ("2025-06-01T19:05:01.500Z",)


@pytest.mark.long
def test_markers_of_a_video_editors_projects_come_along(folder: Path, tmp_path: Path) -> None:
    old, new = old_database("stoat-and-ferret", folder), tmp_path / "new.db"
    film = "d450f96e-dba8-4034-8a1d-f736fe297964"
    with closing(sqlite3.connect(old, isolation_level=None)) as native:
        native.execute("PRAGMA foreign_keys = OFF")
        native.executemany(
            "INSERT INTO project_markers VALUES (?, ?, ?, ?, ?, ?, '2026-08-01T12:00:00+00:00')",
            [
                ("a", film, -1, None, "early", "point"),
                ("b", film, 5, 3, "late", "section"),
                ("c", "gone", 5, 3, "lost", "section"),
            ],
        )
    report = imported(old, new)
    assert report.rejected["project_markers: project is gone"] == 1
    assert report.adjusted["marker start < 0 → 0"] == 1
    assert report.adjusted["marker start/end swapped"] == 1
    assert report.ids["time_markers"]["b"] == "4"

    async def read() -> list[tuple[float, float | None, str, object]]:
        async with reelbase.connect(new) as database:
            project = int(report.ids["projects"][film])
            markers = await database.markers.list_for_project(project)
            return [(one.start_time, one.end_time, one.label, one.data) for one in markers]

    assert asyncio.run(read()) == [
        (0.0, None, "early", {"region_type": "point"}),
        (1.5, None, "Intro", {"region_type": "point"}),
        (1.5, 9.25, "", {"region_type": "section"}),
        (3.0, 5.0, "late", {"region_type": "section"}),
    ]
