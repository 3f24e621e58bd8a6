-- 30: settings of projects, and a library of videos that any number of projects may use.

PRAGMA user_version = 30;


-- What a project is made for; NULL: not decided.
CREATE TABLE project_settings (
  project_id      INTEGER NOT NULL,
  output_width    INTEGER,  -- pixels
  output_height   INTEGER,
  frame_rate_num  INTEGER,  -- frames a second are frame_rate_num / frame_rate_den; places on the timeline are frames
  frame_rate_den  INTEGER,
  sample_rate     INTEGER,  -- samples a second
  audio_channels  INTEGER,
  bit_depth       INTEGER,
  data            TEXT,     -- JSON object, the application's own
  updated_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT project_settings_pk PRIMARY KEY (project_id),
  CONSTRAINT project_settings_project FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  CONSTRAINT project_settings_output CHECK (output_width > 0 AND output_height > 0),
  CONSTRAINT project_settings_frame_rate CHECK (frame_rate_num > 0 AND frame_rate_den > 0),
  CONSTRAINT project_settings_audio CHECK (sample_rate > 0 AND audio_channels > 0 AND bit_depth > 0),
  CONSTRAINT project_settings_data
    CHECK (CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE data IS NULL END),
  CONSTRAINT project_settings_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT, WITHOUT ROWID;


-- Videos that any number of projects may use, or none: each once.
CREATE TABLE library_videos (
  id              INTEGER NOT NULL,
  filename        TEXT NOT NULL,
  path            TEXT NOT NULL,
  duration        REAL NOT NULL,  -- seconds
  framerate_num   INTEGER NOT NULL,  -- frames a second are framerate_num / framerate_den
  framerate_den   INTEGER NOT NULL,
  width           INTEGER NOT NULL,  -- pixels
  height          INTEGER NOT NULL,
  video_codec     TEXT,
  audio_codec     TEXT,
  size_bytes      INTEGER,
  thumbnail_path  TEXT,
  data            TEXT,  -- JSON object, the application's own
  created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT library_videos_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT library_videos_path UNIQUE (path),
  -- A number of frames is exact as a float, so that SQL and Python agree on it.
  CONSTRAINT library_videos_duration
    CHECK (duration >= 0 AND duration * framerate_num / framerate_den < 9007199254740992),
  CONSTRAINT library_videos_framerate CHECK (framerate_num > 0 AND framerate_den > 0),
  CONSTRAINT library_videos_size CHECK (width > 0 AND height > 0),
  CONSTRAINT library_videos_size_bytes CHECK (size_bytes >= 0),
  CONSTRAINT library_videos_data
    CHECK (CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE data IS NULL END),
  CONSTRAINT library_videos_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT library_videos_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX library_videos_newest ON library_videos (created_at DESC, id DESC);


ALTER TABLE videos ADD COLUMN library_video_id INTEGER  -- what the project uses of the library; NULL: the project's only
  CONSTRAINT videos_library_video REFERENCES library_videos (id) ON DELETE NO ACTION;

-- A project uses a video of the library once.
CREATE UNIQUE INDEX videos_once_of_library ON videos (library_video_id, project_id)
  WHERE library_video_id IS NOT NULL;

-- Triggers, because a foreign key over all these columns would need an index over them.
CREATE TRIGGER videos_as_in_library_insert BEFORE INSERT ON videos
WHEN NEW.library_video_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'a video of the library is in a project as it is in the library')
  FROM library_videos
  WHERE id = NEW.library_video_id
    AND (filename, path, duration, framerate_num, framerate_den, width, height)
      IS NOT (
        NEW.filename, NEW.path, NEW.duration, NEW.framerate_num, NEW.framerate_den, NEW.width, NEW.height
      );
END;

CREATE TRIGGER videos_as_in_library_update BEFORE UPDATE ON videos
WHEN NEW.library_video_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'a video of the library is in a project as it is in the library')
  FROM library_videos
  WHERE id = NEW.library_video_id
    AND (filename, path, duration, framerate_num, framerate_den, width, height)
      IS NOT (
        NEW.filename, NEW.path, NEW.duration, NEW.framerate_num, NEW.framerate_den, NEW.width, NEW.height
      );
END;

CREATE TRIGGER library_videos_in_projects
AFTER UPDATE OF filename, path, duration, framerate_num, framerate_den, width, height ON library_videos
BEGIN
  UPDATE videos
  SET filename = NEW.filename,
      path = NEW.path,
      duration = NEW.duration,
      framerate_num = NEW.framerate_num,
      framerate_den = NEW.framerate_den,
      width = NEW.width,
      height = NEW.height
  WHERE library_video_id = NEW.id;
END;

DROP TRIGGER videos_audit_update;
CREATE TRIGGER videos_audit_update AFTER UPDATE ON videos
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, changes, user_id, timestamp)
  SELECT
    'video',
    NEW.id,
    'UPDATE',
    json_group_object(field, json(change)),
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  FROM (
    SELECT 'filename' AS field, json_object('old', OLD.filename, 'new', NEW.filename) AS change
    WHERE OLD.filename IS NOT NEW.filename
    UNION ALL
    SELECT 'path', json_object('old', OLD.path, 'new', NEW.path)
    WHERE OLD.path IS NOT NEW.path
    UNION ALL
    -- 18 digits: json_object() would round a REAL to 15.
    SELECT
      'duration',
      json_object(
        'old', json(printf('%!.18g', OLD.duration)), 'new', json(printf('%!.18g', NEW.duration))
      )
    WHERE OLD.duration IS NOT NEW.duration
    UNION ALL
    SELECT 'framerate_num', json_object('old', OLD.framerate_num, 'new', NEW.framerate_num)
    WHERE OLD.framerate_num IS NOT NEW.framerate_num
    UNION ALL
    SELECT 'framerate_den', json_object('old', OLD.framerate_den, 'new', NEW.framerate_den)
    WHERE OLD.framerate_den IS NOT NEW.framerate_den
    UNION ALL
    SELECT 'width', json_object('old', OLD.width, 'new', NEW.width)
    WHERE OLD.width IS NOT NEW.width
    UNION ALL
    SELECT 'height', json_object('old', OLD.height, 'new', NEW.height)
    WHERE OLD.height IS NOT NEW.height
    UNION ALL
    SELECT 'library_video_id', json_object('old', OLD.library_video_id, 'new', NEW.library_video_id)
    WHERE OLD.library_video_id IS NOT NEW.library_video_id
  )
  HAVING count(*) > 0;
END;
