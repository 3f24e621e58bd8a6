"""From Python values to SQLite's values: one function per type, chosen once per statement.

A converter takes one argument and returns str, int, float, bytes or None. It raises ValueError for a
value that cannot be stored unchanged, and TypeError for a value of the wrong type; the statement adds the
parameter's name. None passes through: the schema decides whether a column may be NULL.
"""

from __future__ import annotations

import enum
import math
import numbers
import re
import reprlib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, TypeGuard
from uuid import UUID

import msgspec

from reelbase.engine.file_names import FileName, Message, escaped, printable

# The values that JSON can express. As the type of a record field or parameter: None is JSON's null.
JsonValue = dict[str, Any] | list[Any] | str | int | float | bool | None

SqlValue = str | int | float | bytes | None
Converter = Callable[[Any], SqlValue]

_CANONICAL_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
INT64 = range(-(2**63), 2**63)
_MAX_JSON_DEPTH = 512
_SECONDS_LENGTH = len("2026-01-31T23:59:59.999")
_SHOWN_LENGTH = 60
_brief = reprlib.Repr()  # repr() itself fails on a value that is nested deeply
_brief.maxstring = _brief.maxother = _SHOWN_LENGTH


def to_id(value: UUID | str | None) -> str:
    """The stored form of an id: 36 characters, dashed, lower case. ValueError for anything else."""
    if type(value) is UUID:
        text: str = msgspec.to_builtins(value)  # str(value) takes four times as long
        return text
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, str) and _CANONICAL_ID.fullmatch(value):
        return str.__str__(value)
    try:
        return str(UUID(value))
    except (ValueError, AttributeError, TypeError):
        raise ValueError(f"not a UUID: {_shown(value)}") from None


def to_optional_id(value: UUID | str | None) -> str | None:
    """to_id(), with None for None."""
    return None if value is None else to_id(value)


# The last time that was written, and its text: one statement, or one unit, writes the same one many times.
_last_written: tuple[datetime | None, str] = (None, "")


def to_moment(value: datetime | None) -> str | None:
    """UTC to the millisecond (cut, not rounded), fixed width: ``YYYY-MM-DDTHH:MM:SS.mmmZ``."""
    global _last_written
    if value is None:
        return None
    written, text = _last_written  # read once: several threads write it
    if value is written:
        return text
    if not isinstance(value, datetime):
        raise TypeError(f"must be a datetime, not {type(value).__name__}")
    utc = value
    if value.tzinfo is not UTC:
        if value.utcoffset() is None:
            raise ValueError("must be an aware datetime; this one has no time zone")
        try:
            utc = value.astimezone(UTC)
        except OverflowError:
            raise ValueError("is out of the range of datetime in UTC") from None
    text = utc.isoformat(timespec="milliseconds")[:_SECONDS_LENGTH] + "Z"
    _last_written = (value, text)
    return text


def has_surrogates(text: str) -> bool:
    """Whether the text holds a lone surrogate, which UTF-8 cannot express."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def to_text(value: str | None) -> str | None:
    """The text itself; of an enumeration's member its plain text. TypeError unless it is a str."""
    if value is None or type(value) is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)  # the plain text of an enumeration's member
    raise TypeError(f"must be str, not {type(value).__name__}")


def to_file_name(value: str | None) -> str | None:
    """The stored form of a file's name: bytes that are not UTF-8 are escaped."""
    text = to_text(value)
    return None if text is None else escaped(text)


def to_message(value: str | None) -> str | None:
    """The text, with every lone surrogate replaced by its escape."""
    text = to_text(value)
    return None if text is None else str(printable(text))


def clamped(value: float | None, lowest: float, highest: float) -> float | None:
    """The value, or the end of the range that it passes. None, NaN, infinity and non-numbers stay."""
    if not _is_real(value) or not math.isfinite(value):
        return value
    return min(max(value, lowest), highest)


def at_least_0(value: int | None) -> int | None:
    """The count, or 0 for a negative one. A value that is no int stays."""
    return 0 if isinstance(value, int) and value < 0 else value


def _is_real(value: object) -> TypeGuard[float]:
    """Whether it is a number, but not complex and no bool. numpy's numbers and Decimal are numbers."""
    return isinstance(value, numbers.Real | Decimal) and not isinstance(value, bool)


