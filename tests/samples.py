"""What the contract tests put into a database, and how they look at all of it."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec

import reelbase
from reelbase import Database, Snapshot, UnitOfWork

Holder = Database | UnitOfWork | Snapshot
Look = Callable[[str], list[tuple[object, ...]]]
Contents = dict[str, list[tuple[object, ...]]]

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Owner:
    """A profile with one file, a project with one video, a session: what everything belongs to."""

    profile_id: str
    file_id: UUID
    project_id: int = 0
    video_id: int = 0
    session_id: str = "nobody"


async def make_owner(
    holder: Database | UnitOfWork, profile_id: str = "ann", *, with_project: bool = True
) -> Owner:
    await holder.profiles.ensure(profile_id)
    file = await holder.files.add(profile_id, "first.mkv", "in/first.mkv")
    if not with_project:
        return Owner(profile_id, file.id)
    project = await holder.projects.add(profile_id, "work")
    video = await holder.videos.add(project.id, "a.mov", "in/a.mov", 400.0, 25, 1, 1920, 1080)
    session = await holder.sessions.ensure(f"session of {profile_id}")
    return Owner(profile_id, file.id, project.id, video.id, session.id)


@dataclass(frozen=True)
class Listing:
    """A method that lists what ``Case.arguments`` makes for one owner."""

    method: str
    arguments: Callable[[Owner], dict[str, Any]]
    order: tuple[str, ...] = ("created_at", "id")
    newest_first: bool = True
    has_limit: bool = False


@dataclass(frozen=True)
class Case:
    """How the laws use one repository.

    attribute: where it hangs.  adder: the method that makes a row from arguments(owner, number).
    key: how single-key methods call their parameter; key_field: the record's field with that value.
    changes: what update() can change, and to what; clearable: what it can set to None.
    key_type: UUID, int or str.  kept_as: columns that hold some arguments, where not those of the
    same name in the table.  columns_beside: columns and fields that have no counterpart.
    """

    attribute: str
    entity: str
    table: str
    record: type[msgspec.Struct]
    key: str
    adder: str
    arguments: Callable[[Owner, int], dict[str, Any]]
    get: str | None = "get"
    find: str = "find"
    key_field: str = "id"
    takes_id: bool = True
    listings: tuple[Listing, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    clearable: frozenset[str] = frozenset()
    foreign_keys: tuple[str, ...] = ()
    key_type: type = UUID
    kept_as: Mapping[str, str] = field(default_factory=dict)
    columns_beside: frozenset[str] = frozenset()

    def on(self, holder: Holder) -> Any:
        return getattr(holder, self.attribute)

    @property
    def is_keyed_by_uuid(self) -> bool:
        return self.key_type is UUID

    def missing_key(self) -> Any:
        return {UUID: uuid4(), int: 999_999_999, str: "nobody"}[self.key_type]

    def key_of(self, record: Any) -> Any:
        return getattr(record, self.key_field)

    async def add(self, holder: Holder, owner: Owner, **replaced: Any) -> Any:
        arguments = self.arguments(owner, next(_numbers)) | replaced
        return await getattr(self.on(holder), self.adder)(**arguments)

    async def find_it(self, holder: Holder, key: Any) -> Any:
        return await getattr(self.on(holder), self.find)(key)

    async def listed(self, holder: Holder, listing: Listing, owner: Owner, **more: Any) -> Any:
        return await getattr(self.on(holder), listing.method)(**listing.arguments(owner), **more)


def _of_profile(owner: Owner) -> dict[str, Any]:
    return {"profile_id": owner.profile_id}


def _of_file(owner: Owner) -> dict[str, Any]:
    return {"file_id": owner.file_id}


PROFILES = Case(
    attribute="profiles",
    entity="profile",
    table="profiles",
    record=reelbase.Profile,
    key="profile_id",
    adder="ensure",
    arguments=lambda _owner, number: {"profile_id": f"profile-{number}"},
    takes_id=False,
    listings=(Listing("list", lambda _owner: {}, has_limit=True),),
    key_type=str,
    kept_as={"profile_id": "profiles.id"},
)

FILES = Case(
    attribute="files",
    entity="file",
    table="files",
    record=reelbase.File,
    key="file_id",
    adder="add",
    arguments=lambda owner, number: {
        "profile_id": owner.profile_id,
        "name": f"Folge {number}.mkv",
        "path": f"in/{number}.mkv",
        "type": "video",
        "folder": "season 1",
        "source_file_id": owner.file_id,
        "origin": "upload",
        "size_bytes": number,
        "content_type": "video/x-matroska",
        "content_hash": f"sha256:{number:064x}",
        "source_url": f"https://example.org/{number}",
    },
    listings=(
        Listing("list_for_profile", _of_profile, has_limit=True),
        Listing("list", lambda _owner: {}, has_limit=True),
        Listing("derived_from", _of_file, has_limit=True),
        Listing("page", _of_profile),
    ),
    changes={
        "name": "",
        "path": "elsewhere",
        "type": "subtitle",
        "folder": "season 2",
        "source_file_id": None,
        "origin": "generated",
        "size_bytes": 0,
        "content_type": "text/vtt",
        "content_hash": "md5:0",
        "source_url": "https://example.org/?a=b#c",
    },
    clearable=frozenset(
        {
            "type",
            "folder",
            "source_file_id",
            "origin",
            "size_bytes",
            "content_type",
            "content_hash",
            "source_url",
        }
    ),
    foreign_keys=("profile_id", "source_file_id"),
    columns_beside=frozenset({"duration", "is_pinned"}),
)

TRANSCRIPTS = Case(
    attribute="transcripts",
    entity="transcript",
    table="transcripts",
    record=reelbase.Transcript,
    key="transcript_id",
    adder="add",
    arguments=lambda owner, number: {
        "profile_id": owner.profile_id,
        "file_id": owner.file_id,
        "text": f"text {number}",
        "llm_explanation": "because",
        "language": "ja",
    },
    listings=(
        Listing("list_for_profile", _of_profile),
        Listing("list_for_profile", lambda owner: _of_profile(owner) | {"load_file": True}),
        Listing("list_for_file", _of_file, has_limit=True),
    ),
    changes={"text": "", "llm_explanation": "it depends", "language": "de"},
    clearable=frozenset({"llm_explanation", "language"}),
    foreign_keys=("profile_id", "file_id"),
)

CLIPS = Case(
    attribute="clips",
    entity="clip",
    table="clips",
    record=reelbase.Clip,
    key="clip_id",
    adder="add",
    arguments=lambda owner, number: {
        "profile_id": owner.profile_id,
        "file_id": owner.file_id,
        "start_time": float(number % 3),  # ties
        "end_time": 3.5,
        "llm_breakdown_response": {"words": [{"text": "猫", "n": number}], "ok": True},
    },
    listings=(
        Listing("list_for_profile", _of_profile, has_limit=True),
        Listing(
            "list_for_profile",
            lambda owner: _of_profile(owner) | {"load_file": True},
            has_limit=True,
        ),
        Listing(
            "list_for_file", _of_file, ("start_time", "id"), newest_first=False, has_limit=True
        ),
    ),
    foreign_keys=("profile_id", "file_id"),
)

TEMPLATES = Case(
    attribute="templates",
    entity="LLM template of profile",
    table="llm_templates",
    record=reelbase.LlmTemplate,
    key="profile_id",
    adder="upsert",
    arguments=lambda owner, number: {
        "profile_id": owner.profile_id,
        "sys_msg": f"You are number {number}.",
        "prompt": "Explain {text}.",
        "model": "small",
        "srt_sys_msg": "",
        "srt_model": "",
    },
    get=None,
    find="get_for_profile",
    key_field="profile_id",
    takes_id=False,
    foreign_keys=("profile_id",),
    key_type=str,
)

JOBS = Case(
    attribute="jobs",
    entity="job",
    table="jobs",
    record=reelbase.Job,
    key="job_id",
    adder="add",
    arguments=lambda owner, number: {
        "profile_id": owner.profile_id,
        "type": "transcribe",
        "params": {"file_id": str(owner.file_id), "beam": number},
        "parent_id": None,
        "total": 3,
        "priority": -1,
        "run_after": datetime(2026, 2, 1, 8, 30, 0, 123000, tzinfo=UTC),
        "max_attempts": 2,
        "unique_key": f"beam {number}",
    },
    listings=(
        Listing("list_for_profile", _of_profile, has_limit=True),
        Listing(
            "list_for_profile",
            lambda owner: _of_profile(owner) | {"active_only": True},
            has_limit=True,
        ),
        Listing("list", lambda _owner: {}, has_limit=True),
        Listing("list", lambda _owner: {"active_only": True}, has_limit=True),
        Listing("list_unfinished", lambda _owner: {}, newest_first=False, has_limit=True),
    ),
    changes={
        "status": reelbase.JobStatus.RUNNING,
        "progress": 0.25,
        "completed": 1,
        "result": {},
        "error": "",
        "error_code": "",
        "error_details": {"line": 3},
    },
    foreign_keys=("profile_id", "parent_id"),
    columns_beside=frozenset({"is_batch", "is_due"}),
)

SESSIONS = Case(
    attribute="sessions",
    entity="session",
    table="sessions",
    record=reelbase.Session,
    key="session_id",
    adder="ensure",
    arguments=lambda _owner, number: {"session_id": f"session-{number}"},
    takes_id=False,
    key_type=str,
    kept_as={"session_id": "sessions.id"},
)

DOWNLOADS = Case(
    attribute="downloads",
    entity="download",
    table="downloads",
    record=reelbase.Download,
    key="download_id",
    adder="add",
    arguments=lambda owner, number: {
        "session_id": owner.session_id,
        "url": f"https://example.org/{number}",
        "format_id": "137+140",
        "quality": "best",
        "output_template": "%(title)s.%(ext)s",
        "media_type": "video",
        "output_format": "mp4",
        "parent_id": None,
        "priority": -1,
        "max_attempts": 2,
    },
    listings=(
        Listing("list", lambda _owner: {}, has_limit=True),
        Listing("list", lambda _owner: {"active_only": True}, has_limit=True),
        Listing(
            "list_for_session", lambda owner: {"session_id": owner.session_id}, newest_first=False
        ),
    ),
)

PROJECTS = Case(
    attribute="projects",
    entity="project",
    table="projects",
    record=reelbase.Project,
    key="project_id",
    adder="add",
    arguments=lambda _owner, number: {
        "name": f"project {number}",
        "workspace_path": f"work/{number}",
        "description": "about a cat",
    },
    takes_id=False,
    listings=(
        Listing("list", lambda _owner: {}, has_limit=True),
        Listing("list_with_stats", lambda _owner: {}, has_limit=True),
    ),
    changes={"name": "", "description": "about a dog", "workspace_path": "elsewhere"},
    clearable=frozenset({"description"}),
    key_type=int,
)

VIDEOS = Case(
    attribute="videos",
    entity="video",
    table="videos",
    record=reelbase.Video,
    key="video_id",
    adder="add",
    arguments=lambda owner, number: {
        "project_id": owner.project_id,
        "filename": f"{number}.mov",
        "path": f"in/{number}.mov",
        "duration": 0.1 * number,
        "framerate_num": 30000,
        "framerate_den": 1001,
        "width": 1920,
        "height": 1080,
    },
    takes_id=False,
    listings=(
        Listing("list", lambda _owner: {}, has_limit=True),
        Listing("page", lambda _owner: {}),
        Listing("list_for_project", lambda owner: {"project_id": owner.project_id}, has_limit=True),
    ),
    changes={
        "filename": "",
        "path": "elsewhere",
        "duration": 0.0,
        "framerate_num": 24000,
        "framerate_den": 1002,
        "width": 1,
        "height": 2,
    },
    foreign_keys=("project_id",),
    key_type=int,
    columns_beside=frozenset({"library_video_id"}),
)

LIBRARY_VIDEOS = Case(
    attribute="video_library",
    entity="video of the library",
    table="library_videos",
    record=reelbase.LibraryVideo,
    key="library_video_id",
    adder="add",
    arguments=lambda _owner, number: {
        "filename": f"{number}.mov",
        "path": f"shelf/{number}.mov",
        "duration": 0.1 * number,
        "framerate_num": 30000,
        "framerate_den": 1001,
        "width": 1920,
        "height": 1080,
        "video_codec": "prores",
        "audio_codec": "pcm_s16le",
        "size_bytes": number,
        "thumbnail_path": f"thumbs/{number}.jpg",
        "data": {"number": number},
    },
    takes_id=False,
    listings=(
        Listing("list", lambda _owner: {}, has_limit=True),
        Listing("page", lambda _owner: {}),
    ),
    changes={
        "filename": "",
        "path": "elsewhere",
        "duration": 0.0,
        "framerate_num": 24000,
        "framerate_den": 1002,
        "width": 1,
        "height": 2,
        "video_codec": "h264",
        "audio_codec": "",
        "size_bytes": 0,
        "thumbnail_path": "",
        "data": {},
    },
    clearable=frozenset({"video_codec", "audio_codec", "size_bytes", "thumbnail_path", "data"}),
    key_type=int,
)

TIMELINE_TRACKS = Case(
    attribute="timeline_tracks",
    entity="timeline track",
    table="timeline_tracks",
    record=reelbase.TimelineTrack,
    key="track_id",
    adder="add",
    arguments=lambda owner, number: {
        "project_id": owner.project_id,
        "kind": "video",
        "name": f"V{number}",
        "overlap": reelbase.OverlapRule.LAYERS,
        "is_muted": True,
        "is_locked": False,
        "data": {"number": number},
    },
    takes_id=False,
    listings=(
        Listing(
            "list_for_project",
            lambda owner: {"project_id": owner.project_id},
            order=("position",),
            newest_first=False,
            has_limit=True,
        ),
    ),
    changes={"kind": "audio", "name": "", "overlap": reelbase.OverlapRule.ANY, "data": {}},
    clearable=frozenset({"data"}),
    foreign_keys=("project_id",),
    key_type=int,
    columns_beside=frozenset({"position"}),
)

PROJECT_CLIPS = Case(
    attribute="project_clips",
    entity="clip",
    table="project_clips",
    record=reelbase.ProjectClip,
    key="clip_id",
    adder="add",
    arguments=lambda owner, number: {
        "project_id": owner.project_id,
        "video_id": owner.video_id,
        "in_point": number % 3,  # ties
        "out_point": 10_000,
    },
    takes_id=False,
    listings=(
        Listing("list", lambda _owner: {}, has_limit=True),
        Listing(
            "find_by_video",
            lambda owner: {"video_id": owner.video_id},
            order=("in_point", "id"),
            newest_first=False,
            has_limit=True,
        ),
        Listing(
            "find_by_project",
            lambda owner: {"project_id": owner.project_id},
            order=("in_point", "id"),
            newest_first=False,
            has_limit=True,
        ),
        Listing(
            "find_overlapping",
            lambda owner: {"video_id": owner.video_id, "in_point": 0, "out_point": 9},
            order=("in_point", "id"),
            newest_first=False,
            has_limit=True,
        ),
    ),
    changes={"in_point": 5, "out_point": 9_999},
    foreign_keys=("project_id", "video_id"),
    key_type=int,
)

GENERATIONS = Case(
    attribute="generations",
    entity="generation",
    table="generations",
    record=reelbase.Generation,
    key="generation_id",
    adder="create",
    arguments=lambda _owner, number: {
        "prompt": f"prompt {number}",
        "model_name": "small",
        "duration_seconds": 0.1 * number,
        "sample_rate": 32_000,
        "channels": 2,
        "file_path": f"out/{number}.wav",
        "model_version": "1.0",
        "metadata": {"bpm": number, "key": "c"},
        "priority": -1,
        "max_attempts": 2,
    },
    listings=(
        Listing("list", lambda _owner: {}, has_limit=True),
        Listing("list_for_model", lambda _owner: {"model_name": "small"}, has_limit=True),
        Listing("list", lambda _owner: {"status": "pending"}, has_limit=True),
        Listing("pending", lambda _owner: {}, newest_first=False),
    ),
    kept_as={"prompt": "prompts.text"},
    columns_beside=frozenset({"is_pinned"}),
)

SPEAKERS = Case(
    attribute="speakers",
    entity="speaker",
    table="speakers",
    record=reelbase.Speaker,
    key="speaker_id",
    adder="ensure",
    arguments=lambda owner, number: {"file_id": owner.file_id, "label": f"SPEAKER_{number:06}"},
    takes_id=False,
    listings=(Listing("list_for_file", _of_file, order=("label",), newest_first=False),),
    key_type=int,
)

TAGS = Case(
    attribute="tags",
    entity="tag",
    table="tags",
    record=reelbase.Tag,
    key="tag_id",
    adder="ensure",
    arguments=lambda owner, number: {"profile_id": owner.profile_id, "name": f"Tag {number:06}"},
    takes_id=False,
    listings=(
        Listing("list_for_profile", _of_profile, ("name",), newest_first=False, has_limit=True),
    ),
    foreign_keys=("profile_id",),
    key_type=int,
    columns_beside=frozenset({"normalized_name", "file_count"}),
)

LLM_CONFIGS = Case(
    attribute="llm_configs",
    entity="llm config",
    table="llm_configs",
    record=reelbase.LlmConfig,
    key="config_id",
    adder="add",
    arguments=lambda owner, number: {
        "profile_id": owner.profile_id,
        "name": f"model {number}",
        "provider": "ollama",
        "model_name": "llama3",
        "base_url": "http://localhost:11434",
        "max_tokens": number,
        "temperature": 0.1 * number,
    },
    takes_id=False,
    listings=(Listing("list_for_profile", _of_profile),),
    changes={
        "name": "another",
        "provider": "",
        "model_name": "m",
        "base_url": None,
        "max_tokens": 1,
        "temperature": 0.0,
    },
    clearable=frozenset({"base_url"}),
    foreign_keys=("profile_id",),
    key_type=int,
    columns_beside=frozenset({"api_key", "has_api_key", "is_active"}),
)

SUMMARY_PROMPTS = Case(
    attribute="summary_prompts",
    entity="summary prompt",
    table="summary_prompts",
    record=reelbase.SummaryPrompt,
    key="prompt_id",
    adder="add",
    arguments=lambda owner, number: {
        "profile_id": owner.profile_id,
        "name": f"prompt {number:06}",
        "prompt_text": f"text {number}",
        "content_type": "podcast",
        "description": "",
    },
    takes_id=False,
    listings=(
        Listing("list_for_profile", _of_profile, order=("name",), newest_first=False),
        Listing(
            "list_for_profile",
            lambda owner: _of_profile(owner) | {"content_type": "podcast"},
            order=("name",),
            newest_first=False,
        ),
    ),
    changes={
        "name": "",
        "description": "d",
        "content_type": "meeting",
        "prompt_text": "another",
    },
    clearable=frozenset({"description"}),
    foreign_keys=("profile_id",),
    key_type=int,
)

SUMMARIES = Case(
    attribute="summaries",
    entity="summary",
    table="summaries",
    record=reelbase.Summary,
    key="summary_id",
    adder="start",
    arguments=lambda owner, number: {
        "file_id": owner.file_id,
        "provider": "ollama",
        "model": f"model {number}",
    },
    takes_id=False,
    listings=(Listing("list_for_file", _of_file, order=("version",), has_limit=True),),
    key_type=int,
)

PEOPLE = Case(
    attribute="people",
    entity="person",
    table="known_people",
    record=reelbase.Person,
    key="person_id",
    adder="add",
    arguments=lambda owner, number: {
        "profile_id": owner.profile_id,
        "name": f"person {number:09}",
        "description": "d",
    },
    takes_id=False,
    listings=(
        Listing(
            "list_for_profile", _of_profile, ("name", "id"), newest_first=False, has_limit=True
        ),
    ),
    changes={"name": "", "description": "e"},
    clearable=frozenset({"description"}),
    foreign_keys=("profile_id",),
    key_type=int,
    columns_beside=frozenset({"speaker_count", "file_count"}),
)

COLLECTIONS = Case(
    attribute="collections",
    entity="collection",
    table="file_collections",
    record=reelbase.Collection,
    key="collection_id",
    adder="add",
    arguments=lambda owner, number: {
        "profile_id": owner.profile_id,
        "name": f"collection {number:09}",
        "description": "d",
        "color": "#808080",
        "prompt_id": None,
    },
    takes_id=False,
    listings=(
        Listing(
            "list_for_profile", _of_profile, ("name", "id"), newest_first=False, has_limit=True
        ),
    ),
    changes={"name": "", "description": "e", "color": "red"},
    clearable=frozenset({"description", "color"}),
    foreign_keys=("profile_id", "prompt_id"),
    key_type=int,
    columns_beside=frozenset({"file_count"}),
)

COMMENTS = Case(
    attribute="comments",
    entity="comment",
    table="file_comments",
    record=reelbase.Comment,
    key="comment_id",
    adder="add",
    arguments=lambda owner, number: {
        "file_id": owner.file_id,
        "profile_id": owner.profile_id,
        "text": f"text {number}",
        "at_seconds": float(number % 3),  # ties
    },
    takes_id=False,
    listings=(
        Listing(
            "list_for_file", _of_file, ("at_seconds", "id"), newest_first=False, has_limit=True
        ),
        Listing("page", _of_profile, ("id",)),
    ),
    changes={"text": "", "at_seconds": 4.5},
    clearable=frozenset({"at_seconds"}),
    foreign_keys=("file_id", "profile_id"),
    key_type=int,
    columns_beside=frozenset({"reply_count"}),
)

DERIVED_FILES = Case(
    attribute="derived_files",
    entity="derived file",
    table="derived_files",
    record=reelbase.DerivedFile,
    key="derived_file_id",
    adder="ensure",
    arguments=lambda owner, number: {
        "file_id": owner.file_id,
        "kind": "proxy",
        "parameters": {"height": 720, "number": number},
    },
    takes_id=False,
    listings=(
        Listing("list_for_file", _of_file, has_limit=True),
        Listing("pending", lambda _owner: {}, newest_first=False),
    ),
    foreign_keys=("file_id",),
    key_type=int,
)

MARKERS = Case(
    attribute="markers",
    entity="marker",
    table="time_markers",
    record=reelbase.Marker,
    key="marker_id",
    adder="add",
    arguments=lambda owner, number: {
        "label": f"marker {number}",
        "start_time": float(number % 3),  # ties
        "file_id": owner.file_id,
        "project_id": None,
        "end_time": 3.5,
        "color": "#808080",
        "data": {"number": number},
    },
    takes_id=False,
    listings=(
        Listing(
            "list_for_file", _of_file, ("start_time", "id"), newest_first=False, has_limit=True
        ),
    ),
    changes={"start_time": 0.5, "end_time": 4.0, "label": "", "color": "red", "data": {}},
    clearable=frozenset({"end_time", "color", "data"}),
    foreign_keys=("file_id",),
    key_type=int,
)

CASES = (
    PROFILES,
    FILES,
    TRANSCRIPTS,
    CLIPS,
    TEMPLATES,
    JOBS,
    SESSIONS,
    DOWNLOADS,
    PROJECTS,
    VIDEOS,
    PROJECT_CLIPS,
    LIBRARY_VIDEOS,
    TIMELINE_TRACKS,
    GENERATIONS,
    SPEAKERS,
    TAGS,
    LLM_CONFIGS,
    SUMMARY_PROMPTS,
    SUMMARIES,
    PEOPLE,
    COLLECTIONS,
    COMMENTS,
    DERIVED_FILES,
    MARKERS,
)


def name_of(value: object) -> str | None:
    """The ids of parametrised tests."""
    if isinstance(value, Case):
        return value.attribute
    if isinstance(value, Listing):
        more = "".join(f"-{name}" for name in value.arguments(Owner("", UUID(int=0))))
        return value.method + more
    return None


def quoted(name: str) -> str:
    """As an identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def contents(path: Path | None) -> Contents:
    """Every row of every table of a file (`database.path`), as another connection sees them."""
    assert path is not None
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table'"
        ).fetchall()
        return {
            name: sorted(connection.execute(f"SELECT * FROM {quoted(name)}").fetchall(), key=repr)
            for (name,) in tables
            if not name.startswith("sqlite_")
        }


def empty_database(
    factory: type[sqlite3.Connection] = sqlite3.Connection,
) -> sqlite3.Connection:
    """The schema in plain sqlite3, without the library."""
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=factory)
    connection.executescript(reelbase.schema_sql())
    connection.execute("PRAGMA foreign_keys = ON")
    return connection
