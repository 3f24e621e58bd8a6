-- 4: the music generator: generations and prompts.

PRAGMA user_version = 4;


-- A piece of music to be made, being made, or made.
CREATE TABLE generations (
  id                       TEXT NOT NULL,
  prompt                   TEXT NOT NULL,
  model_name               TEXT NOT NULL,
  model_version            TEXT,
  duration_seconds         REAL NOT NULL,
  sample_rate              INTEGER NOT NULL,  -- samples a second
  channels                 INTEGER NOT NULL,
  file_path                TEXT NOT NULL,  -- where the audio is, or will be
  file_size_bytes          INTEGER,
  status                   TEXT NOT NULL DEFAULT 'pending',
  created_at               TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  completed_at             TEXT,  -- the end, whichever it was
  generation_time_seconds  REAL,
  error_message            TEXT,
  metadata                 TEXT NOT NULL DEFAULT '{}',  -- JSON object: bpm, key, genre …
  CONSTRAINT generations_pk PRIMARY KEY (id),
  CONSTRAINT generations_id CHECK (id GLOB '????????-????-????-????-????????????' AND id NOT GLOB '*[^0-9a-f-]*'),
  CONSTRAINT generations_duration_seconds CHECK (duration_seconds > 0),
  CONSTRAINT generations_sample_rate CHECK (sample_rate > 0),
  CONSTRAINT generations_channels CHECK (channels IN (1, 2)),
  CONSTRAINT generations_file_size_bytes CHECK (file_size_bytes >= 0),
  CONSTRAINT generations_status CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'cancelled')),
  CONSTRAINT generations_completed
    CHECK ((completed_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))),
  CONSTRAINT generations_generation_time_seconds CHECK (generation_time_seconds >= 0),
  CONSTRAINT generations_metadata
    CHECK (CASE WHEN json_valid(metadata) THEN json_type(metadata) = 'object' ELSE 0 END),
  CONSTRAINT generations_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT generations_completed_at CHECK (completed_at IS strftime('%Y-%m-%dT%H:%M:%fZ', completed_at, '+0 days'))
) STRICT;

CREATE INDEX generations_by_status ON generations (status, created_at, id);
CREATE INDEX generations_newest ON generations (created_at DESC, id DESC);
CREATE INDEX generations_by_model ON generations (model_name);
CREATE INDEX generations_by_completion ON generations (completed_at);


-- Every prompt that was ever used, and how often. Outlives generations: it is analytics.
CREATE TABLE prompts (
  id             INTEGER NOT NULL,
  text           TEXT NOT NULL,  -- compared exactly
  used_count     INTEGER NOT NULL DEFAULT 1,
  first_used_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  last_used_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT prompts_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT prompts_text UNIQUE (text),
  CONSTRAINT prompts_used_count CHECK (used_count >= 1),
  CONSTRAINT prompts_first_used_at CHECK (first_used_at IS strftime('%Y-%m-%dT%H:%M:%fZ', first_used_at, '+0 days')),
  CONSTRAINT prompts_last_used_at CHECK (last_used_at IS strftime('%Y-%m-%dT%H:%M:%fZ', last_used_at, '+0 days'))
) STRICT;

CREATE INDEX prompts_most_used ON prompts (used_count DESC, last_used_at DESC, id);

-- The words of text, set apart like those of videos_fts.
CREATE VIRTUAL TABLE prompts_fts USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2');

-- Triggers for the reasons of videos_fts.
CREATE TRIGGER prompts_fts_delete AFTER DELETE ON prompts
BEGIN
  DELETE FROM prompts_fts
  WHERE rowid = OLD.id;
END;

CREATE TRIGGER prompts_fts_update AFTER UPDATE OF text ON prompts
WHEN NEW.text IS NOT OLD.text
BEGIN
  DELETE FROM prompts_fts
  WHERE rowid = OLD.id;
END;
