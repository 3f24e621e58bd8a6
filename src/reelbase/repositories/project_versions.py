"""Versions of projects: the rows of a project at a moment, kept so that they can be restored.

A field that one of these records gets in a later release is missing in older snapshots: _decoded() has to
supply it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from reelbase.engine.file_names import unescaped
from reelbase.engine.ids import MAX_ROWID
from reelbase.engine.record import Record
from reelbase.engine.statements.arguments import invalid_argument
from reelbase.engine.statements.pages import Page
from reelbase.engine.statements.statement import Command, PageQuery, Query
from reelbase.engine.statements.step import Step
from reelbase.errors import (
    ConstraintError,
    ConstraintKind,
    DatabaseCorruptError,
    RecordNotFoundError,
)
from reelbase.repositories.audit import AuditedRepository
from reelbase.repositories.project_clips import ProjectClip
from reelbase.repositories.project_settings import ProjectSettings
from reelbase.repositories.timeline_clips import TimelineClip
from reelbase.repositories.timeline_tracks import TimelineTrack
from reelbase.repositories.timeline_transitions import TimelineTransition

_NAMED = 10  # how many clips or tracks the text of an error names; its details have all


class ProjectVersion(Record, frozen=True):
    """A version of a project; snapshot() gives its contents.

    number: from 1, by project.  name: '' for one that was not given a name.  checksum: the SHA-256 of the
    stored snapshot; versions with the same one are the same to the last byte.
    """

    project_id: int
    number: int
    name: str
    checksum: str
    created_at: datetime


class ProjectSnapshot(Record, frozen=True):
    """The contents of a project's version, without its videos: clips and cuts refer to them by id.

    settings: None: it had none.  tracks: in their order.  clips, transitions: of the timeline, by track.
    cuts: as ``project_clips.find_by_project()`` gives them.
    """

    settings: ProjectSettings | None
    tracks: list[TimelineTrack]
    clips: list[TimelineClip]
    transitions: list[TimelineTransition]
    cuts: list[ProjectClip]


class _StoredVersion(Record, frozen=True):
    """A version, and the text of its snapshot."""

    version: ProjectVersion
    content: str


class _Frames(Record, frozen=True):
    """How long a video is, in its frames."""

    id: int
    total_frames: int


class _Timeline(Record, frozen=True):
    """A track, with all that is on it."""

    track: TimelineTrack
    clips: list[TimelineClip]
    transitions: list[TimelineTransition]


class _Span(NamedTuple):
    """The frames that a clip or a cut needs of a video.  place: clips or cuts."""

    place: str
    id: int
    video_id: int
    out_point: int


class ProjectVersionRepository(AuditedRepository):
    """The versions of projects, table ``project_versions``. They are deleted with their project."""

    entity = "project version"
    table = "project_versions"

    # The whole project in one statement, and so at one moment. With a content: only while it is still this.
    # The rows of a track come by its indexes, and the tracks in their order. LIMIT keeps SQLite from making
    # the content twice, to compare it and to return it.
    _present = Query(
        str,
        """
        SELECT present.content
        FROM (
            SELECT
              json_object(
                'settings',
                json(
                  (
                    SELECT
                      json_object(
                        'project_id', project_id,
                        'output_width', output_width,
                        'output_height', output_height,
                        'frame_rate_num', frame_rate_num,
                        'frame_rate_den', frame_rate_den,
                        'sample_rate', sample_rate,
                        'audio_channels', audio_channels,
                        'bit_depth', bit_depth,
                        'data', json(data),
                        'updated_at', updated_at
                      )
                    FROM project_settings
                    WHERE project_id = :project_id
                  )
                ),
                'tracks',
                json(
                  (
                    SELECT json_group_array(json(listed.item))
                    FROM (
                        SELECT
                          json_object(
                            'id', id,
                            'project_id', project_id,
                            'position', position,
                            'kind', kind,
                            'name', name,
                            'overlap', overlap,
                            'is_muted', json(iif(is_muted, 'true', 'false')),
                            'is_locked', json(iif(is_locked, 'true', 'false')),
                            'data', json(data),
                            'created_at', created_at,
                            'updated_at', updated_at
                          ) AS item
                        FROM timeline_tracks
                        WHERE project_id = :project_id
                        ORDER BY position
                      ) AS listed
                  )
                ),
                'clips',
                json(
                  (
                    SELECT json_group_array(json(listed.item))
                    FROM (
                        SELECT
                          json_object(
                            'id', timeline_clips.id,
                            'project_id', timeline_clips.project_id,
                            'track_id', timeline_clips.track_id,
                            'position', timeline_clips.position,
                            'duration', timeline_clips.duration,
                            'layer', timeline_clips.layer,
                            'video_id', timeline_clips.video_id,
                            'in_point', timeline_clips.in_point,
                            'out_point', timeline_clips.out_point,
                            'image_path', timeline_clips.image_path,
                            'generator', timeline_clips.generator,
                            'name', timeline_clips.name,
                            'data', json(timeline_clips.data),
                            'created_at', timeline_clips.created_at,
                            'updated_at', timeline_clips.updated_at
                          ) AS item
                        FROM timeline_tracks
                        CROSS JOIN timeline_clips
                        WHERE timeline_tracks.project_id = :project_id
                          AND timeline_clips.track_id = timeline_tracks.id
                        ORDER BY timeline_tracks.position, timeline_clips.position, timeline_clips.id
                      ) AS listed
                  )
                ),
                'transitions',
                json(
                  (
                    SELECT json_group_array(json(listed.item))
                    FROM (
                        SELECT
                          json_object(
                            'id', timeline_transitions.id,
                            'track_id', timeline_transitions.track_id,
                            'from_clip_id', timeline_transitions.from_clip_id,
                            'to_clip_id', timeline_transitions.to_clip_id,
                            'kind', timeline_transitions.kind,
                            'duration', timeline_transitions.duration,
                            'data', json(timeline_transitions.data),
                            'created_at', timeline_transitions.created_at,
                            'updated_at', timeline_transitions.updated_at
                          ) AS item
                        FROM timeline_tracks
                        CROSS JOIN timeline_transitions
                        WHERE timeline_tracks.project_id = :project_id
                          AND timeline_transitions.track_id = timeline_tracks.id
                        ORDER BY timeline_tracks.position, timeline_transitions.id
                      ) AS listed
                  )
                ),
                'cuts',
                json(
                  (
                    SELECT json_group_array(json(listed.item))
                    FROM (
                        SELECT
                          json_object(
                            'id', id,
                            'project_id', project_id,
                            'video_id', video_id,
                            'in_point', in_point,
                            'out_point', out_point,
                            'created_at', created_at
                          ) AS item
                        FROM project_clips
                        WHERE project_id = :project_id
                          AND in_point IS NOT NULL
                        ORDER BY in_point, id
                      ) AS listed
                  )
                )
              ) AS content
            FROM projects
            WHERE id = :project_id
            LIMIT 1
          ) AS present
        WHERE :content IS NULL OR present.content = :content
        """,
        params={"project_id": int, "content": str},
        entity="project",
    )

    # Unless another version has come meanwhile: so a later version never has an earlier state.
    _add = Command(
        ProjectVersion,
        """
        INSERT INTO project_versions (project_id, number, name, checksum, created_at, content)
        SELECT id, :newest + 1, :name, :checksum, :now, :content
        FROM projects
        WHERE id = :project_id
          AND :newest = coalesce(
            (SELECT max(number) FROM project_versions WHERE project_versions.project_id = :project_id), 0
          )
        RETURNING *
        """,
        params={"newest": int, "content": str},
    )

    _newest = Query(
        _StoredVersion,
        """
        SELECT
          project_id AS "version.project_id",
          number AS "version.number",
          name AS "version.name",
          checksum AS "version.checksum",
          created_at AS "version.created_at",
          content
        FROM project_versions
        WHERE project_id = :project_id
        ORDER BY number DESC
        LIMIT 1
        """,
        params={"project_id": int},
    )

    _get = Query(
        ProjectVersion,
        """
        SELECT *
        FROM project_versions
        WHERE project_id = :project_id
          AND number = :number
        """,
    )

    _page = PageQuery(
        ProjectVersion,
        """
        SELECT *
        FROM project_versions
        WHERE project_id = :project_id
          AND number < :number
        ORDER BY number DESC
        LIMIT :limit
        """,
        keyset={"number": MAX_ROWID},
    )

    _stored = Query(
        _StoredVersion,
        """
        SELECT
          project_id AS "version.project_id",
          number AS "version.number",
          name AS "version.name",
          checksum AS "version.checksum",
          created_at AS "version.created_at",
          content
        FROM project_versions
        WHERE project_id = :project_id
          AND number = :number
        """,
        params={"project_id": int, "number": int},
    )

    _videos = Query(
        _Frames,
        """
        SELECT *
        FROM videos
        WHERE project_id = :project_id
        """,
        params={"project_id": int},
    )

    _delete_tracks = Command(
        TimelineTrack,
        """
        DELETE FROM timeline_tracks
        WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids))
        """,
        params={"ids": list[int]},
    )

    _add_track = Command(
        TimelineTrack,
        """
        INSERT INTO timeline_tracks (
          id, project_id, position, kind, name, overlap, is_muted, is_locked, data, created_at, updated_at
        )
        VALUES (
          :id, :project_id, :position, :kind, :name, :overlap, :is_muted, :is_locked, :data, :created_at,
          :updated_at
        )
        """,
    )

    _lock_tracks = Command(
        TimelineTrack,
        """
        UPDATE timeline_tracks
        SET is_locked = TRUE
        WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids))
        """,
        params={"ids": list[int]},
    )

    _add_clip = Command(
        TimelineClip,
        """
        INSERT INTO timeline_clips (
          id, project_id, track_id, position, duration, layer, video_id, in_point, out_point,
          image_path, generator, name, data, created_at, updated_at
        )
        VALUES (
          :id, :project_id, :track_id, :position, :duration, :layer, :video_id, :in_point, :out_point,
          :image_path, :generator, :name, :data, :created_at, :updated_at
        )
        """,
    )

    _add_transition = Command(
        TimelineTransition,
        """
        INSERT INTO timeline_transitions (
          id, track_id, from_clip_id, to_clip_id, kind, duration, data, created_at, updated_at
        )
        VALUES (
          :id, :track_id, :from_clip_id, :to_clip_id, :kind, :duration, :data, :created_at, :updated_at
        )
        """,
    )

    _delete_cuts = Command(
        ProjectClip,
        """
        DELETE FROM project_clips
        WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(:ids))
        """,
        params={"ids": list[int]},
    )

    _add_cut = Command(
        ProjectClip,
        """
        INSERT INTO project_clips (id, project_id, video_id, in_point, out_point, created_at)
        VALUES (:id, :project_id, :video_id, :in_point, :out_point, :created_at)
        """,
    )

    _delete_settings = Command(
        ProjectSettings,
        """
        DELETE FROM project_settings
        WHERE project_id = :project_id
        """,
    )

    _add_settings = Command(
        ProjectSettings,
        """
        INSERT INTO project_settings (
          project_id, output_width, output_height, frame_rate_num, frame_rate_den,
          sample_rate, audio_channels, bit_depth, data, updated_at
        )
        VALUES (
          :project_id, :output_width, :output_height, :frame_rate_num, :frame_rate_den,
          :sample_rate, :audio_channels, :bit_depth, :data, :updated_at
        )
        """,
    )

    _delete = Command(
        ProjectVersion,
        """
        DELETE FROM project_versions
        WHERE project_id = :project_id
          AND number = :number
        """,
    )

    _prune = Command(
        ProjectVersion,
        """
        DELETE FROM project_versions
        WHERE project_id = :project_id
          AND name = ''
          AND number <= (
            SELECT number
            FROM project_versions AS others
            WHERE others.project_id = :project_id
              AND others.name = ''
            ORDER BY number DESC
            LIMIT 1 OFFSET :keep
          )
        """,
        params={"keep": int},
    )

    async def save(self, project_id: int, *, name: str = "") -> ProjectVersion:
        """Keeps the present state of the project: its settings, its timeline, and its cuts (project_clips).

        Nothing is stored when no row of that was written since the newest version, unless this is to get
        another name: so a timer may call it as often as it likes.

        Args:
            project_id: the project.
            name: a name to find the version by; prune() leaves named ones. It need not be unique.

        Returns:
            The new version, with a number one above the highest one of the project; or the newest version.

        Raises:
            RecordNotFoundError: there is no such project.
        """
        self._expect("name", name, str)
        while True:
            newest, content = await self._batch(
                self._newest.optional(project_id=project_id),
                self._present.one(project_id=project_id, content=None),
            )
            if (kept := _kept(newest, content, name)) is not None:
                return kept
            try:
                return await self._run(self._addition(project_id, name, content, newest))
            except RecordNotFoundError:
                continue  # another caller has saved a version

    async def get(self, project_id: int, number: int) -> ProjectVersion:
        """The version; RecordNotFoundError when there is none."""
        version = await self._run(self._get.optional(project_id=project_id, number=number))
        if version is None:
            raise self._missing(project_id, number)
        return version

    async def find(self, project_id: int, number: int) -> ProjectVersion | None:
        """The version, or None."""
        return await self._run(self._get.optional(project_id=project_id, number=number))

    async def page(
        self, project_id: int, *, after: ProjectVersion | str | None = None, limit: int | None = 100
    ) -> Page[ProjectVersion]:
        """A page of a project's versions, newest first, by keyset. Their snapshots are not read.

        Args:
            project_id: the project.
            after: ``next`` of the page before, or its last version; None: the first page.
            limit: at most this many; None: all.

        Returns:
            The versions; [] also for an unknown project. With ``next``, the token of the next page, or None
            on the last one.

        Raises:
            InvalidArgumentError: after is no token of this listing.
        """
        return await self._run(self._page.page(after=after, limit=limit, project_id=project_id))

    async def snapshot(self, project_id: int, number: int) -> ProjectSnapshot:
        """The contents of the project in this version.

        RecordNotFoundError when there is no such version; DatabaseCorruptError when its checksum does not
        match its contents.
        """
        stored = await self._run(self._stored.optional(project_id=project_id, number=number))
        # On a thread of its own, as restore() does it: a long timeline would hold up the event loop.
        return await asyncio.to_thread(self._checked, project_id, number, stored)

    async def restore(self, project_id: int, number: int, *, name: str = "") -> ProjectVersion:
        """Restores the project to this version, after its present state was saved. All or nothing.

        Settings, tracks, clips, transitions and cuts become as in the version, with their ids and times;
        tracks that are as they were are not written. Videos and markers stay. A track that is locked now does
        not change: unless the version has it just as it is, the restore is refused.

        Args:
            project_id: the project.
            number: of the version.
            name: for the version of the present state.

        Returns:
            The version of the state before, as save(project_id, name=name) gives it: restore its number to
            undo this.

        Raises:
            RecordNotFoundError: there is no such project, or no such version.
            DatabaseCorruptError: the version's checksum does not match its contents.
            ConstraintError: kind foreign_key when the project does not have a clip's video any more; kind
                check when a video is too short for a clip by now, or a locked track would change;
                ``details`` has ``clips``, ``cuts`` and ``videos``, or ``tracks``: the ids. Kind unique when
                another project has got one of the ids.
        """
        self._expect("name", name, str)
        while True:
            newest, content, stored, videos = await self._batch(
                self._newest.optional(project_id=project_id),
                self._present.one(project_id=project_id, content=None),
                self._stored.optional(project_id=project_id, number=number),
                self._videos.all(project_id=project_id),
            )
            frames = {video.id: video.total_frames for video in videos}
            changes = await asyncio.to_thread(
                self._replacement, project_id, number, content, stored, frames
            )
            kept = _kept(newest, content, name)
            unchanged = self._present.one(project_id=project_id, content=content)
            saved = (
                self._addition(project_id, name, content, newest)
                if kept is None
                else self._get.one(project_id=project_id, number=kept.number)
            )
            try:
                _, before, *_ = await self._batch(unchanged, saved, *changes)
            except RecordNotFoundError:
                continue  # another caller has changed the project, or saved or deleted a version
            version: ProjectVersion = before
            return version

    async def delete(self, project_id: int, number: int, *, missing_ok: bool = False) -> bool:
        """True when the version existed; otherwise RecordNotFoundError, or False with missing_ok.

        The number of the newest version is given again after its deletion.
        """
        count = await self._run(self._delete.count(project_id=project_id, number=number))
        return self._deleted(count, _key(project_id, number), missing_ok=missing_ok)

    async def prune(self, project_id: int, *, keep: int) -> int:
        """Deletes the versions without a name but for the newest ones of them. Returns how many.

        Args:
            project_id: the project.
            keep: this many versions without a name stay, and all that have one; 0: only the named ones.

        Raises:
            InvalidArgumentError: keep is negative.
        """
        if self._expect("keep", keep, int) < 0:
            raise invalid_argument("keep", "must not be negative")
        return await self._run(self._prune.count(project_id=project_id, keep=keep))

    def _missing(self, project_id: int, number: int) -> RecordNotFoundError:
        return self._not_found(_key(project_id, number))

    def _addition(
        self, project_id: int, name: str, content: str, newest: _StoredVersion | None
    ) -> Step[ProjectVersion]:
        """Stores the content behind the newest version; finds nothing when there is a newer one."""
        return self._add.one(
            project_id=project_id,
            newest=0 if newest is None else newest.version.number,
            name=name,
            checksum=_checksum(content),
            content=content,
            now=self._now(),
        )

    def _checked(
        self, project_id: int, number: int, stored: _StoredVersion | None
    ) -> ProjectSnapshot:
        """The stored snapshot, if there is one and its checksum matches."""
        if stored is None:
            raise self._missing(project_id, number)
        if _checksum(stored.content) != stored.version.checksum:
            raise DatabaseCorruptError(
                f"version {number} of project {project_id} is damaged: its checksum is that of another "
                "snapshot; delete the version, or restore a backup",
                details={"project_id": project_id, "number": number},
            )
        return _decoded(stored.content)

    def _replacement(
        self,
        project_id: int,
        number: int,
        content: str,
        stored: _StoredVersion | None,
        frames: Mapping[int, int],
    ) -> list[Step[Any]]:
        """The steps that make the stored project of the present one. ConstraintError when they cannot.

        content: of the present one.  frames: how many each video of the project has.
        """
        wanted, present = self._checked(project_id, number, stored), _decoded(content)
        old, new = _timelines(present), _timelines(wanted)
        gone = [track_id for track_id, timeline in old.items() if new.get(track_id) != timeline]
        added = [timeline for track_id, timeline in new.items() if old.get(track_id) != timeline]
        tracks = [timeline.track for timeline in added]
        clips = [clip for timeline in added for clip in timeline.clips]
        transitions = [each for timeline in added for each in timeline.transitions]
        old_cuts = {cut.id: cut for cut in present.cuts}
        new_cuts = {cut.id: cut for cut in wanted.cuts}
        gone_cuts = [cut_id for cut_id, cut in old_cuts.items() if new_cuts.get(cut_id) != cut]
        cuts = [cut for cut_id, cut in new_cuts.items() if old_cuts.get(cut_id) != cut]
        _refuse_locked([old[track_id].track for track_id in gone])
        _refuse_unfit(clips, cuts, frames)
        settings = [] if wanted.settings is None else [wanted.settings]
        steps: list[Step[Any]] = []
        if present.settings != wanted.settings:
            steps += [
                self._delete_settings.count(project_id=project_id),
                self._add_settings.many(map(msgspec.structs.asdict, settings)),
            ]
        # Nothing comes onto a locked track: tracks are locked when they have their clips.
        open_tracks = [msgspec.structs.replace(track, is_locked=False) for track in tracks]
        return [
            *steps,
            self._delete_tracks.count(ids=gone),
            self._add_track.many(map(msgspec.structs.asdict, open_tracks)),
            self._add_clip.many(map(msgspec.structs.asdict, clips)),
            self._add_transition.many(map(msgspec.structs.asdict, transitions)),
            self._lock_tracks.count(ids=[track.id for track in tracks if track.is_locked]),
            self._delete_cuts.count(ids=gone_cuts),
            self._add_cut.many(map(msgspec.structs.asdict, cuts)),
        ]


def _key(project_id: int, number: int) -> str:
    """How errors call a version."""
    return f"{number} of project {project_id}"


def _checksum(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _kept(newest: _StoredVersion | None, content: str, name: str) -> ProjectVersion | None:
    """The newest version, if it will do for this content and this name. A damaged one does not."""
    if newest is None or newest.content != content or newest.version.checksum != _checksum(content):
        return None
    return newest.version if name in ("", newest.version.name) else None


def _decoded(content: str) -> ProjectSnapshot:
    """The snapshot, with the names of files as Python has them."""
    snapshot = msgspec.json.decode(content, type=ProjectSnapshot)
    clips = [
        clip
        if clip.image_path is None
        else msgspec.structs.replace(clip, image_path=unescaped(clip.image_path))
        for clip in snapshot.clips
    ]
    return msgspec.structs.replace(snapshot, clips=clips)


def _timelines(snapshot: ProjectSnapshot) -> dict[int, _Timeline]:
    """Each track with all that is on it, by the track's id."""
    clips: dict[int, list[TimelineClip]] = defaultdict(list)
    for clip in snapshot.clips:
        clips[clip.track_id].append(clip)
    transitions: dict[int, list[TimelineTransition]] = defaultdict(list)
    for transition in snapshot.transitions:
        transitions[transition.track_id].append(transition)
    return {
        track.id: _Timeline(track, clips[track.id], transitions[track.id])
        for track in snapshot.tracks
    }


