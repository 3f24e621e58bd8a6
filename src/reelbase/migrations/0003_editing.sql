-- 3: the editor: projects, videos, project clips and the audit log.

PRAGMA user_version = 3;


-- A piece of editing work: its videos and the clips cut from them.
CREATE TABLE projects (
  id              INTEGER NOT NULL,
  name            TEXT NOT NULL,
  description     TEXT,
  workspace_path  TEXT NOT NULL,  -- where the project's files are; not unique
  created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT projects_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT projects_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT projects_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX projects_newest ON projects (created_at DESC, id DESC);
CREATE INDEX projects_by_name ON projects (name, created_at DESC, id DESC);
CREATE INDEX projects_by_workspace ON projects (workspace_path, created_at DESC, id DESC);


-- Source material of a project.
CREATE TABLE videos (
  id             INTEGER NOT NULL,
  project_id     INTEGER NOT NULL,
  filename       TEXT NOT NULL,
  path           TEXT NOT NULL,
  duration       REAL NOT NULL,  -- seconds
  framerate_num  INTEGER NOT NULL,  -- frames a second are framerate_num / framerate_den: 30000 / 1001
  framerate_den  INTEGER NOT NULL,
  width          INTEGER NOT NULL,  -- pixels
  height         INTEGER NOT NULL,
  created_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  -- floor(x + 0.5) for x >= 0, without the math functions that some builds of SQLite lack.
  total_frames   INTEGER
    GENERATED ALWAYS AS (CAST(duration * framerate_num / framerate_den + 0.5 AS INTEGER)) VIRTUAL,
  CONSTRAINT videos_pk PRIMARY KEY (id AUTOINCREMENT),
  -- What clips refer to, so that theirs is a video of the same project.
  CONSTRAINT videos_of_project UNIQUE (id, project_id),
  CONSTRAINT videos_project FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  -- A number of frames is exact as a float, so that SQL and Python agree on it.
  CONSTRAINT videos_duration
    CHECK (duration >= 0 AND duration * framerate_num / framerate_den < 9007199254740992),
  CONSTRAINT videos_framerate CHECK (framerate_num > 0 AND framerate_den > 0),
  CONSTRAINT videos_size CHECK (width > 0 AND height > 0),
  CONSTRAINT videos_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

CREATE INDEX videos_newest ON videos (created_at DESC, id DESC);
CREATE INDEX videos_newest_of_project ON videos (project_id, created_at DESC, id DESC);
CREATE INDEX videos_by_path ON videos (path, created_at DESC, id DESC);

-- Words of filename and path, with every Chinese, Japanese and Korean character set apart by spaces, which SQL alone
-- cannot do: the library writes the rows, and `rebuild_search` those of videos that came in by the sqlite3 prompt.
CREATE VIRTUAL TABLE videos_fts USING fts5 (filename, path, tokenize = 'unicode61 remove_diacritics 2');

-- Triggers, because a cascade from the project deletes videos too, and because a row whose text has changed must not
-- be found by its old text, whoever changed it.
CREATE TRIGGER videos_fts_delete AFTER DELETE ON videos
BEGIN
  DELETE FROM videos_fts
  WHERE rowid = OLD.id;
END;

CREATE TRIGGER videos_fts_update AFTER UPDATE OF filename, path ON videos
WHEN NEW.filename IS NOT OLD.filename OR NEW.path IS NOT OLD.path
BEGIN
  DELETE FROM videos_fts
  WHERE rowid = OLD.id;
END;


-- A cut: frames in_point to out_point of a video, the last one not included.
CREATE TABLE project_clips (
  id          INTEGER NOT NULL,
  project_id  INTEGER NOT NULL,
  video_id    INTEGER NOT NULL,
  in_point    INTEGER NOT NULL,
  out_point   INTEGER NOT NULL,
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT project_clips_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT project_clips_project FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  -- NO ACTION, not RESTRICT: deleting the project deletes both, and RESTRICT would depend on which goes first.
  CONSTRAINT project_clips_video
    FOREIGN KEY (video_id, project_id) REFERENCES videos (id, project_id) ON DELETE NO ACTION,
  CONSTRAINT project_clips_points CHECK (in_point >= 0 AND out_point > in_point),
  CONSTRAINT project_clips_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

CREATE INDEX project_clips_newest ON project_clips (created_at DESC, id DESC);
CREATE INDEX project_clips_by_video ON project_clips (video_id, in_point, id);
CREATE INDEX project_clips_by_project ON project_clips (project_id, in_point, id);

-- Triggers, because a CHECK cannot look into another table.
CREATE TRIGGER project_clips_bounds_insert BEFORE INSERT ON project_clips
BEGIN
  SELECT RAISE(ABORT, 'a clip ends within its video')
  FROM videos
  WHERE id = NEW.video_id
    AND NEW.out_point > total_frames;
END;

CREATE TRIGGER project_clips_bounds_update BEFORE UPDATE OF video_id, out_point ON project_clips
BEGIN
  SELECT RAISE(ABORT, 'a clip ends within its video')
  FROM videos
  WHERE id = NEW.video_id
    AND NEW.out_point > total_frames;
END;

CREATE TRIGGER videos_bounds BEFORE UPDATE OF duration, framerate_num, framerate_den ON videos
BEGIN
  SELECT RAISE(ABORT, 'a clip ends within its video')
  FROM project_clips
  WHERE video_id = NEW.id
    AND out_point > CAST(NEW.duration * NEW.framerate_num / NEW.framerate_den + 0.5 AS INTEGER);
END;


-- Who changed what, when. Written by the triggers below, and by the application for entities of its own.
CREATE TABLE audit_log (
  id           INTEGER NOT NULL,
  entity_type  TEXT NOT NULL,
  entity_id    ANY NOT NULL,  -- integer or text, as it was given
  action       TEXT NOT NULL,
  changes      TEXT NOT NULL DEFAULT '{}',  -- JSON object: {"field": {"old": …, "new": …}}
  user_id      TEXT,
  timestamp    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT audit_log_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT audit_log_entity_id CHECK (typeof(entity_id) IN ('integer', 'text')),
  CONSTRAINT audit_log_action CHECK (action IN ('CREATE', 'UPDATE', 'DELETE')),
  CONSTRAINT audit_log_changes
    CHECK (CASE WHEN json_valid(changes) THEN json_type(changes) = 'object' ELSE 0 END),
  CONSTRAINT audit_log_timestamp CHECK (timestamp IS strftime('%Y-%m-%dT%H:%M:%fZ', timestamp, '+0 days'))
) STRICT;

CREATE INDEX audit_log_newest ON audit_log (timestamp DESC, id DESC);
CREATE INDEX audit_log_of_entity ON audit_log (entity_type, entity_id, timestamp DESC, id DESC);

-- A trigger, because nothing else keeps people at the prompt from mending history.
CREATE TRIGGER audit_log_append_only BEFORE UPDATE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'audit entries do not change');
END;

-- Who is changing, and when: at most one row, there only while the library's own write runs. At the sqlite3 prompt it
-- is empty, and the entry then has no user and the time of the day.
CREATE TABLE audit_context (
  id         INTEGER NOT NULL DEFAULT 1,
  user_id    TEXT,
  timestamp  TEXT NOT NULL,
  CONSTRAINT audit_context_pk PRIMARY KEY (id),
  CONSTRAINT audit_context_one_row CHECK (id = 1)
) STRICT;

-- Triggers, because rows that a cascade deletes are to be logged too.
CREATE TRIGGER projects_audit_insert AFTER INSERT ON projects
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, user_id, timestamp)
  VALUES (
    'project',
    NEW.id,
    'CREATE',
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  );
END;

CREATE TRIGGER projects_audit_update AFTER UPDATE ON projects
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, changes, user_id, timestamp)
  SELECT
    'project',
    NEW.id,
    'UPDATE',
    json_group_object(field, json(change)),
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  FROM (
    SELECT 'name' AS field, json_object('old', OLD.name, 'new', NEW.name) AS change
    WHERE OLD.name IS NOT NEW.name
    UNION ALL
    SELECT 'description', json_object('old', OLD.description, 'new', NEW.description)
    WHERE OLD.description IS NOT NEW.description
    UNION ALL
    SELECT 'workspace_path', json_object('old', OLD.workspace_path, 'new', NEW.workspace_path)
    WHERE OLD.workspace_path IS NOT NEW.workspace_path
  )
  HAVING count(*) > 0;
