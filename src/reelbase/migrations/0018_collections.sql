-- 18: collections of files, comments, markers, and secrets besides those of language models.

PRAGMA user_version = 18;


-- Files that belong together, in an order of their own.
CREATE TABLE file_collections (
  id           INTEGER NOT NULL,
  profile_id   TEXT NOT NULL,
  name         TEXT NOT NULL,
  description  TEXT,
  color        TEXT,     -- as the application writes it
  prompt_id    INTEGER,  -- the summary prompt for its files; NULL: the profile's choice
  created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT file_collections_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT file_collections_name UNIQUE (profile_id, name),
  -- What entries refer to, so that theirs is a collection of the file's profile.
  CONSTRAINT file_collections_of_profile UNIQUE (id, profile_id),
  CONSTRAINT file_collections_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT file_collections_prompt FOREIGN KEY (prompt_id) REFERENCES summary_prompts (id) ON DELETE SET NULL,
  CONSTRAINT file_collections_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT file_collections_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX file_collections_by_prompt ON file_collections (prompt_id) WHERE prompt_id IS NOT NULL;

-- Triggers, because a foreign key cannot say that the prompt is the profile's or the system's.
CREATE TRIGGER file_collections_prompt_insert BEFORE INSERT ON file_collections
BEGIN
  SELECT RAISE(ABORT, 'a collection has a prompt of its profile or of the system')
  FROM summary_prompts
  WHERE id = NEW.prompt_id
    AND profile_id <> NEW.profile_id;
END;

CREATE TRIGGER file_collections_prompt_update BEFORE UPDATE OF prompt_id, profile_id ON file_collections
BEGIN
  SELECT RAISE(ABORT, 'a collection has a prompt of its profile or of the system')
  FROM summary_prompts
  WHERE id = NEW.prompt_id
    AND profile_id <> NEW.profile_id;
END;

-- Which files a collection has, and where.
CREATE TABLE collection_files (
  collection_id  INTEGER NOT NULL,
  file_id        TEXT NOT NULL,
  profile_id     TEXT NOT NULL,  -- of both
  position       INTEGER NOT NULL,  -- with gaps, so that a move changes few rows
  added_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT collection_files_pk PRIMARY KEY (file_id, collection_id),
  CONSTRAINT collection_files_collection
    FOREIGN KEY (collection_id, profile_id) REFERENCES file_collections (id, profile_id) ON DELETE CASCADE,
  CONSTRAINT collection_files_file
    FOREIGN KEY (file_id, profile_id) REFERENCES files (id, profile_id) ON DELETE CASCADE,
  CONSTRAINT collection_files_position CHECK (position > 0),
  CONSTRAINT collection_files_added_at CHECK (added_at IS strftime('%Y-%m-%dT%H:%M:%fZ', added_at, '+0 days'))
) STRICT, WITHOUT ROWID;

CREATE INDEX collection_files_in_order ON collection_files (collection_id, position, file_id);


-- What profiles write about a file, or about a moment of it; and answers to it.
CREATE TABLE file_comments (
  id          INTEGER NOT NULL,
  file_id     TEXT NOT NULL,
  profile_id  TEXT NOT NULL,  -- the author; the file may be another profile's
  parent_id   INTEGER,        -- the comment that this one answers
  at_seconds  REAL,           -- seconds into the file; NULL: about the whole file
  text        TEXT NOT NULL,
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  -- What answers refer to, so that theirs is a comment on the same file. Before the primary key for the reason of
  -- files_of_profile.
  CONSTRAINT file_comments_of_file UNIQUE (id, file_id),
  CONSTRAINT file_comments_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT file_comments_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE,
  CONSTRAINT file_comments_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT file_comments_parent
    FOREIGN KEY (parent_id, file_id) REFERENCES file_comments (id, file_id) ON DELETE CASCADE,
  CONSTRAINT file_comments_not_own_parent CHECK (parent_id <> id),
  CONSTRAINT file_comments_at_seconds CHECK (at_seconds >= 0),
  CONSTRAINT file_comments_reply_has_no_time CHECK (parent_id IS NULL OR at_seconds IS NULL),
  CONSTRAINT file_comments_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT file_comments_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX file_comments_by_file ON file_comments (file_id, parent_id, at_seconds, id);
CREATE INDEX file_comments_replies ON file_comments (parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX file_comments_by_profile ON file_comments (profile_id, id DESC);

-- Triggers, because a foreign key cannot say what the parent must not have.
CREATE TRIGGER file_comments_parent_insert BEFORE INSERT ON file_comments
WHEN NEW.parent_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'an answer is to a comment, not to another answer')
  FROM file_comments
  WHERE id = NEW.parent_id
    AND parent_id IS NOT NULL;
END;

CREATE TRIGGER file_comments_parent_update BEFORE UPDATE OF parent_id ON file_comments
WHEN NEW.parent_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'an answer is to a comment, not to another answer')
  WHERE EXISTS (SELECT 1 FROM file_comments WHERE id = NEW.parent_id AND parent_id IS NOT NULL)
    OR EXISTS (SELECT 1 FROM file_comments WHERE parent_id = NEW.id);
END;


-- A named moment, or a section when it has an end, of a file or of a project.
CREATE TABLE time_markers (
  id          INTEGER NOT NULL,
  file_id     TEXT,
  project_id  INTEGER,
  start_time  REAL NOT NULL,  -- seconds into the file, or on the project's timeline
  end_time    REAL,
  label       TEXT NOT NULL,
  color       TEXT,           -- as the application writes it
  data        TEXT,           -- JSON object, the application's own
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT time_markers_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT time_markers_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE,
  CONSTRAINT time_markers_project FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  CONSTRAINT time_markers_of_one CHECK ((file_id IS NULL) <> (project_id IS NULL)),
  CONSTRAINT time_markers_times CHECK (start_time >= 0 AND (end_time IS NULL OR end_time >= start_time)),
  CONSTRAINT time_markers_data
    CHECK (CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE data IS NULL END),
  CONSTRAINT time_markers_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT time_markers_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX time_markers_of_file ON time_markers (file_id, start_time, id) WHERE file_id IS NOT NULL;
CREATE INDEX time_markers_of_project ON time_markers (project_id, start_time, id) WHERE project_id IS NOT NULL;


-- Keys of services, passwords of shares, tokens: of profiles and of the application.
CREATE TABLE secrets_store (
  id          INTEGER NOT NULL,
  profile_id  TEXT,           -- NULL: the application's
  name        TEXT NOT NULL,
  kind        TEXT,           -- the application's own word
  value       BLOB NOT NULL,  -- encrypted, and bound to owner and name
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT secrets_store_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT secrets_store_name UNIQUE (profile_id, name),
  CONSTRAINT secrets_store_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT secrets_store_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT secrets_store_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

-- To a UNIQUE constraint, NULLs are different.
CREATE UNIQUE INDEX secrets_store_of_application ON secrets_store (name) WHERE profile_id IS NULL;
