"""The columns of the file as SQLAlchemy's users declare them: TypeDecorators, and an Enum of values."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Enum, String
from sqlalchemy.types import TypeDecorator

from bench.peers.data import moment_text
from bench.peers.records import DownloadStatus


class Identifier(TypeDecorator[UUID]):
    """SQLAlchemy's own Uuid has no dashes where the database has no UUIDs."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: UUID | None, dialect: Any) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Any) -> UUID | None:
        return None if value is None else UUID(value)


class Moment(TypeDecorator[datetime]):
    """SQLAlchemy's own DateTime is naive in SQLite and has no milliseconds."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> str | None:
        return None if value is None else moment_text(value)

    def process_result_value(self, value: str | None, dialect: Any) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


STATUS = Enum(
    DownloadStatus,
    values_callable=lambda statuses: [status.value for status in statuses],
    native_enum=False,
)
