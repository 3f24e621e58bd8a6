"""The types that a user's editor shows: checked by mypy and pyright, and once by running them."""

from __future__ import annotations

import ast
import enum
import inspect
import os
import subprocess
import sys
import textwrap
import typing
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, assert_type
from uuid import UUID

import msgspec
import pytest

import reelbase
from reelbase import (
    Clip,
    ClipRepository,
    Command,
    Database,
    File,
    FileRepository,
    Job,
    JobRepository,
    JobStatus,
    LlmTemplate,
    LlmTemplateRepository,
    NewFile,
    Page,
    Profile,
    ProfileRepository,
    Query,
    RecoveryReport,
    Repository,
    Snapshot,
    Transcript,
    TranscriptRepository,
    UnitOfWork,
    views,
)
from reelbase.catalogue import Catalogue
from reelbase.engine.statements.statement import Statement
from reelbase.views import Reading

ROOT = Path(__file__).parents[2]


class Note(msgspec.Struct, frozen=True):
    id: int
    text: str


class NoteRepository(Repository):
    """What a user writes."""

    entity = "note"

    _add = Command(Note, "INSERT INTO notes (text) VALUES (:text) RETURNING id, text")
    _get = Query(Note, "SELECT id, text FROM notes WHERE id = :id")
    _list = Query(Note, "SELECT id, text FROM notes ORDER BY id")
    _count = Query(int, "SELECT count(*) FROM notes")
    _clear = Command(Note, "DELETE FROM notes")

    async def add(self, text: str) -> Note:
        return assert_type(await self._run(self._add.one(text=text)), Note)

    async def get(self, note_id: int) -> Note:
        return assert_type(await self._run(self._get.one(id=note_id)), Note)

    async def find(self, note_id: int) -> Note | None:
        return assert_type(await self._run(self._get.optional(id=note_id)), Note | None)

    async def everything(self) -> tuple[list[Note], int]:
        return assert_type(
            await self._batch(self._list.all(), self._count.one()), tuple[list[Note], int]
        )

    async def clear(self) -> int:
        return assert_type(await self._run(self._clear.count()), int)


async def test_opening(path: Path) -> None:
    async with reelbase.connect(path) as database:
        assert_type(database, Database)
        assert_type(database.path, Path | None)
        assert_type(database.journal.mode, Literal["wal", "delete", "memory"])
        assert_type(database.journal.filesystem.is_network, bool)
        assert_type(database.schema_version, int)
        assert_type(database.closed, bool)
        async with database.transaction(actor="ann") as unit:
            assert_type(unit, UnitOfWork)
            assert_type(unit.now, datetime)
            assert_type(unit.actor, str | None)
            assert_type(unit.state, Literal["open", "committed", "rolled_back", "unknown"])
            async with unit.savepoint():
                pass
            assert_type(unit.files, FileRepository)
        async with database.snapshot() as view:
            assert_type(view, Snapshot)
    opened = await reelbase.connect(str(path))
    assert_type(opened, Database)
    await opened.close()


def test_repositories(database: Database) -> None:
    assert_type(database.profiles, ProfileRepository)
    assert_type(database.files, FileRepository)
    assert_type(database.transcripts, TranscriptRepository)
    assert_type(database.clips, ClipRepository)
    assert_type(database.templates, LlmTemplateRepository)
    assert_type(database.jobs, JobRepository)
    assert_type(database.projects, reelbase.ProjectRepository)
    assert_type(database.videos, reelbase.VideoRepository)
    assert_type(database.project_clips, reelbase.ProjectClipRepository)
    assert_type(database.audit, reelbase.AuditRepository)
    assert_type(database.generations, reelbase.GenerationRepository)
    assert_type(database.prompts, reelbase.PromptRepository)
    assert_type(database.sessions, reelbase.SessionRepository)
    assert_type(database.downloads, reelbase.DownloadRepository)
    assert_type(database.config, reelbase.ConfigRepository)
    assert_type(database.error_log, reelbase.ErrorLogRepository)
    assert_type(database.unsupported_urls, reelbase.UnsupportedUrlRepository)


