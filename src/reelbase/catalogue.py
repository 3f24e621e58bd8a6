"""The table of contents: one attribute per repository, the same on Database, snapshot and unit of work."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from reelbase.engine.raw import RawSql
from reelbase.engine.repository import Repository
from reelbase.repositories.clips import ClipRepository
from reelbase.repositories.files import FileRepository
from reelbase.repositories.jobs import JobRepository
from reelbase.repositories.profiles import ProfileRepository
from reelbase.repositories.templates import LlmTemplateRepository
from reelbase.repositories.transcripts import TranscriptRepository

R = TypeVar("R", bound=Repository)


class _Attribute(Generic[R]):
    """A repository on the executor of whoever has it as an attribute, made at first use."""

    def __init__(self, repository_class: type[R]) -> None:
        self._repository_class = repository_class

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, holder: Catalogue, owner: Any = None) -> R:
        repository = self._repository_class(holder._executor)
        holder.__dict__[self._name] = repository  # found before this descriptor from now on
        return repository


class Catalogue(RawSql):
    profiles = _Attribute(ProfileRepository)
    files = _Attribute(FileRepository)
    transcripts = _Attribute(TranscriptRepository)
    clips = _Attribute(ClipRepository)
    templates = _Attribute(LlmTemplateRepository)
    jobs = _Attribute(JobRepository)

    def repository(self, repository_class: type[R]) -> R:
        """A repository of the application's own (a subclass of reelbase.Repository) on this executor."""
        return repository_class(self._executor)
