"""Records for tests, each with a value for every field that the test does not name."""

from __future__ import annotations

import enum
import itertools
import types
import typing
from datetime import datetime
from fractions import Fraction
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin
from uuid import UUID

import msgspec

from reelbase.engine.ids import new_id
from reelbase.repositories.audit import AuditEntry
from reelbase.repositories.clips import Clip
from reelbase.repositories.collections import CollectedFile, Collection
from reelbase.repositories.comments import Comment
from reelbase.repositories.config import ConfigEntry
from reelbase.repositories.derived_files import DerivedFile, EvictedFile
from reelbase.repositories.downloads.records import Download, PurgedDownload, PurgeReport
from reelbase.repositories.error_log import DomainErrors, ErrorLogEntry
from reelbase.repositories.file_processing import FileProcessing
from reelbase.repositories.files import File, FileCard
from reelbase.repositories.generations.records import Generation, GenerationStats
from reelbase.repositories.jobs.records import Job, JobLogLine, JobQueue, JobStep, RecoveryReport
from reelbase.repositories.llm_configs import LlmConfig, LlmConfigCheck
from reelbase.repositories.markers import Marker
from reelbase.repositories.media_info import MediaInfo
from reelbase.repositories.notifications import Notification
from reelbase.repositories.people import Person, PersonFile, SpokenSegment
from reelbase.repositories.profiles import Profile
from reelbase.repositories.project_clips import ProjectClip
from reelbase.repositories.project_settings import ProjectSettings
from reelbase.repositories.project_versions import ProjectSnapshot, ProjectVersion
from reelbase.repositories.projects import Project, ProjectStats, ProjectWithVideos
from reelbase.repositories.prompts import Prompt
from reelbase.repositories.redactions import Redaction
from reelbase.repositories.retention import Expendable
from reelbase.repositories.schedules import Schedule
from reelbase.repositories.secrets_store import StoredSecret
from reelbase.repositories.segments import Segment
from reelbase.repositories.sessions import Session, SessionSummary
from reelbase.repositories.settings import ProfileSetting
from reelbase.repositories.speakers import Speaker, SpeakerName
from reelbase.repositories.summaries import Summary
from reelbase.repositories.summary_prompts import SummaryPrompt, SummaryPromptVersion
from reelbase.repositories.tags import Tag
from reelbase.repositories.templates import LlmTemplate
from reelbase.repositories.timeline_clips import (
    TimelineClip,
)
from reelbase.repositories.timeline_tracks import (
    TimelineTrack,
)
from reelbase.repositories.timeline_transitions import (
    TimelineTransition,
)
from reelbase.repositories.transcripts import SegmentHit, Transcript
from reelbase.repositories.unsupported_urls import UnsupportedUrl
from reelbase.repositories.video_library import LibraryVideo
from reelbase.repositories.videos import Video
from reelbase.testing.clock import START

R = TypeVar("R", bound=msgspec.Struct)

# Of types that give none when they are called.
_VALUES: dict[Any, Any] = {datetime: START, Fraction: Fraction(1)}


class Factory(Generic[R]):
    """``make_file(name="a.mkv")``: a record with the given fields, and a value of its type in each other one.

    It stores nothing. Ids are new in each record, times come from a new FrozenClock, and optional fields
    are None. So a test names the fields that it is about, and a field that a later release adds does not
    break it. An application has factories of its own: ``make_note = Factory(Note, text="note {}")``.

    record: the class. defaults: values for fields that need more than their type; {} in a text is a number,
    which differs in each record.
    """

    def __init__(self, record: type[R], **defaults: Any) -> None:
        unknown = defaults.keys() - set(record.__struct_fields__)
        if unknown:
            raise TypeError(f"{record.__name__} has no field {', '.join(sorted(unknown))}")
        self._record = record
        self._defaults = defaults
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        return f"<Factory of {self._record.__name__}>"

    def __call__(self, **fields: Any) -> R:
        """The record. TypeError for a field that it does not have; values are kept as they are given."""
        number = next(self._numbers)
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(self._record):
            if field.name in fields:
                continue
            if field.name in self._defaults:
                default = self._defaults[field.name]
                values[field.name] = default.format(number) if isinstance(default, str) else default
            elif field.required:
                name = f"{self._record.__name__.lower()}_id" if field.name == "id" else field.name
                values[field.name] = _value(field.type, name, number)
        return self._record(**values, **fields)


