"""DGX Music (November 2025): a generator of music."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from reelbase.engine.statements.parameters import to_moment
from reelbase.importers.conversion import Application, Conversion, Shape
from reelbase.importers.rules import (
    Row,
    at_least,
    file_name,
    integer,
    json_object,
    moment,
    optional_moment,
    own_uuid,
    real,
    text,
    valued,
)
from reelbase.importers.values import is_uuid, json_text
from reelbase.operations.transfer.format import Value

TABLES = {
    "generations": Shape(
        "id prompt model_name duration_seconds sample_rate channels file_path status created_at",
        "model_version file_size_bytes completed_at generation_time_seconds error_message metadata",
    ),
    "prompts": Shape("id text used_count", "first_used_at last_used_at", is_optional=True),
}

GENERATIONS = {
    "id": own_uuid(
        "generations",
        "generations.id is no UUID: a new one, the old one in metadata.imported_id",
    ),
    "prompt": text("prompt"),
    "model_name": text("model_name"),
    "model_version": text("model_version"),
    "duration_seconds": real("duration_seconds"),
    "sample_rate": integer("sample_rate"),
    "channels": integer("channels"),
    "file_path": file_name("file_path"),
    "file_size_bytes": at_least(0, integer("file_size_bytes"), "negative size → NULL"),
    "created_at": moment("created_at", "completed_at"),
    "completed_at": optional_moment("completed_at"),
    "generation_time_seconds": at_least(
        0, real("generation_time_seconds"), "negative generation time → NULL"
    ),
    "error_message": text("error_message"),
    "metadata": json_object(
        "metadata", wrapped="generations.metadata null, list or broken JSON: wrapped"
    ),
}

PROMPTS = {
    "id": integer("id"),
    "text": text("text"),
    "used_count": at_least(1, integer("used_count", 1), "prompts.used_count < 1 → 1", 1),
    "first_used_at": moment("first_used_at", "last_used_at"),
    "last_used_at": moment("last_used_at", "first_used_at"),
}

_ENDED = ("completed", "failed", "cancelled")


class _Use:
    """The use of a prompt, counted from its generations. row: the first of them."""

    def __init__(self, row: Row, at: str) -> None:
        self.row = row
        self.count = 0
        self.first = self.last = at

    def add(self, at: str) -> None:
        self.count += 1
        self.first, self.last = min(self.first, at), max(self.last, at)


def convert(conversion: Conversion) -> None:
    """Generations; then the prompts, also the prompts of generations that have no row of their own."""
    prompts = {row.text("text") for row in conversion.peek("prompts")}
    missing: dict[str, _Use] = {}
    for row in conversion.rows("generations"):
        generation = valued(GENERATIONS, row)
        _keep_old_id(row, generation)
        _end(row, generation)
        if conversion.store(row, "generations", generation):
            prompt, at = str(generation["prompt"]), str(generation["created_at"])
            if prompt not in prompts:
                missing.setdefault(prompt, _Use(row, at)).add(at)
    conversion.copy("prompts", "prompts", PROMPTS)
    for prompt, use in missing.items():
        values: dict[str, Value] = {
            "text": prompt,
            "used_count": use.count,
            "first_used_at": use.first,
            "last_used_at": use.last,
        }
        if conversion.store(use.row, "prompts", values):
            use.row.adjust("prompt row missing: made from its generations")


def _keep_old_id(row: Row, generation: dict[str, Value]) -> None:
    if generation["id"] is not None and not is_uuid(row["id"]):
        metadata = msgspec.json.decode(str(generation["metadata"]))
        generation["metadata"] = json_text({**metadata, "imported_id": row.text("id")})


def _end(row: Row, generation: dict[str, Value]) -> None:
    """Sets the status and the end that it would have after a restart."""
    status = row.word("status", "status in capitals")
    if status == "queued":
        row.adjust("status queued → pending")
        status = "pending"
    elif status == "processing":
        row.adjust("processing → failed")
        status = "failed"
        generation["error_message"] = generation["error_message"] or "interrupted by server restart"
    generation["status"] = status
    if status in _ENDED and generation["completed_at"] is None:
        generation["completed_at"] = _completed_at(row, generation)
    elif status == "pending" and generation["completed_at"] is not None:
        row.adjust("pending with completed_at: cleared")
        generation["completed_at"] = None


def _completed_at(row: Row, generation: dict[str, Value]) -> Value:
    created, seconds = generation["created_at"], generation["generation_time_seconds"]
    if isinstance(seconds, float):
        try:
            ended = datetime.fromisoformat(str(created)) + timedelta(seconds=seconds)
        except OverflowError:
            pass
        else:
            row.adjust("completed_at missing → created_at + generation_time_seconds")
            return to_moment(ended)
    row.adjust("completed_at missing → created_at")
    return created


DGX_MUSIC = Application("dgx-music", "", TABLES, convert)
