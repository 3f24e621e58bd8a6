"""Transcripts: the text of a file, with a language model's explanation."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import UNSET, UnsetType

from reelbase.engine.file_names import FileName
from reelbase.engine.ids import END_OF_TIME, MAX_ID, new_id
from reelbase.engine.record import Record
from reelbase.engine.repository import Repository
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.search import match_expression
from reelbase.engine.statements.statement import Command, PageQuery, Query
from reelbase.repositories.files import File
from reelbase.repositories.segments import Segment


class Transcript(Record, frozen=True):
    """The text of a file. language: as the application writes it.  file: None unless load_file was passed."""

    id: UUID
    profile_id: str
    file_id: UUID
    text: str
    llm_explanation: str | None
    language: str | None
    created_at: datetime
    file: File | None


class SegmentHit(Record, frozen=True):
    """A segment that a search has found. snippet: its text; for a long text about 200 characters around the
    first match.

    rank: the smaller, the better (bm25 of FTS5, negative).  file_name: the name of the file.  marked: the
    snippet in pieces, of which every second one (the second, the fourth …) matched; together they are the
    snippet. Nothing in them is markup: escape each piece for HTML as any text, then put <mark> around the
    second, the fourth …
    """

    segment: Segment
    transcript_id: UUID
    file_id: UUID
    snippet: str
    rank: float
    file_name: FileName
    marked: list[str]


class TranscriptRepository(Repository):
    """Transcripts of files, table ``transcripts``: a file may have several. They are deleted with their file
    or profile.
    """

    entity = "transcript"
    table = "transcripts"

    _add = Command(
        Transcript,
        """
        INSERT INTO transcripts (
          id, profile_id, file_id, text, llm_explanation, language, created_at
        )
        VALUES (:id, :profile_id, :file_id, :text, :llm_explanation, :language, :created_at)
        RETURNING
          id, profile_id, file_id, text, llm_explanation, language, created_at, NULL AS file
        """,
    )

    _get = Query(
        Transcript,
        """
        SELECT
          id, profile_id, file_id, text, llm_explanation, language, created_at, NULL AS file
        FROM transcripts
        WHERE id = :id
        """,
    )

    _list_for_profile = Query(
        Transcript,
        """
        SELECT
          id, profile_id, file_id, text, llm_explanation, language, created_at, NULL AS file
        FROM transcripts
        WHERE profile_id = :profile_id
        ORDER BY created_at DESC, id DESC
        """,
    )

    _list_for_profile_with_files = Query(
        Transcript,
        """
        SELECT
          transcripts.id,
          transcripts.profile_id,
          transcripts.file_id,
          transcripts.text,
          transcripts.llm_explanation,
          transcripts.language,
          transcripts.created_at,
          files.id AS "file.id",
          files.profile_id AS "file.profile_id",
          files.name AS "file.name",
          files.path AS "file.path",
          files.type AS "file.type",
          files.folder AS "file.folder",
          files.source_file_id AS "file.source_file_id",
          files.origin AS "file.origin",
          files.size_bytes AS "file.size_bytes",
          files.content_type AS "file.content_type",
          files.content_hash AS "file.content_hash",
          files.source_url AS "file.source_url",
          files.created_at AS "file.created_at"
        FROM transcripts
        CROSS JOIN files
        WHERE files.id = transcripts.file_id
          AND transcripts.profile_id = :profile_id
        ORDER BY transcripts.created_at DESC, transcripts.id DESC
        """,
    )

    _page = PageQuery(
        Transcript,
        """
        SELECT
          id, profile_id, file_id, text, llm_explanation, language, created_at, NULL AS file
        FROM transcripts
        WHERE profile_id = :profile_id
          AND (created_at, id) < (:created_at, :id)
        ORDER BY created_at DESC, id DESC
        LIMIT :limit
        """,
        keyset={"created_at": END_OF_TIME, "id": MAX_ID},
    )

    _page_with_files = PageQuery(
        Transcript,
        """
        SELECT
          transcripts.id,
          transcripts.profile_id,
          transcripts.file_id,
          transcripts.text,
          transcripts.llm_explanation,
          transcripts.language,
          transcripts.created_at,
          files.id AS "file.id",
          files.profile_id AS "file.profile_id",
          files.name AS "file.name",
          files.path AS "file.path",
          files.type AS "file.type",
          files.folder AS "file.folder",
          files.source_file_id AS "file.source_file_id",
          files.origin AS "file.origin",
          files.size_bytes AS "file.size_bytes",
          files.content_type AS "file.content_type",
          files.content_hash AS "file.content_hash",
          files.source_url AS "file.source_url",
          files.created_at AS "file.created_at"
        FROM transcripts
        CROSS JOIN files
        WHERE files.id = transcripts.file_id
          AND transcripts.profile_id = :profile_id
          AND (transcripts.created_at, transcripts.id) < (:created_at, :id)
        ORDER BY transcripts.created_at DESC, transcripts.id DESC
        LIMIT :limit
        """,
        keyset={"created_at": END_OF_TIME, "id": MAX_ID},
    )

    _list_for_file = Query(
        Transcript,
        """
        SELECT
          id, profile_id, file_id, text, llm_explanation, language, created_at, NULL AS file
        FROM transcripts
        WHERE file_id = :file_id
        ORDER BY created_at DESC, id DESC
        LIMIT :limit OFFSET :offset
        """,
    )

    # Ranking costs a microsecond a row, seven seconds for a word that most of millions of segments have;
    # so only the newest of them are ranked. Not the snippet() of FTS5, which would be computed for every
    # match before the ranking.
    _search = Query(
        SegmentHit,
        """
        SELECT
          transcript_segments.id AS "segment.id",
          transcript_segments.transcript_id AS "segment.transcript_id",
          transcript_segments.speaker_id AS "segment.speaker_id",
          transcript_segments.start_time AS "segment.start_time",
          transcript_segments.end_time AS "segment.end_time",
          transcript_segments.text AS "segment.text",
          transcript_segments.confidence AS "segment.confidence",
          transcript_segments.words AS "segment.words",
          transcript_segments.transcript_id,
          best.file_id,
          excerpt(transcript_segments.text, :expression) AS snippet,
          best.score AS rank,
          files.name AS file_name,
          marked(excerpt(transcript_segments.text, :expression), :expression) AS marked
        FROM (
          SELECT id, score, file_id
          FROM (
            SELECT
              transcript_segments_fts.rowid AS id,
              transcript_segments_fts.rank AS score,
              transcripts.file_id
            FROM transcript_segments_fts(:expression)
            CROSS JOIN transcript_segments
            CROSS JOIN transcripts
            WHERE transcript_segments.id = transcript_segments_fts.rowid
              AND transcripts.id = transcript_segments.transcript_id
              AND transcripts.profile_id = :profile_id
            ORDER BY transcript_segments_fts.rowid DESC
            LIMIT 10000
          ) AS found
          ORDER BY score, id
          LIMIT :limit OFFSET :offset
        ) AS best
        CROSS JOIN transcript_segments
        CROSS JOIN files
        WHERE transcript_segments.id = best.id
          AND files.id = best.file_id
        ORDER BY best.score, best.id
        """,
        params={"expression": str, "profile_id": str},
    )

    _update = Command(
        Transcript,
        """
        UPDATE transcripts
        SET text = iif(:set_text, :text, text),
            llm_explanation = iif(:set_llm_explanation, :llm_explanation, llm_explanation),
            language = iif(:set_language, :language, language)
        WHERE id = :id
        RETURNING
          id, profile_id, file_id, text, llm_explanation, language, created_at, NULL AS file
        """,
    )

    _delete = Command(
        Transcript,
        """
        DELETE FROM transcripts
        WHERE id = :id
        """,
    )

    async def add(
        self,
        profile_id: str,
        file_id: UUID | str,
        text: str,
        llm_explanation: str | None = None,
        *,
        id: UUID | str | None = None,
        language: str | None = None,
    ) -> Transcript:
        """Adds a transcript of one of the profile's files. A file may have several.

        Args:
            profile_id: the profile that owns the transcript.
            file_id: a file of this profile.
            text: the whole text. Segments are stored by segments.replace_all(), and only they are searched.
            llm_explanation: a language model's explanation, or None.
            id: the id of the transcript; None: a new one.
            language: as the application writes it, or None.

        Returns:
            The transcript.

        Raises:
            ConstraintError: kind foreign_key when the profile does not exist or has no such file; kind
                unique when the id is taken.
        """
        return await self._run(
            self._add.one(
                id=new_id() if id is None else id,
                profile_id=profile_id,
                file_id=file_id,
                text=text,
                llm_explanation=llm_explanation,
                language=language,
                created_at=self._now(),
            )
        )

    async def get(self, transcript_id: UUID | str) -> Transcript:
        """The transcript; RecordNotFoundError when there is none."""
        return await self._run(self._get.one(id=transcript_id))

    async def find(self, transcript_id: UUID | str) -> Transcript | None:
        """The transcript, or None."""
        return await self._run(self._get.optional(id=transcript_id))

    async def list_for_profile(self, profile_id: str, load_file: bool = False) -> list[Transcript]:
        """A profile's transcripts, newest first; load_file fills ``file``, in the same statement."""
        query = self._list_for_profile_with_files if load_file else self._list_for_profile
        return await self._run(query.all(profile_id=profile_id))

    async def page(
        self,
        profile_id: str,
        *,
        after: Transcript | str | None = None,
        limit: int | None = 50,
        load_file: bool = False,
    ) -> Page[Transcript]:
        """A page of a profile's transcripts, newest first, by keyset.

        Args:
            profile_id: the profile.
            after: ``next`` of the page before, or its last transcript; None: the first page.
            limit: at most this many; None: all.
            load_file: fills ``file``, in the same statement.

        Returns:
            The transcripts; [] also for an unknown profile. With ``next``, the token of the next page, or
            None on the last one.

        Raises:
            InvalidArgumentError: after is no token of this listing.
        """
        query = self._page_with_files if load_file else self._page
        return await self._run(query.page(after=after, limit=limit, profile_id=profile_id))

    async def list_for_file(
        self, file_id: UUID | str, *, limit: int | None = None, offset: int = 0
    ) -> list[Transcript]:
        """A file's transcripts, newest first.

        Args:
            file_id: the file.
            limit: at most this many; None: all.
            offset: this many are skipped first.

        Returns:
            The transcripts; [] also for an unknown file.
        """
        return await self._run(self._list_for_file.all(file_id=file_id, limit=limit, offset=offset))

    async def search(
        self, profile_id: str, query: str, *, limit: int | None = 50, offset: int = 0
    ) -> list[SegmentHit]:
        """Finds segments of the profile's transcripts by their words.

        The text of a transcript is not searched, so one without segments is never found: a text without times
        is found as one segment, segments.replace_all(id, [NewSegment(0.0, seconds, text)]).

        Args:
            profile_id: the profile.
            query: words that must all occur. The last word matches as a prefix, a "quoted part" as a
                phrase, scripts without spaces (Chinese, Thai …) as substrings; case, accents and width do
                not count. No query is an error.
            limit: at most this many; None: all.
            offset: this many, the best ones, are skipped first.

        Returns:
            The segments, the best match first; [] for a query without a word. Of more than 10,000 matches
            the 10,000 that were stored last are ranked.
        """
        expression = match_expression(self._expect("query", query, str))
        if expression is None:
            return []
        return await self._run(
            self._search.all(
                profile_id=profile_id, expression=expression, limit=limit, offset=offset
            )
        )

    async def update(
        self,
        transcript_id: UUID | str,
        *,
        text: str | UnsetType = UNSET,
        llm_explanation: str | UnsetType | None = UNSET,
        language: str | UnsetType | None = UNSET,
    ) -> Transcript:
        """Changes the fields passed.

        Args:
            transcript_id: the transcript.
            text: the new text; UNSET leaves it.
            llm_explanation: the new explanation; None clears it, UNSET leaves it.
            language: the new language; None clears it, UNSET leaves it.

        Returns:
            The transcript.

        Raises:
            RecordNotFoundError: there is no such transcript.
        """
        changes = {"text": text, "llm_explanation": llm_explanation, "language": language}
        return await self._run(self._update.one(**self._update.changes(changes, id=transcript_id)))

    async def delete(self, transcript_id: UUID | str, *, missing_ok: bool = False) -> bool:
        """True when it existed; otherwise RecordNotFoundError, or False with missing_ok."""
        count = await self._run(self._delete.count(id=transcript_id))
        return self._deleted(count, transcript_id, missing_ok=missing_ok)