async def test_editing(database: Database) -> None:
    project = assert_type(await database.projects.add("n", "w"), reelbase.Project)
    assert_type(await database.projects.find_by_name("n"), reelbase.Project | None)
    assert_type(await database.projects.list_with_stats(), list[reelbase.ProjectStats])
    assert_type((await database.projects.get_with_videos(project.id)).videos, list[reelbase.Video])
    video = assert_type(
        await database.videos.add(project.id, "f", "p", 2, 25, 1, 1, 1), reelbase.Video
    )
    assert_type(video.frame_rate, Fraction)
    assert_type(video.total_frames, int)
    assert_type(await database.videos.add_many(project.id, []), list[reelbase.Video])
    assert_type(await database.videos.page(after=video), Page[reelbase.Video])
    assert_type(await database.videos.search("f"), list[reelbase.Video])
    clip = await database.project_clips.add(project.id, video.id, 0, 50)
    assert_type(
        await database.project_clips.split(clip.id, 9),
        tuple[reelbase.ProjectClip, reelbase.ProjectClip],
    )
    assert_type(await database.project_clips.validate_bounds(video.id, 0, 50), bool)
    entry = assert_type(await database.audit.log_create("shelf", 7), reelbase.AuditEntry)
    assert_type(entry.entity_id, int | str)
    assert_type(entry.action, reelbase.AuditAction)
    assert_type(await database.projects.delete(project.id, missing_ok=True), bool)


async def test_generation(database: Database) -> None:
    generation = await database.generations.create("p", "m", 1, 1, 1, "f")
    assert_type(generation, reelbase.Generation)
    assert_type(generation.status, reelbase.GenerationStatus)
    assert_type(generation.is_finished, bool)
    assert_type(await database.generations.claim("w"), reelbase.Generation | None)
    new = reelbase.NewGeneration("p", "m", 1, 1, 1, "f")
    assert_type(await database.generations.create_many([new]), list[reelbase.Generation])
    assert_type(await database.generations.stats(), reelbase.GenerationStats)
    assert_type(await database.prompts.track("p"), reelbase.Prompt)


async def test_downloading(database: Database) -> None:
    download = assert_type(await database.downloads.add("s", "u"), reelbase.Download)
    assert_type(download.status, reelbase.DownloadStatus)
    assert_type(await database.downloads.progress(download.id, 5), bool)
    assert_type(await database.downloads.claim("w", lease=30), reelbase.Download | None)
    added = await database.downloads.add_many("s", ["u"], max_attempts=2)
    assert_type(added, list[reelbase.Download])
    assert_type(await database.downloads.purge(None), reelbase.PurgeReport)
    assert_type(await database.sessions.list(), list[reelbase.SessionSummary])
    assert_type(await database.config.entries(), list[reelbase.ConfigEntry])
    assert_type(await database.error_log.add("u", "e"), reelbase.ErrorLogEntry)
    assert_type(await database.unsupported_urls.add("u"), reelbase.UnsupportedUrl)