def to_integer(value: int | None) -> int | None:
    """An int of 64 bits (ValueError for a larger one); numpy's too, but no bool (TypeError)."""
    if value is None:
        return None
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"must be int, not {type(value).__name__}")
    number = int(value)  # in a range, a member of an IntEnum would be looked for one by one
    if number not in INT64:
        raise ValueError("does not fit into 64 bits")
    return number


def to_real(value: float | None) -> float | None:
    """A finite float (ValueError for NaN and infinity); Decimal and numpy's numbers too, but no bool."""
    if value is None:
        return value
    if type(value) is float and math.isfinite(value):
        return value + 0.0  # SQLite stores -0.0 as 0.0
    if not _is_real(value):
        raise TypeError(f"must be float, not {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("is too large for a float") from None
    if not math.isfinite(number):
        raise ValueError(f"must be finite, not {number}")  # SQLite would store NaN as NULL
    if isinstance(value, numbers.Integral) and number != value:
        raise ValueError(f"is an integer that no float can hold: {_shown(value)}")
    return number + 0.0


def to_flag(value: bool | None) -> int | None:
    """0 or 1 of a bool; TypeError unless it is a bool."""
    if value is None:
        return None
    if not isinstance(value, bool):
        raise TypeError(f"must be bool, not {type(value).__name__}")
    return int(value)


def to_blob(value: bytes | None) -> bytes | None:
    """The bytes themselves; TypeError unless they are bytes."""
    if value is None or isinstance(value, bytes):
        return value
    raise TypeError(f"must be bytes, not {type(value).__name__}")


def to_limit(value: int | None) -> int | None:
    """LIMIT: None means no limit, which SQLite writes as -1."""
    return -1 if value is None else to_offset(value)


def to_offset(value: int) -> int | None:
    """OFFSET: an int of 0 or more, else ValueError."""
    number = to_integer(value)
    if number is None or number < 0:
        raise ValueError(f"must be 0 or more, not {number}")
    return number


def to_json(value: object) -> str | None:
    """JSON text. None is SQL NULL, not JSON null.

    UUIDs, datetimes and enumerations inside become their texts. ValueError for keys that are not str,
    numbers that are not finite, and lone surrogates: these would not come back as they were.
    """
    if value is None:
        return None
    try:
        try:
            encoded = msgspec.json.encode(value, enc_hook=_to_plain_number)
        except TypeError as error:
            _check_json(value, b"")  # a key that is None or bool is an error of the value
            raise TypeError(f"cannot be stored as JSON: {error}") from None
        if not _comes_back(value, encoded):
            _check_json(value, encoded)
    except UnicodeEncodeError:
        raise ValueError("holds a lone surrogate, which no text can store") from None
    except RecursionError:
        raise ValueError("is nested too deeply for JSON") from None
    except (msgspec.MsgspecError, OverflowError) as error:
        raise ValueError(f"cannot be stored as JSON: {error}") from None
    return encoded.decode()


def _to_plain_number(value: object) -> int | float:
    """The plain number of one that the encoder does not know, such as numpy's. TypeError for other types."""
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(f"holds {number}, which JSON cannot express")
        return number
    raise TypeError(f"a {type(value).__name__} is no JSON")


def to_json_value(value: object) -> str:
    """JSON text of any value; None is JSON's null."""
    return to_json(value) or "null"


def _comes_back(value: object, encoded: bytes) -> bool:
    """Whether the encoder has certainly changed nothing, which takes a quarter of the time of looking at each
    value. False for deeply nested values, and for values that are equal only after a conversion (a UUID)."""
    brackets = encoded.count(b"[") + encoded.count(b"{")
    return brackets < _MAX_JSON_DEPTH and bool(msgspec.json.decode(encoded) == value)


def _check_json(value: object, encoded: bytes) -> None:
    """Refuses values that the encoder changes silently (NaN and Infinity to null, keys to text), and values
    nested more than _MAX_JSON_DEPTH levels deep, which the decoder on another thread might refuse."""
    may_hide_nan = b"null" in encoded
    level = [value]
    for _ in range(_MAX_JSON_DEPTH):
        inner: list[object] = []
        for item in level:
            if isinstance(item, Mapping):
                for key in item:
                    if not isinstance(key, str):
                        raise ValueError(f"has a key that is {type(key).__name__}, not str")
                inner.extend(item.values())
            elif isinstance(item, list | tuple | set | frozenset):
                inner.extend(item)
            elif may_hide_nan and isinstance(item, float) and not math.isfinite(item):
                raise ValueError(f"holds {item}, which JSON cannot express")
        if not inner:
            return
        level = inner
    raise ValueError(f"is nested too deeply for JSON (more than {_MAX_JSON_DEPTH} levels)")


def to_json_object(value: Mapping[str, Any] | None) -> str | None:
    """JSON text of a dict or Struct. TypeError unless it is one; ValueError as of to_json()."""
    if value is not None and not isinstance(value, Mapping | msgspec.Struct):
        raise TypeError(f"must be a dict, not {type(value).__name__}")
    return to_json(value)


def to_json_array(value: Sequence[Any] | None) -> str | None:
    """JSON text of a list or tuple. TypeError unless it is one; ValueError as of to_json()."""
    if value is not None and not isinstance(value, list | tuple):
        raise TypeError(f"must be a list, not {type(value).__name__}")
    return to_json(value)


def to_text_array(value: Iterable[str] | None) -> str | None:
    """A JSON array of the texts of an iterable. TypeError for a text itself."""
    if value is None:
        return None
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(f"must be a list of str, not {type(value).__name__}")
    texts = list(value)
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"must hold str only, not {type(text).__name__}")
    return to_json(texts)


