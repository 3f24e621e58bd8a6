"""``reelbase demo``: a folder comes in completely, once, however often it is killed and run again."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from conftest import FrozenClock

import reelbase
from reelbase import Database, File
from reelbase.cli.demo import kinds, queue, reader, scan, workers
from reelbase.cli.main import main

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(reelbase.__file__).parents[1])}

# The command with leases so short that a test can wait for them, and reading that takes a moment.
SLOW_COMMAND = """
import signal, sys, time
# Tests that run in the background have it ignored, and a child inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
from reelbase.cli.demo import reader, workers
workers.LEASE_SECONDS = {lease}
read = reader.Reader.read
def read_slowly(self, file):
    time.sleep({pause})
    return read(self, file)
reader.Reader.read = read_slowly
from reelbase.cli.main import main
sys.exit(main())
"""

CONTENTS: dict[str, bytes] = {
    "notes.txt": b"first\r\nsecond\n",
    "empty.txt": b"",
    "video.mp4": b"\x00\x01\xff" * 1000,
    "clip.srt": "1\n00:00:01,000 --> 00:00:02,000\nこんにちは\n".encode(),
    "season 1/episode [1].vtt": b"WEBVTT\n",
    "season 1/deep/er/ünïcode 日本.md": "# Überschrift\n".encode(),
    "season 1/latin1.txt": b"caf\xe9",
    "season 1/nul.txt": b"a\0b",
    'it\'s "odd"/new\nline.txt': b"odd",
    "big.txt": b"0123456789abcdef" * 65536,
    "data.bin": bytes(range(256)),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    for name, content in CONTENTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The database's path."""
    return tmp_path / "demo.db"