async def test_library(database: Database) -> None:
    assert_type(await database.profiles.ensure("ann"), Profile)
    assert_type(await database.profiles.find("ann"), Profile | None)
    assert_type(await database.profiles.list(), list[Profile])
    assert_type(await database.profiles.exists("ann"), bool)
    assert_type(await database.profiles.count(), int)
    file = assert_type(await database.files.add("ann", "n", "p"), File)
    assert_type(file.id, UUID)
    assert_type(file.size_bytes, int | None)
    assert_type(file.created_at, datetime)
    assert_type(await database.files.add_many("ann", [NewFile("n", "p")]), list[File])
    assert_type(await database.files.get(str(file.id)), File)
    assert_type(await database.files.find(file.id), File | None)
    assert_type(await database.files.list_for_profile("ann", limit=1), list[File])
    page = await database.files.page("ann", after=file, folder=None)
    assert_type(page, Page[File])
    assert_type(page.next, str | None)
    assert_type(page[1:], list[File])
    assert_type([found for found in page], list[File])  # noqa: C416
    assert_type(await database.files.page("ann", after=page.next), Page[File])
    assert_type(await database.files.find_by_hash("ann", "h"), File | None)
    assert_type(await database.files.update(file.id, name="new"), File)
    transcript = assert_type(await database.transcripts.add("ann", file.id, "t"), Transcript)
    assert_type(transcript.file, File | None)
    assert_type(await database.transcripts.update(transcript.id, language=None), Transcript)
    assert_type(await database.transcripts.list_for_profile("ann", True), list[Transcript])
    assert_type(await database.transcripts.page("ann", load_file=True), Page[Transcript])
    assert_type(await database.tags.for_files([file.id]), dict[UUID, list[reelbase.Tag]])
    assert_type(await database.jobs.page("ann", status="failed"), Page[Job])
    assert_type(await database.jobs.counts_by_status(type="t"), dict[JobStatus, int])
    clip = assert_type(await database.clips.add("ann", file.id, 0, 1.5, {"a": 1}), Clip)
    assert_type(clip.llm_breakdown_response, dict[str, Any])
    assert_type(await database.templates.upsert("ann", "s", "p", "m"), LlmTemplate)
    assert_type(await database.templates.get_for_profile("ann"), LlmTemplate | None)
    assert_type(await database.files.delete(file.id, missing_ok=True), bool)


async def test_jobs(database: Database) -> None:
    await database.profiles.ensure("ann")
    job = assert_type(await database.jobs.add("ann", "t", {}), Job)
    assert_type(job.status, JobStatus)
    assert_type(job.result, dict[str, Any] | None)
    assert_type(await database.jobs.add_batch("ann", "t", {}, [{}]), tuple[Job, list[Job]])
    assert_type(await database.jobs.claim("w", types=["t"]), Job | None)
    assert_type(await database.jobs.update(job.id, status="running"), Job)
    assert_type(await database.jobs.update(job.id, status=JobStatus.SUCCEEDED), Job)
    assert_type(await database.jobs.list_unfinished(), list[Job])
    assert_type(await database.jobs.find_referencing_file("ann", job.id), set[UUID])
    assert_type(await database.jobs.recover(), RecoveryReport)
    assert_type(await database.jobs.purge(timedelta(days=1)), int)


async def test_ones_own_sql(database: Database) -> None:
    await database.profiles.ensure("ann")
    await database.files.add("ann", "n", "p", size_bytes=3)
    files = "SELECT * FROM files ORDER BY id"
    assert_type(await database.fetch_all(File, files), list[File])
    assert_type(await database.fetch_one(File, files), File)
    assert_type(await database.fetch_optional(File, files), File | None)
    assert_type(await database.fetch_all(int, "SELECT size_bytes FROM files"), list[int])
    assert_type(
        await database.fetch_all(tuple[str, int], "SELECT name, size_bytes FROM files"),
        list[tuple[str, int]],
    )
    assert_type(
        await database.fetch_one(
            dict[str, Any], "SELECT name FROM files WHERE name = :n", {"n": "n"}
        ),
        dict[str, Any],
    )
    async with database.stream(File, files, batch=1) as stream:
        async for file in stream:
            assert_type(file, File)
    async for number in database.stream(int, "SELECT size_bytes FROM files"):
        assert_type(number, int)
    assert_type(await database.execute("UPDATE files SET name = ?", ["n"]), int)
    assert_type(await database.execute_many("UPDATE files SET name = ?", [["n"], ("m",)]), int)
    async with database.snapshot() as view:
        assert_type(await view.fetch_all(File, files), list[File])


