-- 2: the downloader: sessions, downloads, config, unsupported URLs and the error log.

PRAGMA user_version = 2;


-- A browser that uses the downloader, known by a cookie.
CREATE TABLE sessions (
  id          TEXT NOT NULL,
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  last_seen   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT sessions_pk PRIMARY KEY (id),
  CONSTRAINT sessions_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT sessions_last_seen CHECK (last_seen IS strftime('%Y-%m-%dT%H:%M:%fZ', last_seen, '+0 days'))
) STRICT;

CREATE INDEX idx_sessions_last_seen ON sessions (last_seen);


-- A URL to be fetched, being fetched, or fetched.
CREATE TABLE downloads (
  id                TEXT NOT NULL,
  session_id        TEXT NOT NULL,
  url               TEXT NOT NULL,
  status            TEXT NOT NULL DEFAULT 'queued',
  format_id         TEXT,
  quality           TEXT,
  output_template   TEXT,
  filename          TEXT,  -- where the bytes are, once known
  filesize          INTEGER,  -- bytes
  progress_percent  REAL NOT NULL DEFAULT 0,  -- 0 to 100
  speed             TEXT,  -- as the downloader words it
  eta               TEXT,  -- as the downloader words it
  error_message     TEXT,
  created_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  started_at        TEXT,
  completed_at      TEXT,  -- the end, whichever it was
  CONSTRAINT downloads_pk PRIMARY KEY (id),
  CONSTRAINT downloads_session FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE,
  CONSTRAINT downloads_id CHECK (id GLOB '????????-????-????-????-????????????' AND id NOT GLOB '*[^0-9a-f-]*'),
  CONSTRAINT downloads_status
    CHECK (status IN ('queued', 'extracting', 'downloading', 'completed', 'failed', 'cancelled')),
  CONSTRAINT downloads_filesize CHECK (filesize >= 0),
  CONSTRAINT downloads_progress_percent CHECK (progress_percent BETWEEN 0 AND 100),
  CONSTRAINT downloads_completed CHECK ((completed_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))),
  CONSTRAINT downloads_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT downloads_started_at CHECK (started_at IS strftime('%Y-%m-%dT%H:%M:%fZ', started_at, '+0 days')),
  CONSTRAINT downloads_completed_at CHECK (completed_at IS strftime('%Y-%m-%dT%H:%M:%fZ', completed_at, '+0 days'))
) STRICT;

CREATE INDEX idx_downloads_session_status ON downloads (session_id, status);
CREATE INDEX idx_downloads_completed ON downloads (completed_at);
CREATE INDEX downloads_of_session ON downloads (session_id, created_at, id);
CREATE INDEX downloads_newest ON downloads (created_at DESC, id DESC);
CREATE INDEX downloads_newest_active ON downloads (created_at DESC, id DESC, status)
  WHERE status IN ('queued', 'extracting', 'downloading');


-- Settings that an administrator may change while the application runs.
CREATE TABLE config (
  key         TEXT NOT NULL,
  value       TEXT NOT NULL,  -- any JSON
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT config_pk PRIMARY KEY (key),
  CONSTRAINT config_value CHECK (json_valid(value)),
  CONSTRAINT config_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;


-- URLs that no extractor knew, so that somebody can see what is missing. Outlives sessions.
CREATE TABLE unsupported_urls (
  id          INTEGER NOT NULL,
  url         TEXT NOT NULL,
  session_id  TEXT,  -- no foreign key: the row stays when the session goes
  error       TEXT,
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT unsupported_urls_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT unsupported_urls_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

CREATE INDEX unsupported_urls_newest ON unsupported_urls (created_at DESC, id DESC);


-- What failed, without anybody's credentials. Outlives sessions and downloads.
CREATE TABLE error_log (
  id          INTEGER NOT NULL,
  url         TEXT NOT NULL,
  domain      TEXT,  -- the host of url; NULL where it has none
  error       TEXT NOT NULL,
  format_id   TEXT,
  media_type  TEXT,
  session_id  TEXT,  -- no foreign key: the row stays when the session goes
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT error_log_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT error_log_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

CREATE INDEX error_log_newest ON error_log (created_at DESC, id DESC);
CREATE INDEX error_log_of_domain ON error_log (domain, created_at DESC, id DESC);