def demo(folder: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Runs the command in this process; the facts that it prints."""
    assert main(["demo", "--json", "--database", str(file), str(folder)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert isinstance(facts, dict)
    return facts


def start(
    folder: Path, file: Path, *, lease: float = 5.0, pause: float = 0.0, **streams: Any
) -> subprocess.Popen[str]:
    script = SLOW_COMMAND.format(lease=lease, pause=pause)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | streams
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, "demo", "--database", file, folder],
        env=ENVIRONMENT,
        **streams,
    )


def rows(file: Path, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(file, timeout=10)) as connection:
        return connection.execute(sql, parameters).fetchall()


def assert_complete(folder: Path, file: Path, *, all_at_first: bool = True) -> None:
    """Every file of the folder is in the database, once and as it is; every job has finished."""
    paths = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    stored = rows(file, "SELECT path, size_bytes, content_hash, folder, name FROM files")
    assert sorted(row[0] for row in stored) == sorted(paths)
    for path, size_bytes, content_hash, label, name in stored:
        assert size_bytes == len(paths[path])
        assert content_hash == hashlib.sha256(paths[path]).hexdigest()
        assert (folder / label / name) == Path(path)
    texts = rows(
        file, "SELECT path, text FROM transcripts JOIN files ON files.id = transcripts.file_id"
    )
    expected = {}
    for path, content in paths.items():
        if Path(path).suffix in {".txt", ".md", ".srt", ".vtt"}:
            with contextlib.suppress(UnicodeDecodeError):
                expected[path] = content.decode()
    assert len(texts) == len(expected)
    assert dict(texts) == expected
    assert rows(file, "SELECT DISTINCT status FROM jobs") == [("succeeded",)]
    assert rows(file, "SELECT count(*) FROM jobs WHERE completed <> total") == [(0,)]
    (jobs,) = rows(file, "SELECT count(*) FROM jobs WHERE parent_id IS NOT NULL")
    if all_at_first:
        assert jobs == (len(paths),)
    assert rows(file, "PRAGMA integrity_check") == [("ok",)]


# What a run brings in.


def test_a_folder_comes_in_as_it_is(
    folder: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = demo(folder, file, capsys)
    assert_complete(folder, file)
    assert facts["found"]["new"] == facts["done"]["read"] == len(CONTENTS)
    assert facts["done"]["size_bytes"] == sum(map(len, CONTENTS.values()))
    assert facts["holdings"]["rows"] == {
        "profiles": 1,
        "files": len(CONTENTS),
        "transcripts": 8,
        "jobs": len(CONTENTS) + 1,
    }
    assert facts["holdings"]["jobs"] == {"succeeded": len(CONTENTS)}
    assert facts["holdings"]["batches"] == {"succeeded": 1}
    assert facts["database"] == str(file)
    assert facts["journal_mode"] in {"wal", "delete"}
    assert facts["journal_reason"]
    assert facts["files_per_second"] > 0
    assert {group["name"] for group in facts["holdings"]["types"]} == {
        "text",
        "subtitle",
        "video",
        "other",
    }


async def test_jobs_name_their_files_and_transcripts(
    folder: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await asyncio.to_thread(demo, folder, file, capsys)
    async with reelbase.connect(file, create=False) as database:
        (batch,) = await database.jobs.list_for_profile("demo")
        assert batch.params == {"folder": str(folder)}
        assert batch.result == {"succeeded": len(CONTENTS), "failed": 0, "cancelled": 0}
        for transcript in await database.transcripts.list_for_profile("demo"):
            by_file = await database.jobs.find_referencing_file("demo", transcript.file_id)
            by_text = await database.jobs.find_referencing_transcript("demo", transcript.id)
            assert by_file == by_text == {batch.id}


def test_the_command_to_look_inside_works_in_a_shell(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "it's my $HOME.db"
    assert main(["demo", "--database", str(file), str(folder)]) == 0
    output = capsys.readouterr().out
    (command,) = (line for line in output.splitlines() if line.startswith("  sqlite3 "))
    assert "What the database holds" in output
    assert "WAL" in output or "rollback journal" in output
    if shutil.which("sqlite3"):
        shown = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
        assert ".|other|1|256" in shown.stdout.splitlines()


def test_what_no_column_can_hold_or_nobody_can_read_is_counted(
    folder: Path,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = {"links": 3, "special_files": 1, "hidden_folders": 4, "unreadable": 2}
    for name in (".git", "node_modules", "__pycache__", "env"):
        (folder / name).mkdir()
        (folder / name / "inside.txt").write_text("no")
    (folder / "env/pyvenv.cfg").write_text("")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "link.txt").symlink_to(folder / "notes.txt")
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    if sys.platform == "linux":
        Path(os.fsdecode(os.fsencode(folder) + b"/undecodable \xff.txt")).write_text("x")
        Path(os.fsdecode(os.fsencode(folder) + b"/undecodable \xfe")).mkdir()
        expected["odd_names"] = 2
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        monkeypatch.chdir(folder)  # a socket's address is short
        listener.bind("socket")
        expected["special_files"] += 1
        (folder / "secret.txt").write_text("nobody reads this")
        (folder / "closed").mkdir()
        access, scandir = os.access, os.scandir
        monkeypatch.setattr(
            os, "access", lambda path, mode: not path.endswith("secret.txt") and access(path, mode)
        )

        def refusing_scandir(path: str) -> Any:
            if path.endswith("closed"):
                raise PermissionError(13, "Permission denied", path)
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refusing_scandir)
        facts = demo(folder, file, capsys)
    skipped = {name: count for name, count in facts["found"]["skipped"].items() if count}
    assert skipped == expected
    assert facts["found"]["files"] == len(CONTENTS)
    assert main(["demo", "--database", str(file), str(folder)]) == 0
    assert "symbolic link: 3" in capsys.readouterr().out


def test_the_database_and_its_side_files_are_never_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "media.db"
    demo(folder, file, capsys)
    (folder / "new.txt").write_text("new")
    opened: list[str] = []
    real_open = os.open

    def noting_open(path: Any, flags: int, *args: Any, **options: Any) -> int:
        # The engine itself knows how to open a file and keep SQLite's locks on it (engine/file/locks.py).
        caller = sys._getframe(1).f_globals["__name__"]
        if not flags & getattr(os, "O_PATH", 0) and caller != "reelbase.engine.file.locks":
            opened.append(str(path))
        return real_open(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", noting_open)
    facts = demo(folder, file, capsys)
    assert facts["found"]["skipped"]["database_files"] >= 1
    assert [path for path in opened if path.startswith(str(folder))] == [str(folder / "new.txt")]
    assert rows(file, "SELECT count(*) FROM files WHERE name LIKE 'media.db%'") == [(0,)]


def test_files_that_turn_into_the_database_later_are_not_opened(
    folder: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo(folder, file, capsys)
    database_files = scan.DatabaseFiles(file)
    outcome = reader.Reader(database_files).read(_file_record(file))
    assert isinstance(outcome, reader.Unread)
    assert outcome.code == "unreadable"


def test_a_long_text_gets_no_transcript(
    folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reader, "TEXT_LIMIT_BYTES", 1000)
    facts = demo(folder, file, capsys)
    assert facts["holdings"]["rows"]["transcripts"] == 7
    (stored,) = rows(file, "SELECT size_bytes, content_hash FROM files WHERE name = 'big.txt'")
    content = CONTENTS["big.txt"]
    assert stored == (len(content), hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.SRT", ("subtitle", "application/x-subrip")),
        ("a.b.md", ("text", "text/markdown")),
        ("LICENSE", ("text", "text/plain")),
        ("a.mkv", ("video", "video/x-matroska")),
        ("a.mp3", ("audio", "audio/mpeg")),
        ("a.jpg", ("image", "image/jpeg")),
        ("a.pdf", ("other", "application/pdf")),
        ("http://x.py", ("text", "text/x-python")),
        ("unknown", ("other", None)),
        ("", ("other", None)),
    ],
)
def test_kinds(name: str, kind: tuple[str, str | None]) -> None:
    assert kinds.kind_of(name) == kind


# What a second run does.


def test_a_rerun_changes_nothing(
    folder: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo(folder, file, capsys)
    tables = ("profiles", "files", "transcripts", "jobs", "job_references")
    before = [rows(file, f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables]
    facts = demo(folder, file, capsys)
    assert facts["found"]["unchanged"] == len(CONTENTS)
    assert facts["found"]["queued"] == facts["done"]["files"] == 0
    assert [rows(file, f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables] == before


def test_a_rerun_brings_in_what_changed(
    folder: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo(folder, file, capsys)
    times = (folder / "notes.txt").stat()
    (folder / "notes.txt").write_bytes(b"FIRST\r\nsecond\n")  # same size, same time
    os.utime(folder / "notes.txt", ns=(times.st_atime_ns, times.st_mtime_ns))
    (folder / "clip.srt").write_bytes(b"\xff no text any more")
    (folder / "season 1/latin1.txt").write_text("now it is UTF-8: café", encoding="utf-8")
    (folder / "new.txt").write_text("new")
    os.utime(folder / "data.bin")  # touched only
    facts = demo(folder, file, capsys)
    assert facts["found"]["new"] == 1
    assert facts["done"] == {
        "files": 5,
        "read": 1,
        "changed": 3,
        "same": 1,
        "failed": 0,
        "size_bytes": facts["done"]["size_bytes"],
    }
    assert_complete(folder, file, all_at_first=False)


def test_vanished_files_are_reported_and_kept(
    folder: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo(folder, file, capsys)
    (folder / "notes.txt").unlink()
    shutil.rmtree(folder / "season 1/deep")
    facts = demo(folder, file, capsys)
    assert facts["vanished"] == sorted(
        [str(folder / "notes.txt"), str(folder / "season 1/deep/er/ünïcode 日本.md")]
    )
    assert facts["holdings"]["rows"]["files"] == len(CONTENTS)
    assert main(["demo", "--database", str(file), str(folder)]) == 0
    assert "Vanished  2 files" in capsys.readouterr().out


def test_two_folders_share_a_database(
    folder: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "media-2"  # its path begins with the other's
    other.mkdir()
    (other / "notes.txt").write_text("of the other")
    demo(folder, file, capsys)
    demo(other, file, capsys)
    (other / "notes.txt").unlink()
    assert demo(folder, file, capsys)["vanished"] == []
    assert demo(other, file, capsys)["vanished"] == [str(other / "notes.txt")]
    assert rows(file, "SELECT count(*) FROM files") == [(len(CONTENTS) + 1,)]


def test_a_file_that_could_not_be_read_is_tried_again(
    folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real_open = os.open

    def refusing_open(path: Any, *args: Any, **options: Any) -> int:
        if str(path).endswith("notes.txt"):
            raise PermissionError(13, "Permission denied")
        if str(path).endswith("clip.srt"):
            (folder / "clip.srt").unlink()
        return real_open(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refusing_open)
        assert demo(folder, file, capsys)["done"]["failed"] == 2
    failed = rows(file, "SELECT error_code, error FROM jobs WHERE status = 'failed' ORDER BY 1")
    assert failed == [
        ("missing", "it is not there any more"),
        ("unreadable", "Permission denied"),
    ]
    facts = demo(folder, file, capsys)
    assert facts["done"]["read"] == 1
    assert facts["vanished"] == [str(folder / "clip.srt")]


# Kills, signals, several at once.


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder with 550 small files, more than are queued in one transaction."""
    folder = tmp_path / "many"
    for number in range(550):
        path = folder / f"{number % 7}" / f"{number}{random.choice(['.txt', '.bin'])}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"the text of {number}")
    return folder


def test_killed_at_any_time_a_rerun_completes_it(many: Path, file: Path) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    moments = random.Random(seed)
    killed = 0
    for _ in range(5):
        process = start(many, file, lease=1.0, pause=0.002)
        time.sleep(moments.uniform(0.2, 0.9))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed
    process = start(many, file, lease=1.0)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert_complete(many, file)


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_ends_it_in_order_and_a_rerun_goes_on_at_once(
    sent: signal.Signals,
    code: int,
    many: Path,
    file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = start(many, file, lease=60.0, pause=0.01)
    _wait_for(file, "SELECT count(*) > 0 FROM jobs WHERE status = 'succeeded'")
    process.send_signal(sent)
    out, err = process.communicate(timeout=10)
    assert process.returncode == code
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1].endswith("run the same command again to go on")
    (left,) = rows(file, "SELECT count(*) FROM jobs WHERE status = 'queued'")
    assert left > (0,)
    assert not file.with_name("demo.db-wal").exists()
    facts = demo(many, file, capsys)  # does not wait a minute for leases
    assert facts["found"]["left"] > 0
    assert_complete(many, file)


def test_two_at_once_share_the_work(many: Path, file: Path) -> None:
    processes = [start(many, file, pause=0.001) for _ in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert_complete(many, file)


async def test_a_worker_that_lost_its_lease_stores_nothing(
    many: Path, database: Database, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = reader.Reader.read
    stalled: list[File] = []

    def stall_once(self: reader.Reader, file: File) -> reader.Content | reader.Unread:
        if not stalled:
            stalled.append(file)
            clock.advance(2 * workers.LEASE_SECONDS)
            time.sleep(0.5)
        return read(self, file)

    monkeypatch.setattr(reader.Reader, "read", stall_once)
    assert database.path is not None
    database_files = scan.DatabaseFiles(database.path)
    found, done = queue.Found(), workers.Done()
    await database.profiles.ensure(queue.PROFILE_ID)
    await queue.queue_folder(database, str(many), database_files, found)
    pool = workers.Workers(database, reader.Reader(database_files), found, done)
    await asyncio.gather(*(pool.work(number) for number in range(workers.WORKERS)))
    assert done.files == done.read == 550
    twice = "SELECT count(*) FROM jobs WHERE attempts = 2"
    assert await database.fetch_one(int, twice) > 0
    assert await database.fetch_all(str, "SELECT DISTINCT status FROM jobs") == ["succeeded"]


def test_what_takes_long_is_stored_in_between(
    folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workers, "_READ_SECONDS", 0)
    monkeypatch.setattr(workers, "WORKERS", 1)
    demo(folder, file, capsys)
    assert_complete(folder, file)


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_it_works_with_either_journal(
    mode: Any,
    many: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    connect = reelbase.connect
    monkeypatch.setattr(
        reelbase, "connect", lambda path, **options: connect(path, journal=mode, **options)
    )
    file = many / "inside.db"
    facts = demo(many, file, capsys)
    assert facts["journal_mode"] == mode
    assert facts["found"]["files"] == 550
    file.rename(many.with_name("outside.db"))
    assert_complete(many, many.with_name("outside.db"))


async def test_a_row_that_is_deleted_meanwhile_fails_its_job(
    folder: Path, database: Database
) -> None:
    assert database.path is not None
    database_files = scan.DatabaseFiles(database.path)
    found, done = queue.Found(), workers.Done()
    await database.profiles.ensure(queue.PROFILE_ID)
    await queue.queue_folder(database, str(folder), database_files, found)
    await database.files.delete(queue.file_id(str(folder / "notes.txt")))
    pool = workers.Workers(database, reader.Reader(database_files), found, done)
    await pool.work(0)
    assert done.failed == 1
    assert done.files == len(CONTENTS)


def test_an_error_of_a_worker_ends_the_run_in_one_line(
    folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*args: object) -> None:
        raise reelbase.DatabaseFullError("no space left")

    monkeypatch.setattr(workers.Workers, "_store", fail)
    assert main(["demo", "--database", str(file), str(folder)]) == 1
    assert capsys.readouterr().err == "reelbase demo: no space left\n"


# Where it runs.


def test_without_arguments_it_takes_its_own_tree_and_says_where_the_database_is(
    tmp_path: Path,
) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "reelbase", "demo", "--json"],
        env=ENVIRONMENT,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    facts = json.loads(process.stdout)
    assert facts["database"] == str(tmp_path / "reelbase-demo.db")
    assert Path(facts["folder"], "schema.sql").is_file()
    assert facts["found"]["files"] > 20


def _on_a_terminal(folder: Path, file: Path, *, has_rich: bool) -> str:
    """What the command prints when stdout and stderr are one terminal."""
    import pty

    block = "" if has_rich else "import sys; sys.modules['rich'] = None\n"
    script = block + SLOW_COMMAND.format(lease=5.0, pause=0.01)
    reading_end, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", script, "demo", "--database", file, folder],
        env={**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "100"},
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while chunk := os.read(reading_end, 65536):
            shown += chunk
    os.close(reading_end)
    assert process.wait(30) == 0
    return shown.decode()


def test_a_terminal_with_rich_gets_a_bar_and_drawn_tables(folder: Path, file: Path) -> None:
    pytest.importorskip("rich")
    shown = _on_a_terminal(folder, file, has_rich=True)
    assert "\x1b[" in shown
    assert "━" in shown
    assert "What the database holds" in shown
    assert "  sqlite3 " in shown


def test_a_terminal_without_rich_gets_plain_text(folder: Path, file: Path) -> None:
    shown = _on_a_terminal(folder, file, has_rich=False)
    assert "\x1b" not in shown
    assert "What the database holds" in shown
    assert "  sqlite3 " in shown


@pytest.mark.slow
def test_twenty_thousand_files(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tree"
    for number in range(20_000):
        path = folder / f"{number // 100}" / f"{number}{('.txt', '.bin')[number % 2]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"the text of {number}\n" * 20)
    facts = demo(folder, file, capsys)
    assert facts["seconds"] < 60
    assert_complete(folder, file)
    again = demo(folder, file, capsys)
    assert again["found"]["unchanged"] == 20_000
    assert again["seconds"] < 10


def _file_record(path: Path) -> File:
    return File(
        id=UUID(int=0),
        profile_id="demo",
        name=path.name,
        path=str(path),
        type="other",
        folder=None,
        source_file_id=None,
        origin=None,
        size_bytes=None,
        content_type=None,
        content_hash=None,
        source_url=None,
        created_at=FrozenClock()(),
    )


def _wait_for(file: Path, sql: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(sqlite3.Error):
            if file.exists() and file.stat().st_size and rows(file, sql) == [(1,)]:
                return
        time.sleep(0.02)
    raise AssertionError(f"never true: {sql}")