async def test_ones_own_repository(database: Database) -> None:
    await database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")
    notes = assert_type(database.repository(NoteRepository), NoteRepository)
    note = await notes.add("hello")
    assert await notes.get(note.id) == await notes.find(note.id) == note
    assert await notes.everything() == ([note], 1)
    assert await notes.find(99) is None
    with pytest.raises(reelbase.RecordNotFoundError, match="note '99' not found"):
        await notes.get(99)
    async with database.transaction() as unit:
        assert await assert_type(unit.repository(NoteRepository), NoteRepository).clear() == 1
    async with database.snapshot() as view:
        assert await view.repository(NoteRepository).everything() == ([], 0)


async def test_settings_have_the_type_that_is_asked_for(database: Database) -> None:
    await database.profiles.ensure("ann")
    await database.settings.set("ann", "k", 5)
    await database.config.set("k", 5)
    assert_type(await database.settings.get("ann", "k", type=int), int | None)
    assert_type(await database.settings.get("ann", "k", 0, type=int), int)
    assert_type(await database.settings.get("ann", "k", default=0, type=int), int)
    assert_type(await database.settings.get("ann", "k"), Any)
    assert_type(await database.config.get("k", type=int), int | None)
    assert_type(await database.config.get("k", 0, type=int), int)
    assert await database.config.get("k", type=int | str) == 5
    assert_type(await database.config.get("k"), Any)


async def test_a_snapshot_has_what_reads(database: Database) -> None:
    await database.profiles.ensure("ann")
    file = await database.files.add("ann", "n", "p")
    async with database.snapshot() as view:
        assert_type(await view.files.get(file_id=file.id), File)
        assert_type(await view.files.page("ann", after=None, limit=5), Page[File])
        assert_type(await view.jobs.list_for_profile("ann"), list[Job])
        assert_type(await view.projects.count(), int)
        assert_type(view.repository(JobRepository), JobRepository)
        assert_type(await view.fetch_one(int, "SELECT 1"), int)


async def test_changes_take_values_none_and_unset(database: Database) -> None:
    await database.profiles.ensure("ann")
    file = await database.files.add("ann", "n", "p")
    changes: reelbase.FileChanges = {"name": "m", "type": msgspec.UNSET}
    assert (await database.files.update(file.id, **changes)).name == "m"
    assert (await database.files.update(file.id, folder=None)).folder is None
    untyped: dict[str, Any] = {"name": "o"}
    assert (await database.files.update(file.id, **untyped)).name == "o"
    await database.media_info.upsert(file.id, width=1920, metadata={"a": 1})
    status: reelbase.JobStatusLike = "failed"
    job = await database.jobs.add("ann", "t", {})
    assert (await database.jobs.update(job.id, status=status)).status is JobStatus.FAILED


CHANGES: dict[tuple[type[Repository], str], tuple[Any, type[Any]]] = {
    (FileRepository, "_update"): (reelbase.FileChanges, File),
    (FileRepository, "_update_many"): (reelbase.FileChanges, File),
    (reelbase.MediaInfoRepository, "_upsert"): (reelbase.MediaInfoChanges, reelbase.MediaInfo),
    (reelbase.PersonRepository, "_update"): (reelbase.PersonChanges, reelbase.Person),
    (reelbase.CollectionRepository, "_update"): (reelbase.CollectionChanges, reelbase.Collection),
    (reelbase.CommentRepository, "_update"): (reelbase.CommentChanges, reelbase.Comment),
    (reelbase.MarkerRepository, "_update"): (reelbase.MarkerChanges, reelbase.Marker),
    (reelbase.SegmentRepository, "_update"): (reelbase.SegmentChanges, reelbase.Segment),
    (reelbase.SummaryPromptRepository, "_update"): (
        reelbase.SummaryPromptChanges,
        reelbase.SummaryPrompt,
    ),
    (reelbase.ProjectRepository, "_update"): (reelbase.ProjectChanges, reelbase.Project),
    (reelbase.VideoRepository, "_update"): (reelbase.VideoChanges, reelbase.Video),
    (reelbase.ProjectSettingsRepository, "_upsert"): (
        reelbase.ProjectSettingsChanges,
        reelbase.ProjectSettings,
    ),
    (reelbase.TimelineTrackRepository, "_update"): (
        reelbase.TimelineTrackChanges,
        reelbase.TimelineTrack,
    ),
    (reelbase.TimelineClipRepository, "_update"): (
        reelbase.TimelineClipChanges,
        reelbase.TimelineClip,
    ),
    (reelbase.TimelineTransitionRepository, "_update"): (
        reelbase.TimelineTransitionChanges,
        reelbase.TimelineTransition,
    ),
    (reelbase.VideoLibraryRepository, "_update"): (
        reelbase.LibraryVideoChanges,
        reelbase.LibraryVideo,
    ),
    (reelbase.ProjectClipRepository, "_update"): (
        reelbase.ProjectClipChanges,
        reelbase.ProjectClip,
    ),
    (reelbase.LlmConfigRepository, "_update"): (reelbase.LlmConfigChanges, reelbase.LlmConfig),
}


