"""The table of contents: one attribute per repository, the same on Database, snapshot and unit of work."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, overload

from reelbase.engine.raw_sql import RawSql
from reelbase.engine.repository import Repository
from reelbase.repositories.audit import AuditRepository
from reelbase.repositories.clips import ClipRepository
from reelbase.repositories.collections import CollectionRepository
from reelbase.repositories.comments import CommentRepository
from reelbase.repositories.config import ConfigRepository
from reelbase.repositories.derived_files import DerivedFileRepository
from reelbase.repositories.downloads import DownloadRepository
from reelbase.repositories.error_log import ErrorLogRepository
from reelbase.repositories.file_processing import FileProcessingRepository
from reelbase.repositories.files import FileRepository
from reelbase.repositories.generations import GenerationRepository
from reelbase.repositories.jobs import JobRepository
from reelbase.repositories.llm_configs import LlmConfigRepository
from reelbase.repositories.markers import MarkerRepository
from reelbase.repositories.media_info import MediaInfoRepository
from reelbase.repositories.notifications import NotificationRepository
from reelbase.repositories.people import PersonRepository
from reelbase.repositories.profiles import ProfileRepository
from reelbase.repositories.project_clips import ProjectClipRepository
from reelbase.repositories.project_settings import ProjectSettingsRepository
from reelbase.repositories.project_versions import ProjectVersionRepository
from reelbase.repositories.projects import ProjectRepository
from reelbase.repositories.prompts import PromptRepository
from reelbase.repositories.redactions import RedactionRepository
from reelbase.repositories.retention import RetentionRepository
from reelbase.repositories.schedules import ScheduleRepository
from reelbase.repositories.secrets_store import SecretsStoreRepository
from reelbase.repositories.segments import SegmentRepository
from reelbase.repositories.sessions import SessionRepository
from reelbase.repositories.settings import SettingsRepository
from reelbase.repositories.speakers import SpeakerRepository
from reelbase.repositories.summaries import SummaryRepository
from reelbase.repositories.summary_prompts import SummaryPromptRepository
from reelbase.repositories.tags import TagRepository
from reelbase.repositories.templates import LlmTemplateRepository
from reelbase.repositories.timeline_clips import (
    TimelineClipRepository,
)
from reelbase.repositories.timeline_tracks import (
    TimelineTrackRepository,
)
from reelbase.repositories.timeline_transitions import (
    TimelineTransitionRepository,
)
from reelbase.repositories.transcripts import TranscriptRepository
from reelbase.repositories.unsupported_urls import UnsupportedUrlRepository
from reelbase.repositories.video_library import VideoLibraryRepository
from reelbase.repositories.videos import VideoRepository

R = TypeVar("R", bound=Repository)


class _Attribute(Generic[R]):
    """Descriptor: makes the repository for its holder's executor at first access, and caches it on the
    holder."""

    def __init__(self, repository_class: type[R]) -> None:
        self._repository_class = repository_class

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, holder: None, owner: Any) -> _Attribute[R]: ...
    @overload
    def __get__(self, holder: Catalogue, owner: Any = None) -> R: ...
    def __get__(self, holder: Catalogue | None, owner: Any = None) -> R | _Attribute[R]:
        if holder is None:  # of the class: for help(), autospec and documentation tools
            return self
        repository = self._repository_class(holder._executor)
        holder.__dict__[self._name] = repository  # from now on found before this descriptor
        return repository


class Catalogue(RawSql):
    """One attribute for each repository, the verbs for the application's own SQL, and repository()."""

    profiles = _Attribute(ProfileRepository)
    files = _Attribute(FileRepository)
    media_info = _Attribute(MediaInfoRepository)
    file_processing = _Attribute(FileProcessingRepository)
    tags = _Attribute(TagRepository)
    settings = _Attribute(SettingsRepository)
    notifications = _Attribute(NotificationRepository)
    transcripts = _Attribute(TranscriptRepository)
    segments = _Attribute(SegmentRepository)
    speakers = _Attribute(SpeakerRepository)
    clips = _Attribute(ClipRepository)
    templates = _Attribute(LlmTemplateRepository)
    llm_configs = _Attribute(LlmConfigRepository)
    summary_prompts = _Attribute(SummaryPromptRepository)
    summaries = _Attribute(SummaryRepository)
    jobs = _Attribute(JobRepository)
    schedules = _Attribute(ScheduleRepository)
    sessions = _Attribute(SessionRepository)
    downloads = _Attribute(DownloadRepository)
    config = _Attribute(ConfigRepository)
    unsupported_urls = _Attribute(UnsupportedUrlRepository)
    error_log = _Attribute(ErrorLogRepository)
    projects = _Attribute(ProjectRepository)
    videos = _Attribute(VideoRepository)
    project_clips = _Attribute(ProjectClipRepository)
    project_settings = _Attribute(ProjectSettingsRepository)
    video_library = _Attribute(VideoLibraryRepository)
    timeline_tracks = _Attribute(TimelineTrackRepository)
    timeline_clips = _Attribute(TimelineClipRepository)
    timeline_transitions = _Attribute(TimelineTransitionRepository)
    project_versions = _Attribute(ProjectVersionRepository)
    audit = _Attribute(AuditRepository)
    generations = _Attribute(GenerationRepository)
    prompts = _Attribute(PromptRepository)
    people = _Attribute(PersonRepository)
    collections = _Attribute(CollectionRepository)
    comments = _Attribute(CommentRepository)
    derived_files = _Attribute(DerivedFileRepository)
    retention = _Attribute(RetentionRepository)
    redactions = _Attribute(RedactionRepository)
    markers = _Attribute(MarkerRepository)
    secrets_store = _Attribute(SecretsStoreRepository)

    def repository(self, repository_class: type[R]) -> R:
        """A repository of the application's own (a subclass of reelbase.Repository) on this executor."""
        return repository_class(self._executor)