def to_integer_array(value: Iterable[int] | None) -> str | None:
    """A JSON array of the integers, of 64 bits, of an iterable. TypeError for a text."""
    if value is None:
        return None
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(f"must be a list of int, not {type(value).__name__}")
    integers = list(value)
    if None in integers:
        raise TypeError("must hold int only, not NoneType")
    return to_json([to_integer(integer) for integer in integers])


ARRAYS: Final = (to_json_array, to_text_array, to_integer_array)


def to_integer_or_text(value: int | str | None) -> int | str | None:
    """to_integer() or to_text(), by the value's type."""
    return to_text(value) if isinstance(value, str) else to_integer(value)


def to_any(value: object) -> SqlValue:
    """The stored form by the value's own type, for SQL without declared parameters."""
    if value is None:
        return None
    converter = _BY_TYPE.get(type(value))
    if converter is None:
        for kind, candidate in _BY_TYPE.items():
            if isinstance(value, kind):
                converter = candidate
                break
        else:
            raise TypeError(f"cannot store a {type(value).__name__}")
    return converter(value)


_BY_TYPE: dict[type, Converter] = {
    str: to_text,
    bool: to_flag,
    int: to_integer,
    float: to_real,
    bytes: to_blob,
    UUID: to_id,
    datetime: to_moment,
    dict: to_json,
    list: to_json,
    tuple: to_json,
    msgspec.Struct: to_json,
    Decimal: to_real,
    numbers.Integral: to_integer,
    numbers.Real: to_real,
}

_BY_ANNOTATION: dict[Any, Converter] = {
    **_BY_TYPE,
    UUID: to_id,
    dict: to_json_object,
    list: to_json_array,
    tuple: to_json_array,
}


# These are str to a type checker, and have converters of their own.
_BY_NOTE: dict[Any, Converter] = {FileName: to_file_name, Message: to_message}


def converter_for(annotation: Any) -> Converter:
    """The converter for a record field or parameter of this type; ``X | None`` is that of X."""
    members = [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [
            m for m in typing.get_args(annotation) if m not in (type(None), msgspec.UnsetType)
        ]
    if annotation == JsonValue:
        return to_json_value
    if annotation == list[str]:
        return to_text_array
    if annotation == list[int]:
        return to_integer_array
    if set(members) == {int, str}:
        return to_integer_or_text
    if len(members) != 1:
        return to_any
    (member,) = members
    if member in _BY_NOTE:
        return _BY_NOTE[member]
    if member is UUID:
        return to_id if annotation is UUID else to_optional_id
    origin = typing.get_origin(member) or member
    if isinstance(origin, type):
        if issubclass(origin, enum.Enum):
            return _enumeration(origin)
        for kind, converter in _BY_ANNOTATION.items():
            if issubclass(origin, kind):
                return converter
    return to_any


def _enumeration(kind: type[enum.Enum]) -> Converter:
    def to_member(value: object) -> SqlValue:
        if value is None:
            return None
        try:
            return str(kind(value).value)
        except (ValueError, RecursionError):  # Enum's own message shows the value, however deep
            known = ", ".join(str(member.value) for member in kind)
            raise ValueError(f"must be one of {known}, not {_shown(value)}") from None

    return to_member


def _shown(value: object) -> str:
    text = _brief.repr(value)
    return text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 3] + "..."
