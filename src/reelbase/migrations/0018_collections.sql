-- 18: collections of files, comments, markers, and secrets besides those of language models.

PRAGMA user_version = 18;


-- Files that belong together, in an order of their own.
CREATE TABLE collections (
  id           INTEGER NOT NULL,
  profile_id   TEXT NOT NULL,
  name         TEXT NOT NULL,
  description  TEXT,
  color        TEXT,     -- as the application writes it
  prompt_id    INTEGER,  -- the summary prompt for its files; NULL: the profile's choice
  created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT collections_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT collections_name UNIQUE (profile_id, name),
  -- What entries refer to, so that theirs is a collection of the file's profile.
  CONSTRAINT collections_of_profile UNIQUE (id, profile_id),
  CONSTRAINT collections_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT collections_prompt FOREIGN KEY (prompt_id) REFERENCES summary_prompts (id) ON DELETE SET NULL,
  CONSTRAINT collections_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT collections_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX collections_by_prompt ON collections (prompt_id) WHERE prompt_id IS NOT NULL;

-- Triggers, because a foreign key cannot say that the prompt is the profile's or the system's.
CREATE TRIGGER collections_prompt_insert BEFORE INSERT ON collections
BEGIN
  SELECT RAISE(ABORT, 'a collection has a prompt of its profile or of the system')
  FROM summary_prompts
  WHERE id = NEW.prompt_id
    AND profile_id <> NEW.profile_id;
END;

CREATE TRIGGER collections_prompt_update BEFORE UPDATE OF prompt_id, profile_id ON collections
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
    FOREIGN KEY (collection_id, profile_id) REFERENCES collections (id, profile_id) ON DELETE CASCADE,
  CONSTRAINT collection_files_file
    FOREIGN KEY (file_id, profile_id) REFERENCES files (id, profile_id) ON DELETE CASCADE,
  CONSTRAINT collection_files_position CHECK (position > 0),
  CONSTRAINT collection_files_added_at CHECK (added_at IS strftime('%Y-%m-%dT%H:%M:%fZ', added_at, '+0 days'))
) STRICT, WITHOUT ROWID;

CREATE INDEX collection_files_in_order ON collection_files (collection_id, position, file_id);


-- What profiles write about a file, or about a moment of it; and answers to it.
CREATE TABLE comments (
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
  CONSTRAINT comments_of_file UNIQUE (id, file_id),
  CONSTRAINT comments_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT comments_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE,
  CONSTRAINT comments_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT comments_parent FOREIGN KEY (parent_id, file_id) REFERENCES comments (id, file_id) ON DELETE CASCADE,
  CONSTRAINT comments_not_own_parent CHECK (parent_id <> id),
  CONSTRAINT comments_at_seconds CHECK (at_seconds >= 0),
  CONSTRAINT comments_reply_has_no_time CHECK (parent_id IS NULL OR at_seconds IS NULL),
  CONSTRAINT comments_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT comments_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX comments_by_file ON comments (file_id, parent_id, at_seconds, id);
CREATE INDEX comments_replies ON comments (parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX comments_by_profile ON comments (profile_id, id DESC);

-- Triggers, because a foreign key cannot say what the parent must not have.
CREATE TRIGGER comments_parent_insert BEFORE INSERT ON comments
WHEN NEW.parent_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'an answer is to a comment, not to another answer')
  FROM comments
  WHERE id = NEW.parent_id
    AND parent_id IS NOT NULL;
END;

CREATE TRIGGER comments_parent_update BEFORE UPDATE OF parent_id ON comments
WHEN NEW.parent_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'an answer is to a comment, not to another answer')
  WHERE EXISTS (SELECT 1 FROM comments WHERE id = NEW.parent_id AND parent_id IS NOT NULL)
    OR EXISTS (SELECT 1 FROM comments WHERE parent_id = NEW.id);
END;


-- A named moment, or a section when it has an end, of a file or of a project.
CREATE TABLE markers (
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
  CONSTRAINT markers_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT markers_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE,
  CONSTRAINT markers_project FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  CONSTRAINT markers_of_one CHECK ((file_id IS NULL) <> (project_id IS NULL)),
  CONSTRAINT markers_times CHECK (start_time >= 0 AND (end_time IS NULL OR end_time >= start_time)),
  CONSTRAINT markers_data
    CHECK (CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE data IS NULL END),
  CONSTRAINT markers_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT markers_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX markers_of_file ON markers (file_id, start_time, id) WHERE file_id IS NOT NULL;
CREATE INDEX markers_of_project ON markers (project_id, start_time, id) WHERE project_id IS NOT NULL;


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
