-- 31: the timeline of a project: tracks, clips and transitions.

PRAGMA user_version = 31;


-- A row of the timeline of a project.
CREATE TABLE timeline_tracks (
  id          INTEGER NOT NULL,
  project_id  INTEGER NOT NULL,
  position    INTEGER NOT NULL,  -- only their order counts: what is on a later track covers what is on an earlier one
  kind        TEXT NOT NULL,  -- the application's own word: video, audio, titles …
  name        TEXT NOT NULL DEFAULT '',
  overlap     TEXT NOT NULL DEFAULT 'none',  -- which of its clips may share a frame
  is_muted    INTEGER NOT NULL DEFAULT 0,
  is_locked   INTEGER NOT NULL DEFAULT 0,  -- its clips do not change
  data        TEXT,  -- JSON object, the application's own
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT timeline_tracks_pk PRIMARY KEY (id AUTOINCREMENT),
  -- What clips refer to, so that they are of the same project.
  CONSTRAINT timeline_tracks_of_project UNIQUE (id, project_id),
  CONSTRAINT timeline_tracks_position UNIQUE (project_id, position),
  CONSTRAINT timeline_tracks_project FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  CONSTRAINT timeline_tracks_kind CHECK (kind <> ''),
  CONSTRAINT timeline_tracks_overlap CHECK (overlap IN ('none', 'layers', 'any')),
  CONSTRAINT timeline_tracks_is_muted CHECK (is_muted IN (0, 1)),
  CONSTRAINT timeline_tracks_is_locked CHECK (is_locked IN (0, 1)),
  CONSTRAINT timeline_tracks_data
    CHECK (CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE data IS NULL END),
  CONSTRAINT timeline_tracks_created_at
    CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT timeline_tracks_updated_at
    CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

-- The project is looked for, because it takes its locked tracks along.
CREATE TRIGGER timeline_tracks_locked BEFORE DELETE ON timeline_tracks
WHEN OLD.is_locked
BEGIN
  SELECT RAISE(ABORT, 'the track is locked')
  FROM projects
  WHERE id = OLD.project_id;
END;


-- A clip on the timeline: a cut of a video, an image, or what a generator makes.
CREATE TABLE timeline_clips (
  id          INTEGER NOT NULL,
  project_id  INTEGER NOT NULL,
  track_id    INTEGER NOT NULL,
  position    INTEGER NOT NULL,  -- frames of the project
  duration    INTEGER NOT NULL,  -- frames of the project
  layer       INTEGER NOT NULL DEFAULT 0,  -- a higher one covers a lower one of the track
  video_id    INTEGER,
  in_point    INTEGER,  -- frames of the video
  out_point   INTEGER,  -- the frame after the last one
  image_path  TEXT,
  generator   TEXT,  -- the application's own word: color, title …
  name        TEXT NOT NULL DEFAULT '',
  data        TEXT,  -- JSON object, the application's own: effects, parameters of the generator …
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT timeline_clips_pk PRIMARY KEY (id AUTOINCREMENT),
  -- What transitions refer to, so that they join clips of one track.
  CONSTRAINT timeline_clips_of_track UNIQUE (id, track_id),
  CONSTRAINT timeline_clips_track
    FOREIGN KEY (track_id, project_id) REFERENCES timeline_tracks (id, project_id) ON DELETE CASCADE,
  -- NO ACTION, not RESTRICT: deleting the project deletes both, and RESTRICT would depend on which goes first.
  CONSTRAINT timeline_clips_video
    FOREIGN KEY (video_id, project_id) REFERENCES videos (id, project_id) ON DELETE NO ACTION,
  -- The upper half is free of clips at rest: what a shift moves goes through it.
  CONSTRAINT timeline_clips_place
    CHECK (position >= 0 AND duration > 0 AND position + duration <= 9007199254740992),
  CONSTRAINT timeline_clips_source
    CHECK ((video_id IS NOT NULL) + (image_path IS NOT NULL) + (generator IS NOT NULL) = 1),
  CONSTRAINT timeline_clips_cut
    CHECK ((in_point IS NULL) = (video_id IS NULL) AND (out_point IS NULL) = (video_id IS NULL)),
  CONSTRAINT timeline_clips_points CHECK (in_point >= 0 AND out_point > in_point),
  CONSTRAINT timeline_clips_data
    CHECK (CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE data IS NULL END),
  CONSTRAINT timeline_clips_created_at
    CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT timeline_clips_updated_at
    CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX timeline_clips_in_order ON timeline_clips (track_id, position, id);
CREATE INDEX timeline_clips_of_layer ON timeline_clips (track_id, layer, position);
-- The longest clip says how far before a frame those begin that may reach it.
CREATE INDEX timeline_clips_longest ON timeline_clips (track_id, duration);
CREATE INDEX timeline_clips_by_video ON timeline_clips (video_id, in_point, id) WHERE video_id IS NOT NULL;

-- Triggers, because a constraint cannot compare rows. While no two overlap, only the one before and those that begin
-- meanwhile may.
CREATE TRIGGER timeline_clips_apart_insert AFTER INSERT ON timeline_clips
BEGIN
  SELECT RAISE(ABORT, 'clips of the track do not overlap')
  FROM timeline_tracks
  WHERE timeline_tracks.id = NEW.track_id
    AND overlap = 'none'
    AND (
      EXISTS (
        SELECT 1
        FROM timeline_clips
        WHERE track_id = NEW.track_id
          AND position >= NEW.position
          AND position < NEW.position + NEW.duration
          AND id <> NEW.id
      )
      OR (
        SELECT position + duration
        FROM timeline_clips
        WHERE track_id = NEW.track_id
          AND position < NEW.position
        ORDER BY position DESC
        LIMIT 1
      ) > NEW.position
    );
  SELECT RAISE(ABORT, 'clips of a layer of the track do not overlap')
  FROM timeline_tracks
  WHERE timeline_tracks.id = NEW.track_id
    AND overlap = 'layers'
    AND (
      EXISTS (
        SELECT 1
        FROM timeline_clips
        WHERE track_id = NEW.track_id
          AND layer = NEW.layer
          AND position >= NEW.position
          AND position < NEW.position + NEW.duration
          AND id <> NEW.id
      )
      OR (
        SELECT position + duration
        FROM timeline_clips
        WHERE track_id = NEW.track_id
          AND layer = NEW.layer
          AND position < NEW.position
        ORDER BY position DESC
        LIMIT 1
      ) > NEW.position
    );
END;

CREATE TRIGGER timeline_clips_apart_update AFTER UPDATE OF track_id, position, duration, layer ON timeline_clips
BEGIN
  SELECT RAISE(ABORT, 'clips of the track do not overlap')
  FROM timeline_tracks
  WHERE timeline_tracks.id = NEW.track_id
    AND overlap = 'none'
    AND (
      EXISTS (
        SELECT 1
        FROM timeline_clips
        WHERE track_id = NEW.track_id
          AND position >= NEW.position
          AND position < NEW.position + NEW.duration
          AND id <> NEW.id
      )
      OR (
        SELECT position + duration
        FROM timeline_clips
        WHERE track_id = NEW.track_id
          AND position < NEW.position
        ORDER BY position DESC
        LIMIT 1
      ) > NEW.position
    );
  SELECT RAISE(ABORT, 'clips of a layer of the track do not overlap')
  FROM timeline_tracks
  WHERE timeline_tracks.id = NEW.track_id
    AND overlap = 'layers'
    AND (
      EXISTS (
        SELECT 1
        FROM timeline_clips
        WHERE track_id = NEW.track_id
          AND layer = NEW.layer
          AND position >= NEW.position
          AND position < NEW.position + NEW.duration
          AND id <> NEW.id
      )
      OR (
        SELECT position + duration
        FROM timeline_clips
        WHERE track_id = NEW.track_id
          AND layer = NEW.layer
          AND position < NEW.position
        ORDER BY position DESC
        LIMIT 1
      ) > NEW.position
    );
END;

CREATE TRIGGER timeline_tracks_apart BEFORE UPDATE OF overlap ON timeline_tracks
WHEN NEW.overlap IS NOT OLD.overlap AND NEW.overlap <> 'any'
BEGIN
  SELECT RAISE(ABORT, 'clips of the track overlap')
  FROM (
    SELECT
      position,
      max(position + duration) OVER (
        PARTITION BY CASE NEW.overlap WHEN 'layers' THEN layer END
        ORDER BY position, id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
      ) AS reached
    FROM timeline_clips
    WHERE track_id = NEW.id
  )
  WHERE position < reached;
END;

-- Triggers, because a CHECK cannot look into another table.
CREATE TRIGGER timeline_clips_locked_insert BEFORE INSERT ON timeline_clips
BEGIN
  SELECT RAISE(ABORT, 'the track is locked')
  FROM timeline_tracks
  WHERE id IN (NEW.track_id)
    AND is_locked;
END;

CREATE TRIGGER timeline_clips_locked_update BEFORE UPDATE ON timeline_clips
BEGIN
  SELECT RAISE(ABORT, 'the track is locked')
  FROM timeline_tracks
  WHERE id IN (OLD.track_id, NEW.track_id)
    AND is_locked;
END;

-- A track that is deleted is gone when its clips go.
CREATE TRIGGER timeline_clips_locked_delete BEFORE DELETE ON timeline_clips
BEGIN
  SELECT RAISE(ABORT, 'the track is locked')
  FROM timeline_tracks
  WHERE id IN (OLD.track_id)
    AND is_locked;
END;

CREATE TRIGGER timeline_clips_bounds_insert BEFORE INSERT ON timeline_clips
BEGIN
  SELECT RAISE(ABORT, 'a clip ends within its video')
  FROM videos
  WHERE id = NEW.video_id
    AND NEW.out_point > total_frames;
END;

CREATE TRIGGER timeline_clips_bounds_update BEFORE UPDATE OF video_id, out_point ON timeline_clips
BEGIN
  SELECT RAISE(ABORT, 'a clip ends within its video')
  FROM videos
  WHERE id = NEW.video_id
    AND NEW.out_point > total_frames;
END;

CREATE TRIGGER videos_bounds_on_timeline BEFORE UPDATE OF duration, framerate_num, framerate_den ON videos
BEGIN
  SELECT RAISE(ABORT, 'a clip ends within its video')
  FROM timeline_clips
  WHERE video_id = NEW.id
    AND out_point > CAST(NEW.duration * NEW.framerate_num / NEW.framerate_den + 0.5 AS INTEGER);
END;


-- How a clip becomes the next one of its track.
CREATE TABLE timeline_transitions (
  id            INTEGER NOT NULL,
  track_id      INTEGER NOT NULL,  -- of both
  from_clip_id  INTEGER NOT NULL,
  to_clip_id    INTEGER NOT NULL,
  kind          TEXT NOT NULL,  -- the application's own word: dissolve, wipe …
  duration      INTEGER NOT NULL,  -- frames of the project
  data          TEXT,  -- JSON object, the application's own
  created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT timeline_transitions_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT timeline_transitions_from UNIQUE (from_clip_id),
  CONSTRAINT timeline_transitions_to UNIQUE (to_clip_id),
  CONSTRAINT timeline_transitions_from_clip
    FOREIGN KEY (from_clip_id, track_id) REFERENCES timeline_clips (id, track_id) ON DELETE CASCADE,
  CONSTRAINT timeline_transitions_to_clip
    FOREIGN KEY (to_clip_id, track_id) REFERENCES timeline_clips (id, track_id) ON DELETE CASCADE,
  CONSTRAINT timeline_transitions_two_clips CHECK (from_clip_id <> to_clip_id),
  CONSTRAINT timeline_transitions_kind CHECK (kind <> ''),
  CONSTRAINT timeline_transitions_duration CHECK (duration > 0),
  CONSTRAINT timeline_transitions_data
    CHECK (CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE data IS NULL END),
  CONSTRAINT timeline_transitions_created_at
    CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT timeline_transitions_updated_at
    CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX timeline_transitions_of_track ON timeline_transitions (track_id, id);

-- Triggers, because a CHECK cannot look into another table.
CREATE TRIGGER timeline_transitions_neighbours_insert BEFORE INSERT ON timeline_transitions
BEGIN
  SELECT RAISE(ABORT, 'a transition joins neighbours')
  FROM timeline_clips AS earlier
  CROSS JOIN timeline_clips AS later
  WHERE earlier.id = NEW.from_clip_id
    AND later.id = NEW.to_clip_id
    AND NOT later.position BETWEEN earlier.position AND earlier.position + earlier.duration;
END;

CREATE TRIGGER timeline_transitions_neighbours_update BEFORE UPDATE OF from_clip_id, to_clip_id ON timeline_transitions
BEGIN
  SELECT RAISE(ABORT, 'a transition joins neighbours')
  FROM timeline_clips AS earlier
  CROSS JOIN timeline_clips AS later
  WHERE earlier.id = NEW.from_clip_id
    AND later.id = NEW.to_clip_id
    AND NOT later.position BETWEEN earlier.position AND earlier.position + earlier.duration;
END;

-- A trigger, because the foreign keys would refuse the move.
CREATE TRIGGER timeline_clips_leave_track BEFORE UPDATE OF track_id ON timeline_clips
WHEN NEW.track_id <> OLD.track_id
BEGIN
  DELETE FROM timeline_transitions
  WHERE from_clip_id = OLD.id
    OR to_clip_id = OLD.id;
END;