def _refuse_locked(tracks: Iterable[TimelineTrack]) -> None:
    """ConstraintError that names the locked ones."""
    if locked := [track.id for track in tracks if track.is_locked]:
        raise _refusal(
            f"locked tracks would change: {_some(locked)}; unlock them first",
            "check",
            "the track is locked",
            tracks=locked,
        )


def _refuse_unfit(
    clips: Sequence[TimelineClip], cuts: Sequence[ProjectClip], frames: Mapping[int, int]
) -> None:
    """ConstraintError that names the clips and cuts with a video that is gone, or has become too short.

    frames: how many each video of the project has.
    """
    spans = [
        _Span(place, each.id, each.video_id, each.out_point)
        for place, listed in (("clips", clips), ("cuts", cuts))
        for each in listed
        if each.video_id is not None and each.out_point is not None
    ]
    if missing := [span for span in spans if span.video_id not in frames]:
        problem = "the project does not have their videos any more"
        raise _refusal_of(missing, problem, "foreign_key", "")
    if short := [span for span in spans if span.out_point > frames[span.video_id]]:
        problem = "their videos are too short by now"
        raise _refusal_of(short, problem, "check", "a clip ends within its video")


def _refusal_of(
    spans: Sequence[_Span], problem: str, kind: ConstraintKind, constraint: str
) -> ConstraintError:
    ids = {place: [span.id for span in spans if span.place == place] for place in ("clips", "cuts")}
    ids["videos"] = sorted({span.video_id for span in spans})
    named = "; ".join(f"{place} {_some(those)}" for place, those in ids.items() if those)
    return _refusal(f"{problem}: {named}", kind, constraint, **ids)


def _refusal(
    problem: str, kind: ConstraintKind, constraint: str, **ids: list[int]
) -> ConstraintError:
    error = ConstraintError(
        f"the version cannot be restored, and nothing was changed: {problem}",
        kind=kind,
        constraint=constraint,
    )
    error.details |= ids
    return error


def _some(ids: Sequence[int]) -> str:
    """The ids, or the first of many."""
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(map(str, ids[:_NAMED])) + more
