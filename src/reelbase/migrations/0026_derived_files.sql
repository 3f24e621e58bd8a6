-- 26: derived files, with a status and a life of their own.

PRAGMA user_version = 26;


-- What is made from files, may be made again, and need not be kept: proxies, strips of thumbnails, waveforms, previews.
CREATE TABLE derived_files (
  id             INTEGER NOT NULL,
  file_id        TEXT,           -- NULL: the file was deleted, and these bytes are to be unlinked
  kind           TEXT NOT NULL,  -- the application's own word
  parameters     TEXT NOT NULL DEFAULT '{}',  -- JSON object, its keys in order
  status         TEXT NOT NULL DEFAULT 'pending',
  path           TEXT,           -- where the bytes are, when it is ready
  size_bytes     INTEGER,
  error_message  TEXT,
  is_pinned      INTEGER NOT NULL DEFAULT 0,  -- not to be evicted
  created_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  last_used_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  expires_at     TEXT,           -- from when it is evicted
  CONSTRAINT derived_files_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT derived_files_once UNIQUE (file_id, kind, parameters),
  -- SET NULL, because bytes whose row is gone would never be unlinked.
  CONSTRAINT derived_files_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE SET NULL,
  CONSTRAINT derived_files_kind CHECK (kind <> ''),
  CONSTRAINT derived_files_parameters
    CHECK (CASE WHEN json_valid(parameters) THEN json_type(parameters) = 'object' ELSE 0 END),
  CONSTRAINT derived_files_status CHECK (status IN ('pending', 'processing', 'ready', 'failed')),
  CONSTRAINT derived_files_bytes
    CHECK ((path IS NOT NULL) = (status = 'ready') AND (size_bytes IS NOT NULL) = (status = 'ready')),
  CONSTRAINT derived_files_size_bytes CHECK (size_bytes >= 0),
  CONSTRAINT derived_files_error CHECK (error_message IS NULL OR status = 'failed'),
  CONSTRAINT derived_files_is_pinned CHECK (is_pinned IN (0, 1)),
  CONSTRAINT derived_files_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT derived_files_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days')),
  CONSTRAINT derived_files_last_used_at CHECK (last_used_at IS strftime('%Y-%m-%dT%H:%M:%fZ', last_used_at, '+0 days')),
  CONSTRAINT derived_files_expires_at CHECK (expires_at IS strftime('%Y-%m-%dT%H:%M:%fZ', expires_at, '+0 days'))
) STRICT;

CREATE INDEX derived_files_unfinished ON derived_files (status, created_at, id)
  WHERE status = 'pending' OR status = 'processing';
-- In the order in which they are evicted, the last one first.
CREATE INDEX derived_files_by_use ON derived_files (is_pinned DESC, last_used_at DESC, id DESC, size_bytes)
  WHERE status = 'ready';
-- Of deleted files.
CREATE INDEX derived_files_without_file ON derived_files (status) WHERE file_id IS NULL;
