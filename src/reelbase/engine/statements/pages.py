"""Pages: lists that know where the next one begins.

A token is a place in a listing: the values of the order's columns in the last row of a page, as they are
stored, with the number of the listing. The row itself may be deleted. A token is no secret and proves
nothing: its checksum, without a key, finds damaged tokens, and its number tokens of another method or
of different filters.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, get_args

import msgspec

from reelbase.engine.statements.parameters import Converter

T = TypeVar("T")

_VERSION = "1"  # of the form of a token; the first character of each
_CHECKSUM_BYTES = 4


class Page(list[T]):
    """A list of records that knows where the next page begins. Every ``page()`` returns one.

        after = None
        while True:
            page = await database.files.page("ann", after=after, limit=100)
            ...
            after = page.next
            if after is None:
                break

    It is a list in every respect: it equals a list of the same records, msgspec and pydantic write it as an
    array, and a slice of it is a plain list. To send the token too, answer
    ``{"files": page, "next": page.next}``.

    next: the token of the next page, for ``after=``: ASCII letters, digits, ``-`` and ``_``, about 100
    characters. None: this is the last page. A token stays valid when the rows of its page change or are
    deleted, in another process, and in a copy of the database. Pass it to the method that gave it, with the
    same arguments; only the limit may differ. It is no secret and no permission.

    The library sets no bound on a limit, and a page is in memory as a whole: a route that takes the limit
    from a URL needs a bound of its own, such as 200.
    """

    __slots__ = ("next",)

    next: str | None

    def __init__(self, records: Iterable[T] = (), *, next: str | None = None) -> None:
        super().__init__(records)
        self.next = next

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """An array of the records, for a web framework that describes its answers by pydantic."""
        (record,) = get_args(source) or (Any,)
        return handler.generate_schema(list.__class_getitem__(record))


class Keyset:
    """The columns of an order, each with its converter and a value that precedes the first row's."""

    def __init__(self, start: Mapping[str, Any], converters: Mapping[str, Converter]) -> None:
        self.start = start
        self._converters = {name: converters[name] for name in start}
        self._types = [type(convert(start[name])) for name, convert in self._converters.items()]

    def place_of(self, record: Any) -> dict[str, Any]:
        """The values of the columns in a record, as they are stored."""
        return {name: convert(getattr(record, name)) for name, convert in self._converters.items()}

    def token_of(self, record: Any, listing: int) -> str:
        """The token of the place of a record.  listing: a number of 32 bits, different for each listing."""
        return _encoded(listing, list(self.place_of(record).values()))

    def place_at(self, token: str, listing: int) -> dict[str, Any]:
        """The values of the columns at a token. ValueError for a text that is no token of this listing."""
        made_for, *place = _decoded(token)
        if made_for != listing or [type(value) for value in place] != self._types:
            raise ValueError(
                "is the token of another listing; pass it to the method that gave it, with the same "
                "arguments (limit may differ), or begin with the first page"
            )
        return dict(zip(self._converters, place, strict=True))


def _encoded(listing: int, place: Sequence[Any]) -> str:
    packed = msgspec.msgpack.encode((listing, *place))
    checked = packed + zlib.crc32(packed).to_bytes(_CHECKSUM_BYTES)
    return _VERSION + base64.urlsafe_b64encode(checked).decode().rstrip("=")


def _decoded(token: str) -> list[Any]:
    """The listing and the place of a token. ValueError for a text that _encoded() did not make."""
    text = token[len(_VERSION) :]
    try:
        checked = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        packed = checked[:-_CHECKSUM_BYTES]
        listing, *place = msgspec.msgpack.decode(packed, type=list[str | int | float])
        if _encoded(int(listing), place) == token:
            return [listing, *place]
    except (ValueError, OverflowError, msgspec.MsgspecError):
        pass
    raise ValueError(
        "is no token of a page, or a damaged one; pass the text of a page's next as it came"
    )