END;

CREATE TRIGGER projects_audit_delete AFTER DELETE ON projects
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, user_id, timestamp)
  VALUES (
    'project',
    OLD.id,
    'DELETE',
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  );
END;

CREATE TRIGGER videos_audit_insert AFTER INSERT ON videos
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, user_id, timestamp)
  VALUES (
    'video',
    NEW.id,
    'CREATE',
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  );
END;

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
  )
  HAVING count(*) > 0;
END;

CREATE TRIGGER videos_audit_delete AFTER DELETE ON videos
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, user_id, timestamp)
  VALUES (
    'video',
    OLD.id,
    'DELETE',
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  );
END;

CREATE TRIGGER project_clips_audit_insert AFTER INSERT ON project_clips
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, user_id, timestamp)
  VALUES (
    'clip',
    NEW.id,
    'CREATE',
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  );
END;

CREATE TRIGGER project_clips_audit_update AFTER UPDATE ON project_clips
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, changes, user_id, timestamp)
  SELECT
    'clip',
    NEW.id,
    'UPDATE',
    json_group_object(field, json(change)),
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  FROM (
    SELECT 'video_id' AS field, json_object('old', OLD.video_id, 'new', NEW.video_id) AS change
    WHERE OLD.video_id IS NOT NEW.video_id
    UNION ALL
    SELECT 'in_point', json_object('old', OLD.in_point, 'new', NEW.in_point)
    WHERE OLD.in_point IS NOT NEW.in_point
    UNION ALL
    SELECT 'out_point', json_object('old', OLD.out_point, 'new', NEW.out_point)
    WHERE OLD.out_point IS NOT NEW.out_point
  )
  HAVING count(*) > 0;
END;

CREATE TRIGGER project_clips_audit_delete AFTER DELETE ON project_clips
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, user_id, timestamp)
  VALUES (
    'clip',
    OLD.id,
    'DELETE',
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  );
END;
