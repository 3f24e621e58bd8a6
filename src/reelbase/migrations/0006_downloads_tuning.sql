-- 6: downloads whose writes cost SQLite a third to two thirds less.

PRAGMA user_version = 6;


CREATE TEMPORARY TABLE kept_downloads AS
SELECT
  id, session_id, url, status, format_id, quality, output_template, filename, filesize,
  progress_percent, speed, eta, error_message, created_at, started_at, completed_at
FROM downloads
ORDER BY rowid;

DROP TABLE downloads;

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
  -- OR, not IN: of more than two values SQLite makes a table, for every row anew, which is a fifth of an insert.
  CONSTRAINT downloads_status CHECK (
    status = 'queued' OR status = 'extracting' OR status = 'downloading'
    OR status = 'completed' OR status = 'failed' OR status = 'cancelled'
  ),
  CONSTRAINT downloads_filesize CHECK (filesize >= 0),
  CONSTRAINT downloads_progress_percent CHECK (progress_percent BETWEEN 0 AND 100),
  CONSTRAINT downloads_completed
    CHECK ((completed_at IS NOT NULL) = (status = 'completed' OR status = 'failed' OR status = 'cancelled')),
  CONSTRAINT downloads_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT downloads_started_at CHECK (started_at IS strftime('%Y-%m-%dT%H:%M:%fZ', started_at, '+0 days')),
  CONSTRAINT downloads_completed_at CHECK (completed_at IS strftime('%Y-%m-%dT%H:%M:%fZ', completed_at, '+0 days'))
) STRICT;

INSERT INTO downloads (
  id, session_id, url, status, format_id, quality, output_template, filename, filesize,
  progress_percent, speed, eta, error_message, created_at, started_at, completed_at
)
SELECT
  id, session_id, url, status, format_id, quality, output_template, filename, filesize,
  progress_percent, speed, eta, error_message, created_at, started_at, completed_at
FROM kept_downloads
ORDER BY rowid;

DROP TABLE kept_downloads;

CREATE INDEX idx_downloads_session_status ON downloads (session_id, status);
CREATE INDEX idx_downloads_completed ON downloads (completed_at);
CREATE INDEX downloads_of_session ON downloads (session_id, created_at, id);
CREATE INDEX downloads_newest ON downloads (created_at DESC, id DESC);
CREATE INDEX downloads_newest_active ON downloads (created_at DESC, id DESC, status)
  WHERE status = 'queued' OR status = 'extracting' OR status = 'downloading';

-- Who reports progress is downloading. A trigger, because an UPDATE that names status writes two indexes anew, changed
-- or not: twice the time, and three times the pages, of what is called for every chunk that arrives.
CREATE TRIGGER downloads_progress AFTER UPDATE OF progress_percent ON downloads
WHEN NEW.status IN ('queued', 'extracting') AND NEW.status = OLD.status
BEGIN
  UPDATE downloads
  SET status = 'downloading'
  WHERE id = NEW.id;
END;
