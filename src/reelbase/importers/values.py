"""Values of the old database: times, ids, numbers, texts and JSON, in the forms of the schema.

None stands for a value that cannot be read as its type.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, tzinfo
from uuid import UUID, uuid5

import msgspec

from reelbase.engine.statements.parameters import to_json, to_moment
from reelbase.operations.transfer.format import Value

# The namespace of the ids that are made of ids that are no UUIDs. It never changes: the same id comes out of
# every import.
_NAMESPACE = UUID("8d1d6a0e-5d6b-5b0e-9a37-6f1c0f5e7ee1")

_MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?"
    r"\s?(Z|[+-]\d\d(?::?\d\d)?(?::?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)
_UUID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_REAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_INT64 = range(-(2**63), 2**63)


def text_of_value(value: Value) -> str | None:
    """The text; of a number its digits. Bytes that are no UTF-8 are shown as escapes (\\xe9)."""
    if value is None or isinstance(value, str):
        return value
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def moment_of(value: Value, zone: tzinfo | None = UTC) -> str | None:
    """The time in UTC, cut to milliseconds, as the schema stores it.

    zone: that of a time without an offset; None: the machine's.
    """
    found = _MOMENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    *parts, fraction, offset = found.groups()
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in parts)
        microsecond = int((fraction or "0")[:6].ljust(6, "0"))
        local = datetime(year, month, day, hour, minute, second, microsecond, _zone(offset, zone))
        return to_moment(local.astimezone(UTC))
    except (ValueError, OverflowError, OSError):  # February 30, or out of the range of datetime
        return None


def _zone(offset: str | None, zone: tzinfo | None) -> tzinfo | None:
    if offset is None:
        return zone
    if offset in "Zz":
        return UTC
    digits = offset[1:].replace(":", "").ljust(6, "0")
    return datetime.strptime(f"{offset[0]}{digits}", "%z").tzinfo


def uuid_of(value: Value, kind: str) -> str | None:
    """The UUID with dashes and in lower case; of an id that is no UUID, one that is made of it.

    kind: the kind of record, so that equal ids of two kinds become two.
    """
    text = text_of_value(value)
    if text is None:
        return None
    return str(UUID(text)) if _UUID.fullmatch(text) else made_id(kind, text)


def is_uuid(value: Value) -> bool:
    """Whether the value is a UUID, with or without dashes."""
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def made_id(kind: str, old: str) -> str:
    """The UUID that stands for a record without one: always the same for the same kind and old id."""
    return str(uuid5(_NAMESPACE, f"{kind}:{old}"))


def integer_of(value: Value) -> int | None:
    """The integer of 64 bits, which may be given as a real number or as a text."""
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and value in _INT64 else None


def real_of(value: Value) -> float | None:
    """The finite number, which may be given as a text."""
    if isinstance(value, str) and _REAL.fullmatch(value.strip()):
        value = float(value)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def flag_of(value: Value) -> int:
    """1 for a true value: a number except 0, and t, true, yes and on; 0 for all else."""
    if isinstance(value, str):
        return int(value.strip().lower() in ("t", "true", "y", "yes", "on", "1"))
    return int(bool(value)) if isinstance(value, int | float) else 0


class Json(msgspec.Struct, frozen=True):
    """JSON text that the schema takes, and the value that it holds."""

    text: str
    value: object


def json_of(value: Value) -> Json | None:
    """The JSON of a text, or of a number; None for a text that is no JSON, or is JSON that the library cannot
    read back: NaN, lone surrogates, nesting without end."""
    text = text_of_value(value)
    if text is None or (isinstance(value, bytes) and "\\" in text):
        return None
    try:
        decoded = msgspec.json.decode(text)
        to_json(decoded)  # refuses what could be read, but not stored again
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return None
    return Json(text, decoded)


def json_text(value: object) -> str:
    """The JSON text of a value that holds texts, finite numbers, dicts and lists only."""
    return msgspec.json.encode(value).decode()


def raw_json(value: Value) -> str:
    """JSON that keeps a text that is no JSON: ``{"raw": "…"}``."""
    return json_text({"raw": text_of_value(value)})
