"""A snapshot's repositories as a type checker sees them: with their reading methods only.

At run time a snapshot has the repositories themselves, so a write raises DatabaseReadOnlyError, which names
its method. An editor and a type checker see the classes below, and report the write before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from reelbase.engine.raw_sql import RawReads
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

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
Repo = TypeVar("Repo", bound=Repository)


class Reading(Generic[P, R_co]):
    """A reading method of a repository, with its signature."""

    def __init__(self, method: Callable[Concatenate[Any, P], R_co]) -> None:
        self.method = method

    def __get__(self, view: Any, owner: Any = None) -> Callable[P, R_co]:
        raise TypeError(
            "a view is for type checkers; database.snapshot() has the repositories themselves"
        )


class ProfileView:
    """The reading methods of ``profiles``."""

    get = Reading(ProfileRepository.get)
    find = Reading(ProfileRepository.find)
    exists = Reading(ProfileRepository.exists)
    list = Reading(ProfileRepository.list)
    count = Reading(ProfileRepository.count)


class FileView:
    """The reading methods of ``files``."""

    get = Reading(FileRepository.get)
    find = Reading(FileRepository.find)
    list_for_profile = Reading(FileRepository.list_for_profile)
    list = Reading(FileRepository.list)
    page = Reading(FileRepository.page)
    cards = Reading(FileRepository.cards)
    count = Reading(FileRepository.count)
    find_by_hash = Reading(FileRepository.find_by_hash)
    find_by_url = Reading(FileRepository.find_by_url)
    derived_from = Reading(FileRepository.derived_from)
    count_for_profile = Reading(FileRepository.count_for_profile)
    search = Reading(FileRepository.search)


class MediaInfoView:
    """The reading methods of ``media_info``."""

    get = Reading(MediaInfoRepository.get)
    find = Reading(MediaInfoRepository.find)


class FileProcessingView:
    """The reading methods of ``file_processing``."""

    get = Reading(FileProcessingRepository.get)
    find = Reading(FileProcessingRepository.find)
    stuck = Reading(FileProcessingRepository.stuck)
    counts_by_status = Reading(FileProcessingRepository.counts_by_status)


class TagView:
    """The reading methods of ``tags``."""

    get = Reading(TagRepository.get)
    find = Reading(TagRepository.find)
    find_by_name = Reading(TagRepository.find_by_name)
    list_for_profile = Reading(TagRepository.list_for_profile)
    for_file = Reading(TagRepository.for_file)
    for_files = Reading(TagRepository.for_files)


class SettingsView:
    """The reading methods of ``settings``."""

    get = Reading(SettingsRepository.get)
    all = Reading(SettingsRepository.all)


class NotificationView:
    """The reading methods of ``notifications``."""

    get = Reading(NotificationRepository.get)
    find = Reading(NotificationRepository.find)
    list_for_profile = Reading(NotificationRepository.list_for_profile)
    unread_count = Reading(NotificationRepository.unread_count)
    page = Reading(NotificationRepository.page)


class TranscriptView:
    """The reading methods of ``transcripts``."""

    get = Reading(TranscriptRepository.get)
    find = Reading(TranscriptRepository.find)
    list_for_profile = Reading(TranscriptRepository.list_for_profile)
    list_for_file = Reading(TranscriptRepository.list_for_file)
    search = Reading(TranscriptRepository.search)
    page = Reading(TranscriptRepository.page)


class SegmentView:
    """The reading methods of ``segments``."""

    get = Reading(SegmentRepository.get)
    find = Reading(SegmentRepository.find)
    page = Reading(SegmentRepository.page)
    list_for_transcript = Reading(SegmentRepository.list_for_transcript)
    at = Reading(SegmentRepository.at)
    count = Reading(SegmentRepository.count)


class SpeakerView:
    """The reading methods of ``speakers``."""

    get = Reading(SpeakerRepository.get)
    find = Reading(SpeakerRepository.find)
    list_for_file = Reading(SpeakerRepository.list_for_file)
    names_for_profile = Reading(SpeakerRepository.names_for_profile)


class ClipView:
    """The reading methods of ``clips``."""

    get = Reading(ClipRepository.get)
    find = Reading(ClipRepository.find)
    list_for_profile = Reading(ClipRepository.list_for_profile)
    list_for_file = Reading(ClipRepository.list_for_file)


class LlmTemplateView:
    """The reading methods of ``templates``."""

    get_for_profile = Reading(LlmTemplateRepository.get_for_profile)


class LlmConfigView:
    """The reading methods of ``llm_configs``."""

    api_key = Reading(LlmConfigRepository.api_key)
    get = Reading(LlmConfigRepository.get)
    find = Reading(LlmConfigRepository.find)
    list_for_profile = Reading(LlmConfigRepository.list_for_profile)
    active = Reading(LlmConfigRepository.active)
    tests = Reading(LlmConfigRepository.tests)


class SummaryPromptView:
    """The reading methods of ``summary_prompts``."""

    get = Reading(SummaryPromptRepository.get)
    find = Reading(SummaryPromptRepository.find)
    list_for_profile = Reading(SummaryPromptRepository.list_for_profile)
    versions = Reading(SummaryPromptRepository.versions)
    active = Reading(SummaryPromptRepository.active)


class SummaryView:
    """The reading methods of ``summaries``."""

    get = Reading(SummaryRepository.get)
    find = Reading(SummaryRepository.find)
    latest = Reading(SummaryRepository.latest)
    list_for_file = Reading(SummaryRepository.list_for_file)
    search = Reading(SummaryRepository.search)


class JobView:
    """The reading methods of ``jobs``."""

    get = Reading(JobRepository.get)
    find = Reading(JobRepository.find)
    list_for_profile = Reading(JobRepository.list_for_profile)
    list = Reading(JobRepository.list)
    list_children = Reading(JobRepository.list_children)
    list_needed = Reading(JobRepository.list_needed)
    list_unfinished = Reading(JobRepository.list_unfinished)
    held_by = Reading(JobRepository.held_by)
    paused = Reading(JobRepository.paused)
    limits = Reading(JobRepository.limits)
    rates = Reading(JobRepository.rates)
    steps = Reading(JobRepository.steps)
    find_step = Reading(JobRepository.find_step)
    log_lines = Reading(JobRepository.log_lines)
    find_referencing_file = Reading(JobRepository.find_referencing_file)
    find_referencing_transcript = Reading(JobRepository.find_referencing_transcript)
    page = Reading(JobRepository.page)
    counts_by_status = Reading(JobRepository.counts_by_status)
    queues = Reading(JobRepository.queues)


class ScheduleView:
    """The reading methods of ``schedules``."""

    get = Reading(ScheduleRepository.get)
    find = Reading(ScheduleRepository.find)
    list = Reading(ScheduleRepository.list)
    due_in = Reading(ScheduleRepository.due_in)


class SessionView:
    """The reading methods of ``sessions``."""

    get = Reading(SessionRepository.get)
    find = Reading(SessionRepository.find)
    list = Reading(SessionRepository.list)
    count = Reading(SessionRepository.count)


class DownloadView:
    """The reading methods of ``downloads``."""

    get = Reading(DownloadRepository.get)
    find = Reading(DownloadRepository.find)
    list_for_session = Reading(DownloadRepository.list_for_session)
    list_children = Reading(DownloadRepository.list_children)
    list = Reading(DownloadRepository.list)
    queue_depth = Reading(DownloadRepository.queue_depth)
    counts_by_status = Reading(DownloadRepository.counts_by_status)
    page = Reading(DownloadRepository.page)


class ConfigView:
    """The reading methods of ``config``."""

    get = Reading(ConfigRepository.get)
    all = Reading(ConfigRepository.all)
    entries = Reading(ConfigRepository.entries)


class UnsupportedUrlView:
    """The reading methods of ``unsupported_urls``."""

    list = Reading(UnsupportedUrlRepository.list)
    count = Reading(UnsupportedUrlRepository.count)


class ErrorLogView:
    """The reading methods of ``error_log``."""

    list = Reading(ErrorLogRepository.list)
    count = Reading(ErrorLogRepository.count)
    top_domains = Reading(ErrorLogRepository.top_domains)


class ProjectView:
    """The reading methods of ``projects``."""

    get = Reading(ProjectRepository.get)
    find = Reading(ProjectRepository.find)
    find_by_name = Reading(ProjectRepository.find_by_name)
    find_by_workspace = Reading(ProjectRepository.find_by_workspace)
    list = Reading(ProjectRepository.list)
    list_with_stats = Reading(ProjectRepository.list_with_stats)
    get_with_videos = Reading(ProjectRepository.get_with_videos)
    count = Reading(ProjectRepository.count)


class VideoView:
    """The reading methods of ``videos``."""

    get = Reading(VideoRepository.get)
    find = Reading(VideoRepository.find)
    find_by_path = Reading(VideoRepository.find_by_path)
    list = Reading(VideoRepository.list)
    page = Reading(VideoRepository.page)
    list_for_project = Reading(VideoRepository.list_for_project)
    search = Reading(VideoRepository.search)
    count = Reading(VideoRepository.count)


class ProjectClipView:
    """The reading methods of ``project_clips``."""

    get = Reading(ProjectClipRepository.get)
    find = Reading(ProjectClipRepository.find)
    list = Reading(ProjectClipRepository.list)
    count = Reading(ProjectClipRepository.count)
    find_by_video = Reading(ProjectClipRepository.find_by_video)
    find_by_project = Reading(ProjectClipRepository.find_by_project)
    find_overlapping = Reading(ProjectClipRepository.find_overlapping)
    validate_bounds = Reading(ProjectClipRepository.validate_bounds)


class ProjectSettingsView:
    """The reading methods of ``project_settings``."""

    get = Reading(ProjectSettingsRepository.get)
    find = Reading(ProjectSettingsRepository.find)


class VideoLibraryView:
    """The reading methods of ``video_library``."""

    get = Reading(VideoLibraryRepository.get)
    find = Reading(VideoLibraryRepository.find)
    find_by_path = Reading(VideoLibraryRepository.find_by_path)
    find_for_video = Reading(VideoLibraryRepository.find_for_video)
    list = Reading(VideoLibraryRepository.list)
    page = Reading(VideoLibraryRepository.page)
    count = Reading(VideoLibraryRepository.count)
    uses = Reading(VideoLibraryRepository.uses)


class TimelineTrackView:
    """The reading methods of ``timeline_tracks``."""

    get = Reading(TimelineTrackRepository.get)
    find = Reading(TimelineTrackRepository.find)
    list_for_project = Reading(TimelineTrackRepository.list_for_project)


class TimelineClipView:
    """The reading methods of ``timeline_clips``."""

    get = Reading(TimelineClipRepository.get)
    find = Reading(TimelineClipRepository.find)
    page = Reading(TimelineClipRepository.page)
    between = Reading(TimelineClipRepository.between)
    find_by_video = Reading(TimelineClipRepository.find_by_video)
    count_for_track = Reading(TimelineClipRepository.count_for_track)


class TimelineTransitionView:
    """The reading methods of ``timeline_transitions``."""

    get = Reading(TimelineTransitionRepository.get)
    find = Reading(TimelineTransitionRepository.find)
    list_for_track = Reading(TimelineTransitionRepository.list_for_track)
    for_clips = Reading(TimelineTransitionRepository.for_clips)


class ProjectVersionView:
    """The reading methods of ``project_versions``."""

    get = Reading(ProjectVersionRepository.get)
    find = Reading(ProjectVersionRepository.find)
    page = Reading(ProjectVersionRepository.page)
    snapshot = Reading(ProjectVersionRepository.snapshot)


class AuditView:
    """The reading methods of ``audit``."""

    get = Reading(AuditRepository.get)
    find = Reading(AuditRepository.find)
    get_history = Reading(AuditRepository.get_history)
    list = Reading(AuditRepository.list)
    count = Reading(AuditRepository.count)
    page = Reading(AuditRepository.page)


class GenerationView:
    """The reading methods of ``generations``."""

    get = Reading(GenerationRepository.get)
    find = Reading(GenerationRepository.find)
    list = Reading(GenerationRepository.list)
    list_for_model = Reading(GenerationRepository.list_for_model)
    list_for_prompt = Reading(GenerationRepository.list_for_prompt)
    pending = Reading(GenerationRepository.pending)
    count = Reading(GenerationRepository.count)
    stats = Reading(GenerationRepository.stats)
    page = Reading(GenerationRepository.page)


class PromptView:
    """The reading methods of ``prompts``."""

    get = Reading(PromptRepository.get)
    find = Reading(PromptRepository.find)
    find_by_text = Reading(PromptRepository.find_by_text)
    list = Reading(PromptRepository.list)
    most_used = Reading(PromptRepository.most_used)
    search = Reading(PromptRepository.search)
    count = Reading(PromptRepository.count)


class PersonView:
    """The reading methods of ``people``."""

    get = Reading(PersonRepository.get)
    find = Reading(PersonRepository.find)
    find_by_name = Reading(PersonRepository.find_by_name)
    list_for_profile = Reading(PersonRepository.list_for_profile)
    speakers = Reading(PersonRepository.speakers)
    suggestions = Reading(PersonRepository.suggestions)
    segments = Reading(PersonRepository.segments)
    files = Reading(PersonRepository.files)


class CollectionView:
    """The reading methods of ``collections``."""

    get = Reading(CollectionRepository.get)
    find = Reading(CollectionRepository.find)
    find_by_name = Reading(CollectionRepository.find_by_name)
    list_for_profile = Reading(CollectionRepository.list_for_profile)
    for_file = Reading(CollectionRepository.for_file)
    page = Reading(CollectionRepository.page)


class CommentView:
    """The reading methods of ``comments``."""

    get = Reading(CommentRepository.get)
    find = Reading(CommentRepository.find)
    list_for_file = Reading(CommentRepository.list_for_file)
    replies = Reading(CommentRepository.replies)
    page = Reading(CommentRepository.page)
    count_for_file = Reading(CommentRepository.count_for_file)


class DerivedFileView:
    """The reading methods of ``derived_files``."""

    get = Reading(DerivedFileRepository.get)
    find = Reading(DerivedFileRepository.find)
    list_for_file = Reading(DerivedFileRepository.list_for_file)
    pending = Reading(DerivedFileRepository.pending)
    counts_by_status = Reading(DerivedFileRepository.counts_by_status)
    total_bytes = Reading(DerivedFileRepository.total_bytes)
    evictable = Reading(DerivedFileRepository.evictable)


class RetentionView:
    """The reading methods of ``retention``."""

    files = Reading(RetentionRepository.files)
    generations = Reading(RetentionRepository.generations)
    notifications = Reading(RetentionRepository.notifications)
    pinned_files = Reading(RetentionRepository.pinned_files)
    pinned_generations = Reading(RetentionRepository.pinned_generations)
    pinned_notifications = Reading(RetentionRepository.pinned_notifications)


class RedactionView:
    """The reading methods of ``redactions``."""

    get = Reading(RedactionRepository.get)
    find = Reading(RedactionRepository.find)
    list_for_transcript = Reading(RedactionRepository.list_for_transcript)


class MarkerView:
    """The reading methods of ``markers``."""

    get = Reading(MarkerRepository.get)
    find = Reading(MarkerRepository.find)
    list_for_file = Reading(MarkerRepository.list_for_file)
    list_for_project = Reading(MarkerRepository.list_for_project)


class SecretsStoreView:
    """The reading methods of ``secrets_store``."""

    get = Reading(SecretsStoreRepository.get)
    find = Reading(SecretsStoreRepository.find)
    value = Reading(SecretsStoreRepository.value)
    list = Reading(SecretsStoreRepository.list)


class ReadingCatalogue(RawReads):
    """A snapshot as a type checker sees it."""

    profiles: ProfileView
    files: FileView
    media_info: MediaInfoView
    file_processing: FileProcessingView
    tags: TagView
    settings: SettingsView
    notifications: NotificationView
    transcripts: TranscriptView
    segments: SegmentView
    speakers: SpeakerView
    clips: ClipView
    templates: LlmTemplateView
    llm_configs: LlmConfigView
    summary_prompts: SummaryPromptView
    summaries: SummaryView
    jobs: JobView
    schedules: ScheduleView
    sessions: SessionView
    downloads: DownloadView
    config: ConfigView
    unsupported_urls: UnsupportedUrlView
    error_log: ErrorLogView
    projects: ProjectView
    videos: VideoView
    project_clips: ProjectClipView
    project_settings: ProjectSettingsView
    video_library: VideoLibraryView
    timeline_tracks: TimelineTrackView
    timeline_clips: TimelineClipView
    timeline_transitions: TimelineTransitionView
    project_versions: ProjectVersionView
    audit: AuditView
    generations: GenerationView
    prompts: PromptView
    people: PersonView
    collections: CollectionView
    comments: CommentView
    derived_files: DerivedFileView
    retention: RetentionView
    redactions: RedactionView
    markers: MarkerView
    secrets_store: SecretsStoreView

    def repository(self, repository_class: type[Repo]) -> Repo:
        """A repository of the application's own; its writing methods raise DatabaseReadOnlyError."""
        return repository_class(self._executor)
