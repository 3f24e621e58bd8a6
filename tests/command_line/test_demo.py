"""``reelbase demo``: a folder comes in completely, once, however often it is killed and run again."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
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

import reelbase
from reelbase import Database, File, NewSegment
from reelbase.cli.demo import kill, kinds, queue, reader, scan, search, subtitles, workers
from reelbase.cli.main import main
from reelbase.testing.clock import FrozenClock

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(reelbase.__file__).parents[1])}

# The command with leases so short that a test can wait for them, and reading that takes a moment.
SLOW_COMMAND = """
import signal, sys, time
# Tests that run in the background have it ignored, and a child inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
from reelbase.cli.demo import kill, reader, workers
kill._LEASE_SECONDS = 0.5
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


@pytest.fixture(autouse=True)
def no_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process no worker is killed, which takes seconds, unless a test asks for it."""

    async def kill_no_worker(*args: object) -> kill.NoKill:
        return kill.NO_JOB

    monkeypatch.setattr("reelbase.cli.demo.kill_a_worker", kill_no_worker)


@pytest.fixture
def with_kill(no_kill: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reelbase.cli.demo.kill_a_worker", kill.kill_a_worker)
    monkeypatch.setattr(kill, "_LEASE_SECONDS", 0.5)


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


def text_of(path: str, content: bytes) -> str:
    """The text of the file's transcript."""
    if Path(path).suffix in {".srt", ".vtt"}:
        return "\n".join(cue.text for cue in subtitles.read_cues(content))
    return content.decode()


def assert_complete(folder: Path, file: Path, *, all_at_first: bool = True) -> None:
    """Every file of the folder is in the database, once and as it is; every job has finished."""
    paths = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    stored = rows(file, "SELECT path, size_bytes, content_hash, folder, name FROM files")
    has_sample = not any(Path(path).suffix in {".srt", ".vtt"} for path in paths)
    if has_sample:
        paths[str(queue.SAMPLE)] = queue.SAMPLE.read_bytes()
    assert sorted(row[0] for row in stored) == sorted(paths)
    for path, size_bytes, content_hash, label, name in stored:
        assert size_bytes == len(paths[path])
        assert content_hash == hashlib.sha256(paths[path]).hexdigest()
        assert (folder / label / name) == Path(path) or path == str(queue.SAMPLE)
    texts = rows(
        file, "SELECT path, text FROM transcripts JOIN files ON files.id = transcripts.file_id"
    )
    expected = {}
    for path, content in paths.items():
        if Path(path).suffix in {".txt", ".md", ".srt", ".vtt"}:
            with contextlib.suppress(UnicodeDecodeError):
                expected[path] = text_of(path, content)
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
        "segments": 1,
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


