"""The data layer of self-hosted media applications: hand-written SQL, typed records, SQLite, asyncio."""

from reelbase.database import Database, connect
from reelbase.engine.journal import JournalDecision, journal_mode_for
from reelbase.engine.mounts import Filesystem, filesystem_of
from reelbase.engine.repository import Repository
from reelbase.engine.schema import SCHEMA_VERSION, schema_sql
from reelbase.engine.statement import Command, Query
from reelbase.errors import (
    CommitUncertainError,
    ConstraintError,
    DatabaseBusyError,
    DatabaseClosedError,
    DatabaseCorruptError,
    DatabaseError,
    DatabaseFullError,
    DatabaseIOError,
    DatabaseReadOnlyError,
    InvalidTransitionError,
    RecordNotFoundError,
    SchemaError,
    SecretError,
)
from reelbase.repositories.clips import Clip, ClipRepository
from reelbase.repositories.config import ConfigEntry, ConfigRepository
from reelbase.repositories.downloads import (
    Download,
    DownloadRepository,
    DownloadStatus,
    PurgedDownload,
    PurgeReport,
)
from reelbase.repositories.files import File, FileRepository, NewFile
from reelbase.repositories.jobs import Job, JobRepository, JobStatus, RecoveryReport
from reelbase.repositories.profiles import Profile, ProfileRepository
from reelbase.repositories.sessions import Session, SessionRepository, SessionSummary
from reelbase.repositories.templates import LlmTemplate, LlmTemplateRepository
from reelbase.repositories.transcripts import Transcript, TranscriptRepository
from reelbase.repositories.url_logs import (
    DomainErrors,
    ErrorLogEntry,
    ErrorLogRepository,
    UnsupportedUrl,
    UnsupportedUrlRepository,
)
from reelbase.snapshot import Snapshot
from reelbase.unit_of_work import UnitOfWork

__all__ = [
    "SCHEMA_VERSION",
    "Clip",
    "ClipRepository",
    "Command",
    "CommitUncertainError",
    "ConfigEntry",
    "ConfigRepository",
    "ConstraintError",
    "Database",
    "DatabaseBusyError",
    "DatabaseClosedError",
    "DatabaseCorruptError",
    "DatabaseError",
    "DatabaseFullError",
    "DatabaseIOError",
    "DatabaseReadOnlyError",
    "DomainErrors",
    "Download",
    "DownloadRepository",
    "DownloadStatus",
    "ErrorLogEntry",
    "ErrorLogRepository",
    "File",
    "FileRepository",
    "Filesystem",
    "InvalidTransitionError",
    "Job",
    "JobRepository",
    "JobStatus",
    "JournalDecision",
    "LlmTemplate",
    "LlmTemplateRepository",
    "NewFile",
    "Profile",
    "ProfileRepository",
    "PurgeReport",
    "PurgedDownload",
    "Query",
    "RecordNotFoundError",
    "RecoveryReport",
    "Repository",
    "SchemaError",
    "SecretError",
    "Session",
    "SessionRepository",
    "SessionSummary",
    "Snapshot",
    "Transcript",
    "TranscriptRepository",
    "UnitOfWork",
    "UnsupportedUrl",
    "UnsupportedUrlRepository",
    "connect",
    "filesystem_of",
    "journal_mode_for",
    "schema_sql",
]