@pytest.mark.parametrize(("repository", "statement"), CHANGES)
def test_the_changes_of_a_type_checker_are_those_of_the_statement_and_the_record(
    repository: type[Repository], statement: str
) -> None:
    changes, record = CHANGES[repository, statement]
    found = typing.get_type_hints(changes)
    parameters = getattr(repository, statement).parameters
    assert set(found) == {name[4:] for name in parameters if name.startswith("set_")}
    hints: dict[str, Any] = {"api_key": str | None, **typing.get_type_hints(record)}
    for name, annotation in found.items():
        wider = hints[name] | str if hints[name] == UUID | None else hints[name]
        assert annotation == wider | msgspec.UnsetType, name
    assert changes.__required_keys__ == frozenset()


def test_every_method_that_takes_changes_has_their_types() -> None:
    """Each is in CHANGES, and none takes just anything."""
    checked = {repository for repository, _ in CHANGES}
    for attribute, repository in repositories().items():
        for name, method in inspect.getmembers(repository, inspect.isfunction):
            for parameter in inspect.signature(method).parameters.values():
                if parameter.kind is parameter.VAR_KEYWORD and not name.startswith("_"):
                    assert "Unpack[" in str(parameter.annotation), (attribute, name)
                    assert repository in checked, (attribute, name)


@pytest.mark.parametrize(
    ("alias", "status"),
    [
        (reelbase.JobStatusLike, JobStatus),
        (reelbase.FileStatusLike, reelbase.FileStatus),
        (reelbase.GenerationStatusLike, reelbase.GenerationStatus),
    ],
)
def test_a_status_is_a_member_or_the_text_of_one(alias: Any, status: type[enum.Enum]) -> None:
    member, texts = typing.get_args(alias)
    assert member is status
    assert typing.get_args(texts) == tuple(each.value for each in status)


def repositories() -> dict[str, type[Repository]]:
    found = {}
    for attribute, descriptor in vars(Catalogue).items():
        repository = getattr(descriptor, "_repository_class", None)
        if repository is not None:
            found[attribute] = repository
    assert len(found) > 25
    return found


@pytest.mark.parametrize("attribute", repositories())
async def test_a_view_has_every_method_that_reads_and_no_other(
    database: Database, attribute: str
) -> None:
    repository = repositories()[attribute]
    view = getattr(views, typing.get_type_hints(views.ReadingCatalogue)[attribute].__name__)
    shown = {name: read.method for name, read in vars(view).items() if isinstance(read, Reading)}
    assert shown
    for name, method in shown.items():
        assert method is getattr(repository, name)
    public = [name for name in dir(repository) if not name.startswith("_")]
    methods = [name for name in public if inspect.isfunction(getattr(repository, name))]
    reading = {name for name in methods if not writes(repository, name)}
    assert set(shown) == reading - WAITS_FOR_COMMITS
    with pytest.raises(TypeError, match=r"database\.snapshot\(\) has the repositories"):
        getattr(view(), next(iter(shown)))