def _value(kind: Any, name: str, number: int) -> Any:
    """A value of a type, for a field of this name in the record of this number."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _value(get_args(kind)[0], name, number)
    if origin in (typing.Union, types.UnionType):
        members = get_args(kind)
        return None if type(None) in members else _value(members[0], name, number)
    if origin is Literal:
        return get_args(kind)[0]
    if kind is Any:
        return None
    if kind is UUID:
        return new_id()
    if kind is str:
        return f"{name.removesuffix('_id')}-{number}" if name.endswith("_id") else name
    if kind is int and name.endswith("_id"):
        return number
    known = origin or kind
    if isinstance(known, type) and issubclass(known, enum.Enum):
        return next(iter(known))
    if isinstance(known, type) and issubclass(known, msgspec.Struct):
        return Factory(known)()
    return _VALUES[known] if known in _VALUES else known()


make_audit_entry = Factory(AuditEntry)
make_clip = Factory(Clip, end_time=1.0)
make_collected_file = Factory(CollectedFile, position=1)
make_collection = Factory(Collection, name="collection {}")
make_comment = Factory(Comment, text="text {}")
make_config_entry = Factory(ConfigEntry)
make_derived_file = Factory(DerivedFile, kind="preview")
make_domain_errors = Factory(DomainErrors)
make_download = Factory(Download, url="https://example.org/{}")
make_error_log_entry = Factory(ErrorLogEntry, url="https://example.org/{}")
make_evicted_file = Factory(EvictedFile, kind="preview", path="preview {}")
make_expendable = Factory(Expendable, key="{}")
make_redaction = Factory(Redaction, text="text {}")
make_file = Factory(File, name="file-{}.mkv", path="in/file-{}.mkv")
make_file_card = Factory(FileCard)
make_file_processing = Factory(FileProcessing, max_retries=3)
make_generation = Factory(
    Generation,
    prompt="prompt {}",
    duration_seconds=1.0,
    sample_rate=44_100,
    channels=2,
    file_path="out/{}.wav",
)
make_generation_stats = Factory(GenerationStats)
make_job = Factory(Job, type="job", max_attempts=1)
make_job_log_line = Factory(JobLogLine, number=1)
make_job_queue = Factory(JobQueue, type="job", count=1)
make_job_step = Factory(JobStep)
make_library_video = Factory(
    LibraryVideo,
    filename="video-{}.mov",
    path="in/video-{}.mov",
    duration=1.0,
    framerate_num=25,
    framerate_den=1,
    width=1920,
    height=1080,
)
make_llm_config = Factory(LlmConfig, max_tokens=4096, test_status="untested")
make_llm_config_check = Factory(LlmConfigCheck)
make_llm_template = Factory(LlmTemplate)
make_marker = Factory(Marker, label="marker {}")
make_media_info = Factory(MediaInfo)
make_notification = Factory(Notification)
make_person = Factory(Person, name="person {}")
make_person_file = Factory(PersonFile, kind="picture")
make_profile = Factory(Profile)
make_profile_setting = Factory(ProfileSetting)
make_project = Factory(Project)
make_project_clip = Factory(ProjectClip, out_point=25)
make_project_settings = Factory(ProjectSettings)
make_project_snapshot = Factory(ProjectSnapshot)
make_project_stats = Factory(ProjectStats)
make_project_version = Factory(ProjectVersion, number=1, checksum="0" * 64)
make_project_with_videos = Factory(ProjectWithVideos)
make_prompt = Factory(Prompt, used_count=1)
make_purge_report = Factory(PurgeReport)
make_purged_download = Factory(PurgedDownload)
make_recovery_report = Factory(RecoveryReport)
make_schedule = Factory(
    Schedule, name="schedule {}", type="job", cron="@daily", time_zone="UTC", max_attempts=1
)
make_segment = Factory(Segment, end_time=1.0, text="text {}")
make_segment_hit = Factory(SegmentHit)
make_session = Factory(Session)
make_session_summary = Factory(SessionSummary)
make_speaker = Factory(Speaker, label="SPEAKER_{}")
make_speaker_name = Factory(SpeakerName)
make_spoken_segment = Factory(SpokenSegment)
make_stored_secret = Factory(StoredSecret, name="secret {}")
make_summary = Factory(Summary, version=1)
make_summary_prompt = Factory(SummaryPrompt, version=1)
make_summary_prompt_version = Factory(SummaryPromptVersion, version=1)
make_tag = Factory(Tag, name="tag {}")
make_timeline_clip = Factory(TimelineClip, duration=25, generator="color")
make_timeline_track = Factory(TimelineTrack, kind="video")
make_timeline_transition = Factory(TimelineTransition, kind="dissolve", duration=12)
make_transcript = Factory(Transcript, text="text {}")
make_unsupported_url = Factory(UnsupportedUrl, url="https://example.org/{}")
make_video = Factory(
    Video,
    filename="video-{}.mov",
    path="in/video-{}.mov",
    duration=1.0,
    framerate_num=25,
    framerate_den=1,
    width=1920,
    height=1080,
)