@pytest.mark.long
def test_the_database_and_its_side_files_are_never_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "media.db"
    demo(folder, file, capsys)
    (folder / "new.txt").write_text("new")
    opened: list[str] = []
    real_open = os.open
    engine = ("reelbase.engine.file.locks", "reelbase.engine.file.turnstile")

    def noting_open(path: Any, flags: int, *args: Any, **options: Any) -> int:
        # The engine itself knows how to open a file and keep SQLite's locks on it (engine/file/locks.py),
        # and the file at which processes queue is its own (engine/file/turnstile.py).
        caller = sys._getframe(1).f_globals["__name__"]
        if not flags & getattr(os, "O_PATH", 0) and caller not in engine:
            opened.append(str(path))
        return real_open(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", noting_open)
    facts = demo(folder, file, capsys)
    assert facts["found"]["skipped"]["database_files"] >= 1
    assert [path for path in opened if path.startswith(str(folder))] == [str(folder / "new.txt")]
    assert rows(file, "SELECT count(*) FROM files WHERE name LIKE 'media.db%'") == [(0,)]


@pytest.mark.long
def test_files_that_turn_into_the_database_later_are_not_opened(
    folder: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo(folder, file, capsys)
    database_files = scan.DatabaseFiles(file)
    outcome = reader.Reader(database_files).read(_file_record(file))
    assert isinstance(outcome, reader.Unread)
    assert outcome.code == "unreadable"


@pytest.mark.long
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


# Subtitles, and the sentence that is found.

TALK = """1
00:00:01,000 --> 00:00:02,500
Good morning, everyone.

2
01:02:03,000 --> 01:02:05,000
The ferry leaves from the northern pier at seven.
"""


def segments(file: Path) -> dict[str, list[tuple[float, str]]]:
    """The segments of each file's transcripts."""
    found: dict[str, list[tuple[float, str]]] = {}
    for name, start_time, text in rows(
        file,
        "SELECT files.name, start_time, transcript_segments.text FROM transcript_segments"
        " JOIN transcripts ON transcripts.id = transcript_id JOIN files ON files.id = file_id"
        " ORDER BY transcript_id, start_time",
    ):
        found.setdefault(name, []).append((start_time, text))
    return found


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    folder = tmp_path / "talks"
    folder.mkdir()
    for name in ("a.mp4", "b.mp3", "b.webm", "c.MKV", "d.m4a", "f.png"):
        (folder / name).write_bytes(b"\0\xff")
    for name in ("a.srt", "b.srt", "c.pt-BR.vtt", "c.en.srt", "d.part2.srt", "e.srt", "f.srt"):
        content = TALK.replace("everyone", name)
        (folder / name).write_text("WEBVTT\n\n" + content if name.endswith("vtt") else content)
    return folder


@pytest.mark.long
def test_subtitles_become_segments_of_the_media_file_beside_them(
    talks: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = demo(talks, file, capsys)
    found = {name: [text for _, text in cues[::2]] for name, cues in segments(file).items()}
    assert {name: sorted(texts) for name, texts in found.items()} == {
        "a.mp4": ["Good morning, a.srt."],
        "b.webm": ["Good morning, b.srt."],  # rather the video than the sound
        "c.MKV": ["Good morning, c.en.srt.", "Good morning, c.pt-BR.vtt."],
        "d.part2.srt": ["Good morning, d.part2.srt."],
        "e.srt": ["Good morning, e.srt."],
        "f.srt": ["Good morning, f.srt."],
    }
    assert facts["holdings"]["rows"]["segments"] == 14
    assert facts["done"]["failed"] == 0
    assert rows(file, "SELECT count(*) FROM files WHERE path = ?", str(queue.SAMPLE)) == [(0,)]


@pytest.mark.long
def test_subtitles_follow_their_media_file(
    talks: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo(talks, file, capsys)
    (talks / "e.mov").write_bytes(b"\0")
    (talks / "a.mp4").unlink()
    (talks / "f.srt").write_text(TALK.replace("00:00:01", "00:00:02"))
    facts = demo(talks, file, capsys)
    assert facts["done"]["files"] == 4
    found = segments(file)
    assert found["e.mov"][0] == (1.0, "Good morning, e.srt.")
    assert found["a.srt"][0] == (1.0, "Good morning, a.srt.")
    assert found["f.srt"][0] == (2.0, "Good morning, everyone.")
    assert "a.mp4" not in found
    assert "e.srt" not in found
    assert rows(file, "SELECT count(*) FROM transcripts") == [(7,)]
    assert demo(talks, file, capsys)["found"]["queued"] == 0


@pytest.mark.long
def test_a_sentence_is_found_with_its_file_and_time(
    talks: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in talks.glob("[b-f]*"):
        path.unlink()
    facts = demo(talks, file, capsys)
    assert facts["search"]["words"] == "northern pier"
    assert facts["search"]["hits"] == [
        {
            "path": str(talks / "a.mp4"),
            "start_time": 3723.0,
            "text": "The ferry leaves from the northern pier at seven.",
        }
    ]
    assert not facts["search"]["is_of_sample"]
    assert main(["demo", "--database", str(file), str(talks)]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "The ferry" in line)
    assert line.split()[-2:] == ["1:02:03", "a.mp4"]


@pytest.mark.long
def test_the_last_three_lines_run_as_they_are_printed(
    talks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / 'it\'s "my" {db} ünï.db'
    assert main(["demo", "--database", str(file), str(talks)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-5:-3] == ["The same search in three lines of Python:", ""]
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(lines[-3:])],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = ["3723.0 The ferry leaves from the northern pier at seven."] * 7
    assert process.stdout.splitlines() == expected
    assert process.stderr == ""


@pytest.mark.long
@pytest.mark.usefixtures("with_kill")
def test_a_folder_without_subtitles_is_shown_with_the_sample(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    facts = demo(empty, file, capsys)
    assert facts["found"]["files"] == 0
    assert facts["search"]["is_of_sample"]
    assert [hit["path"] for hit in facts["search"]["hits"]] == [str(queue.SAMPLE)]
    assert facts["kill"]["attempts"] == 2
    assert_complete(empty, file)
    again = demo(empty, file, capsys)
    assert again["found"]["queued"] == 0
    assert again["search"]["hits"] == facts["search"]["hits"]
    assert main(["demo", "--database", str(file), str(empty)]) == 0
    assert "the folder has no subtitles" in capsys.readouterr().out


@pytest.mark.long
def test_broken_subtitles_are_reported_like_files_that_cannot_be_read(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "binary.srt").write_bytes(bytes(range(256)))
    (folder / "prose.vtt").write_text("no subtitles at all")
    (folder / "turns.srt").write_text(TALK)
    (folder / "long.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\n" + "word " * 400_000)
    facts = demo(folder, file, capsys)
    assert facts["done"]["failed"] == 2
    failed = rows(file, "SELECT error_code, error FROM jobs WHERE status = 'failed' ORDER BY error")
    assert failed == [
        ("no_subtitles", "it holds no line with the times of a subtitle"),
        ("no_subtitles", "its subtitles are neither UTF-8 nor UTF-16 with a mark"),
    ]
    assert rows(file, "SELECT count(*) FROM files WHERE content_hash IS NULL") == [(0,)]
    (folder / "turns.srt").write_text("broken now")
    assert demo(folder, file, capsys)["done"]["failed"] == 3
    assert list(segments(file)) == ["long.srt"]
    (folder / "turns.srt").write_text(TALK)
    assert main(["demo", "--database", str(file), str(folder)]) == 0
    output = capsys.readouterr().out
    assert "Failed    2 files could not be read; see jobs.error" in output
    assert "  prose.vtt (it holds no line with the times of a subtitle)" in output
    assert sorted(segments(file)) == ["long.srt", "turns.srt"]


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        (
            "明日は船が港に着くと灯台の明かりがともります",
            "明日は船が港に着くと灯台の明かりがともります",
        ),
        ("one", "one"),
        ("It's 5 o'clock", "o clock"),
        ("♪ … ♪", None),
        ("x" * 100, "x" * 40),
    ],
)
async def test_any_sentence_is_found_again(
    sentence: str, words: str | None, database: Database
) -> None:
    await database.profiles.ensure(queue.PROFILE_ID)
    row = await database.files.add(queue.PROFILE_ID, "a.srt", "/a/a.srt")
    transcript = await database.transcripts.add(queue.PROFILE_ID, row.id, sentence)
    await database.segments.replace_all(transcript.id, [NewSegment(0.0, 1.0, sentence)])
    assert await search.words_to_find(database, "/a/") == words
    assert await search.words_to_find(database, "/b/") is None
    found = await search.search_for(database, words or "", 1, is_of_sample=False)
    assert len(found.hits) == (words is not None)


def test_times_are_written_as_players_write_them() -> None:
    times = [0.0, 59.999, 60.0, 3599.5, 3600.0, 360_000.0]
    expected = ["0:00:00", "0:00:59", "0:01:00", "0:59:59", "1:00:00", "100:00:00"]
    assert [search.clock(seconds) for seconds in times] == expected


# The worker that is killed.


@pytest.mark.long
@pytest.mark.usefixtures("with_kill")
def test_a_worker_process_is_killed_and_its_job_done_by_another(
    folder: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = demo(folder, file, capsys)
    killed = facts["kill"]
    assert killed["status"] == "succeeded"
    assert killed["attempts"] == 2
    assert 0 < killed["lease_seconds"] <= killed["seconds"] < 5
    with pytest.raises(ProcessLookupError):
        os.kill(killed["pid"], 0)
    assert rows(file, "SELECT count(*) FROM jobs WHERE attempts = 2") == [(1,)]
    assert_complete(folder, file)
    assert isinstance(demo(folder, file, capsys)["kill"]["reason"], str)  # no job is waiting now
    (folder / "new.txt").write_text("new")
    assert main(["demo", "--database", str(file), str(folder)]) == 0
    output = capsys.readouterr().out
    assert "(SIGKILL), while it held the job of new.txt" in output
    assert "claimed again (attempt 2), the job succeeded" in output
    assert f"nothing is lost: {len(CONTENTS) + 1} of {len(CONTENTS) + 1} jobs" in output


@pytest.mark.long
@pytest.mark.usefixtures("with_kill")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(1, "Operation not permitted"), "Operation not permitted"),
        (NotImplementedError(), "NotImplementedError"),
    ],
)
def test_where_no_process_can_be_started_it_says_so_and_goes_on(
    error: Exception,
    reason: str,
    folder: Path,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def refuse(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    assert main(["demo", "--database", str(file), str(folder)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Killed")]
    (line,) = lines
    assert line.startswith("Killed    no worker: no process can be started here (")
    assert reason in line
    assert_complete(folder, file)


@pytest.mark.long
@pytest.mark.usefixtures("with_kill")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("raise SystemExit('no module of this name')", "has failed (no module of this name)"),
        ("import time; time.sleep(60)", "claimed no job in 0 s"),
        ("print('none')", "another run holds every job"),
        ("import os; os._exit(1)", "has failed (without a word)"),
    ],
)
def test_a_worker_process_that_claims_nothing_holds_up_nothing(
    script: str,
    reason: str,
    folder: Path,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(kill, "_SCRIPT", script)
    if "sleep" in script:
        monkeypatch.setattr(kill, "_PATIENCE_SECONDS", 0.4)
    assert reason in demo(folder, file, capsys)["kill"]["reason"]
    assert_complete(folder, file)


@pytest.mark.long
async def test_the_worker_process_holds_one_job_until_its_parent_is_gone(
    folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("sys.argv", ["-c", str(file), "delete", "0"])
    async with reelbase.connect(file, journal="delete") as database:
        await database.profiles.ensure(queue.PROFILE_ID)
        database_files = scan.DatabaseFiles(file)
        await asyncio.to_thread(kill.main)
        assert capsys.readouterr().out == "none\n"
        await queue.queue_folder(database, str(folder), database_files, queue.Found())
        await asyncio.to_thread(kill.main)
        (held,) = await database.fetch_all(UUID, "SELECT id FROM jobs WHERE worker IS NOT NULL")
        job = await database.jobs.get(held)
        assert capsys.readouterr().out == f"{job.id}\n"
        assert job.attempts == 1
        await database.jobs.delete(job.id)
        killed = kill.Kill(1, job.id, "a", job.created_at, 0.0)
        assert await kill.outcome(database, killed) is killed


# What a second run does.


@pytest.mark.long
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


@pytest.mark.long
def test_a_rerun_brings_in_what_changed(
    folder: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo(folder, file, capsys)
    times = (folder / "notes.txt").stat()
    (folder / "notes.txt").write_bytes(b"FIRST\r\nsecond\n")  # same size, same time
    os.utime(folder / "notes.txt", ns=(times.st_atime_ns, times.st_mtime_ns))
    (folder / "clip.srt").write_bytes(b"1\n00:00:02,000 --> 00:00:03,000\nSomething else\n")
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
        "failures": [],
        "size_bytes": facts["done"]["size_bytes"],
    }
    assert_complete(folder, file, all_at_first=False)


@pytest.mark.long
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


@pytest.mark.long
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
    assert rows(file, "SELECT count(*) FROM files") == [(len(CONTENTS) + 2,)]  # and the sample


@pytest.mark.long
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


@pytest.mark.long
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
    assert _ends(file)
    process = start(many, file, lease=1.0)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert_complete(many, file)


@pytest.mark.long
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


@pytest.mark.long
def test_two_at_once_share_the_work(many: Path, file: Path) -> None:
    processes = [start(many, file, pause=0.001) for _ in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert_complete(many, file)


@pytest.mark.long
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


@pytest.mark.long
def test_what_takes_long_is_stored_in_between(
    folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workers, "_READ_SECONDS", 0)
    monkeypatch.setattr(workers, "WORKERS", 1)
    demo(folder, file, capsys)
    assert_complete(folder, file)


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
def test_an_error_of_a_worker_ends_the_run_in_one_line(
    folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*args: object) -> None:
        raise reelbase.DatabaseFullError("no space left")

    monkeypatch.setattr(workers.Workers, "_store", fail)
    assert main(["demo", "--database", str(file), str(folder)]) == 1
    assert capsys.readouterr().err == "reelbase demo: no space left\n"


# Where it runs.


@pytest.mark.long
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


@pytest.mark.long
def test_a_terminal_with_rich_gets_a_bar_and_drawn_tables(folder: Path, file: Path) -> None:
    pytest.importorskip("rich")
    shown = _on_a_terminal(folder, file, has_rich=True)
    assert "\x1b[" in shown
    assert "━" in shown
    assert "What the database holds" in shown
    assert "  sqlite3 " in shown


@pytest.mark.long
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


def _ends(file: Path) -> bool:
    """Whether every process that was started for this database ends, the workers to be killed too."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if os.fsencode(file) not in b"".join(map(_command_line, Path("/proc").glob("[0-9]*"))):
            return True
        time.sleep(0.05)
    return False


def _command_line(process: Path) -> bytes:
    with contextlib.suppress(OSError):
        return (process / "cmdline").read_bytes()
    return b""


def _wait_for(file: Path, sql: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(sqlite3.Error):
            if file.exists() and file.stat().st_size and rows(file, sql) == [(1,)]:
                return
        time.sleep(0.02)
    raise AssertionError(f"never true: {sql}")
