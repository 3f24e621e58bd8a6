"""A sentence that the library finds again: two words of it are searched for in all transcripts."""

from __future__ import annotations

import asyncio
import re
import time
from itertools import pairwise

import msgspec

from reelbase import Database
from reelbase.cli.demo.queue import PROFILE_ID

_HITS_SHOWN = 3
_LONGEST_WORD = 20  # in scripts without spaces a whole sentence looks like one

# One of the first thousand, so that a large library need not be read for it.
_SENTENCE = """
  SELECT text
  FROM (
    SELECT transcript_segments.text
    FROM transcript_segments
    JOIN transcripts ON transcripts.id = transcript_segments.transcript_id
    JOIN files ON files.id = transcripts.file_id
    WHERE transcripts.profile_id = :profile_id
      AND substr(files.path, 1, length(:prefix)) = :prefix
    ORDER BY transcript_segments.id
    LIMIT 1000
  )
  ORDER BY length(text) BETWEEN 20 AND 90 DESC, length(text) DESC, text
  LIMIT 1
"""


class Hit(msgspec.Struct, frozen=True):
    """A segment that was found. start_time: seconds into the file."""

    path: str
    start_time: float
    text: str


class Search(msgspec.Struct, frozen=True):
    """The words of the search, and its best results. segments: how many were looked through.

    is_of_sample: the folder has no subtitles, so the words are from the sample.
    """

    words: str
    hits: list[Hit]
    segments: int
    seconds: float
    is_of_sample: bool


async def words_to_find(database: Database, prefix: str) -> str | None:
    """Two words of a sentence from a file with a path that begins so; None where no file has subtitles."""
    sentence = await database.fetch_optional(
        str, _SENTENCE, {"profile_id": PROFILE_ID, "prefix": prefix}
    )
    return None if sentence is None else _two_words(sentence)


def _two_words(sentence: str) -> str | None:
    """The longest two that follow each other."""
    words = re.findall(r"\w+", sentence)
    pairs = [" ".join(pair) for pair in pairwise(words) if len(pair[0]) <= _LONGEST_WORD]
    # The last word of a search may be the beginning of one, so only that may be cut.
    return max(pairs or words, key=len)[: 2 * _LONGEST_WORD] if words else None


async def search_for(
    database: Database, words: str, segments: int, *, is_of_sample: bool
) -> Search:
    """The search as an application would make it."""
    started = time.monotonic()
    hits = await database.transcripts.search(PROFILE_ID, words, limit=_HITS_SHOWN)
    seconds = time.monotonic() - started
    files = await asyncio.gather(*(database.files.find(hit.file_id) for hit in hits))
    shown = [
        Hit(file.path, hit.segment.start_time, hit.snippet)
        for hit, file in zip(hits, files, strict=True)
        if file is not None
    ]
    return Search(words, shown, segments, seconds, is_of_sample)


def python_lines(database: str, words: str) -> list[str]:
    """Three lines of Python that make the same search. They run as they are."""
    return [
        "import asyncio, reelbase",
        f"async def search(): database = await reelbase.connect({database!r}); "
        f"hits = await database.transcripts.search({PROFILE_ID!r}, {words!r}); "
        "await database.close(); return hits",
        "for hit in asyncio.run(search()): print(hit.segment.start_time, hit.segment.text)",
    ]


def clock(seconds: float) -> str:
    """h:mm:ss, as players show it."""
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}"