# They only read, but a snapshot would never see what they wait for.
WAITS_FOR_COMMITS = {"wait"}


def writes(repository: type[Repository], name: str, seen: tuple[str, ...] = ()) -> bool:
    """Whether a method uses, itself or by another one, a statement that writes or one that does it all."""
    member = getattr(repository, name, None)
    if isinstance(member, Statement):
        return member.writes
    if isinstance(member, tuple) or name in ("_run", "_batch", "_execute", "_run_audited"):
        return isinstance(member, tuple) and any(each.writes for each in member)
    if not inspect.isfunction(member):
        return False
    tree = ast.parse(textwrap.dedent(inspect.getsource(member)))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return any(
        writes(repository, each, (*seen, name)) for each in used if each not in (*seen, name)
    )


async def mistakes(database: Database) -> None:
    """Never run: each of these must be an error, or mypy finds the comment superfluous."""
    await database.files.get(5)  # type: ignore[arg-type]
    await database.files.add("ann", "n")  # type: ignore[call-arg]
    await database.files.add("ann", "n", "p", None, None, "id")  # type: ignore[call-arg]
    await database.transcripts.update("id", txt="t")  # type: ignore[call-arg]
    await database.transcripts.update("id", text=None)  # type: ignore[arg-type]
    await database.jobs.purge(5)  # type: ignore[arg-type]
    await database.projects.get("5")  # type: ignore[arg-type]
    await database.speakers.get("5")  # type: ignore[arg-type]
    await database.playlists.get(5)  # type: ignore[attr-defined]
    (await database.files.get("id")).name = "n"  # type: ignore[misc]
    reelbase.connect("x", journal="memory")  # type: ignore[arg-type]
    await database.files.update("id", nam="x")  # type: ignore[call-arg]
    await database.files.update("id", name=5)  # type: ignore[arg-type]
    await database.files.update("id", name=None)  # type: ignore[arg-type]
    await database.files.update_many([], nam="x")  # type: ignore[call-arg]
    await database.media_info.upsert("id", widht=3)  # type: ignore[call-arg]
    await database.segments.update(1, transcript_id="x")  # type: ignore[call-arg]
    await database.llm_configs.update(1, api_key=b"x")  # type: ignore[arg-type]
    await database.llm_configs.record_test(1, "done")  # type: ignore[arg-type]
    await database.projects.update(1, nam="x")  # type: ignore[call-arg]
    await database.videos.update(1, width="x")  # type: ignore[arg-type]
    await database.project_clips.update(1, in_point=1.5)  # type: ignore[arg-type]
    await database.summary_prompts.update(1, version=2)  # type: ignore[call-arg]
    await database.jobs.update("id", status="done")  # type: ignore[arg-type]
    await database.files.page("ann", status="done")  # type: ignore[arg-type]
    await database.files.page("ann", after=1)  # type: ignore[arg-type]
    await database.jobs.page(status="done")  # type: ignore[arg-type]
    await database.generations.list(status="done")  # type: ignore[arg-type]
    number: str = await database.settings.get("ann", "k", "", type=int)  # type: ignore[arg-type]
    assert number
    async with database.snapshot() as view:
        await view.files.add("ann", "n", "p")  # type: ignore[attr-defined]
        await view.jobs.claim("w")  # type: ignore[attr-defined]
        await view.execute("DELETE FROM files")  # type: ignore[attr-defined]
        await view.files.get(5)  # type: ignore[arg-type]
    file: File = await database.files.find("id")  # type: ignore[assignment]
    assert file


def run(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command, str(Path(__file__))],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": "src"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_mypy_agrees() -> None:
    run("mypy", "--strict")


@pytest.mark.long
def test_pyright_agrees() -> None:
    run("pyright", "--pythonpath", sys.executable)
