-- 5: the transcription service: tags, settings, notifications, file status and technical facts, segments and speakers,
-- language models, prompts for summaries, summaries.

PRAGMA user_version = 5;


-- How far a file's processing is: what waits, what runs, what failed and how often. At most one per file; a file that
-- was never queued has none.
CREATE TABLE file_processing (
  file_id            TEXT NOT NULL,
  status             TEXT NOT NULL DEFAULT 'pending',
  stage              TEXT,  -- the application's own word: extracting audio, diarizing …
  progress           REAL NOT NULL DEFAULT 0,  -- 0 to 1
  error_message      TEXT,
  error_category     TEXT,  -- the application's own word: network, format …
  retry_count        INTEGER NOT NULL DEFAULT 0,
  max_retries        INTEGER NOT NULL DEFAULT 3,  -- 0: no limit
  recovery_attempts  INTEGER NOT NULL DEFAULT 0,  -- how often its worker was found to be gone
  next_retry_at      TEXT,
  started_at         TEXT,
  heartbeat_at       TEXT,  -- the worker's last sign of life
  completed_at       TEXT,
  updated_at         TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT file_processing_pk PRIMARY KEY (file_id),
  CONSTRAINT file_processing_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE,
  CONSTRAINT file_processing_status
    CHECK (
      status IN (
        'pending', 'queued', 'downloading', 'processing', 'completed', 'error', 'cancelling', 'cancelled', 'orphaned'
      )
    ),
  CONSTRAINT file_processing_progress CHECK (progress BETWEEN 0 AND 1),
  CONSTRAINT file_processing_counts CHECK (retry_count >= 0 AND max_retries >= 0 AND recovery_attempts >= 0),
  CONSTRAINT file_processing_completed CHECK ((completed_at IS NOT NULL) = (status = 'completed')),
  CONSTRAINT file_processing_retry CHECK (next_retry_at IS NULL OR status = 'error'),
  CONSTRAINT file_processing_next_retry_at
    CHECK (next_retry_at IS strftime('%Y-%m-%dT%H:%M:%fZ', next_retry_at, '+0 days')),
  CONSTRAINT file_processing_started_at CHECK (started_at IS strftime('%Y-%m-%dT%H:%M:%fZ', started_at, '+0 days')),
  CONSTRAINT file_processing_heartbeat_at
    CHECK (heartbeat_at IS strftime('%Y-%m-%dT%H:%M:%fZ', heartbeat_at, '+0 days')),
  CONSTRAINT file_processing_completed_at
    CHECK (completed_at IS strftime('%Y-%m-%dT%H:%M:%fZ', completed_at, '+0 days')),
  CONSTRAINT file_processing_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX file_processing_by_status ON file_processing (status);
-- What may be stuck: a handful among everything that was ever processed.
CREATE INDEX file_processing_unfinished ON file_processing (updated_at, file_id)
  WHERE status IN ('pending', 'queued', 'downloading', 'processing', 'cancelling');
CREATE INDEX file_processing_retries ON file_processing (next_retry_at) WHERE next_retry_at IS NOT NULL;


-- What a file is technically, kept out of files because it is wide and seldom read.
CREATE TABLE media_info (
  file_id            TEXT NOT NULL,
  title              TEXT,
  author             TEXT,
  description        TEXT,
  container          TEXT,
  video_codec        TEXT,
  audio_codec        TEXT,
  duration           REAL,  -- seconds
  frame_rate_num     INTEGER,  -- frames a second are frame_rate_num / frame_rate_den
  frame_rate_den     INTEGER,
  width              INTEGER,  -- pixels
  height             INTEGER,
  audio_channels     INTEGER,
  audio_sample_rate  INTEGER,  -- samples a second
  audio_bit_depth    INTEGER,
  recorded_at        TEXT,
  device_make        TEXT,
  device_model       TEXT,
  metadata           TEXT,  -- JSON object: whatever a downloader knows
  waveform           TEXT,  -- JSON array
  CONSTRAINT media_info_pk PRIMARY KEY (file_id),
  CONSTRAINT media_info_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE,
  CONSTRAINT media_info_duration CHECK (duration >= 0),
  CONSTRAINT media_info_frame_rate CHECK (frame_rate_num > 0 AND frame_rate_den > 0),
  CONSTRAINT media_info_size CHECK (width > 0 AND height > 0),
  CONSTRAINT media_info_audio CHECK (audio_channels > 0 AND audio_sample_rate > 0 AND audio_bit_depth > 0),
  CONSTRAINT media_info_metadata
    CHECK (CASE WHEN json_valid(metadata) THEN json_type(metadata) = 'object' ELSE metadata IS NULL END),
  CONSTRAINT media_info_waveform
    CHECK (CASE WHEN json_valid(waveform) THEN json_type(waveform) = 'array' ELSE waveform IS NULL END),
  CONSTRAINT media_info_recorded_at CHECK (recorded_at IS strftime('%Y-%m-%dT%H:%M:%fZ', recorded_at, '+0 days'))
) STRICT;


-- A word that a profile puts on files.
CREATE TABLE tags (
  id               INTEGER NOT NULL,
  profile_id       TEXT NOT NULL,
  name             TEXT NOT NULL,  -- as it was first written
  normalized_name  TEXT NOT NULL,  -- trimmed and case-folded, by the library: SQLite folds ASCII only
  created_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT tags_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT tags_name UNIQUE (profile_id, normalized_name),
  -- What links refer to, so that theirs is a tag of the file's profile.
  CONSTRAINT tags_of_profile UNIQUE (id, profile_id),
  CONSTRAINT tags_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT tags_not_blank CHECK (normalized_name <> ''),
  CONSTRAINT tags_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

-- Which files have which tags.
CREATE TABLE file_tags (
  file_id     TEXT NOT NULL,
  tag_id      INTEGER NOT NULL,
  profile_id  TEXT NOT NULL,  -- of both
  CONSTRAINT file_tags_pk PRIMARY KEY (file_id, tag_id),
  CONSTRAINT file_tags_file FOREIGN KEY (file_id, profile_id) REFERENCES files (id, profile_id) ON DELETE CASCADE,
  CONSTRAINT file_tags_tag FOREIGN KEY (tag_id, profile_id) REFERENCES tags (id, profile_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX file_tags_by_tag ON file_tags (tag_id);


-- A profile's preferences. Never secrets.
CREATE TABLE profile_settings (
  profile_id  TEXT NOT NULL,
  key         TEXT NOT NULL,
  value       TEXT NOT NULL,  -- any JSON
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT profile_settings_pk PRIMARY KEY (profile_id, key),
  CONSTRAINT profile_settings_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT profile_settings_value CHECK (json_valid(value)),
  CONSTRAINT profile_settings_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT, WITHOUT ROWID;


-- What a profile is to be told. One that has a progress_key is a stream: its row is written again and again.
CREATE TABLE notifications (
  id            INTEGER NOT NULL,
  profile_id    TEXT NOT NULL,
  type          TEXT NOT NULL,
  title         TEXT NOT NULL,
  message       TEXT NOT NULL DEFAULT '',
  progress_key  TEXT,
  progress      REAL,  -- in the application's own measure
  status        TEXT NOT NULL DEFAULT 'info',
  data          TEXT NOT NULL DEFAULT '{}',  -- JSON object
  is_read       INTEGER NOT NULL DEFAULT 0,
  created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT notifications_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT notifications_stream UNIQUE (profile_id, progress_key),
  CONSTRAINT notifications_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT notifications_data CHECK (CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE 0 END),
  CONSTRAINT notifications_is_read CHECK (is_read IN (0, 1)),
  CONSTRAINT notifications_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT notifications_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX notifications_newest ON notifications (profile_id, updated_at DESC, id DESC);
CREATE INDEX notifications_unread ON notifications (profile_id, updated_at DESC, id DESC) WHERE NOT is_read;

-- A trigger, so that no way of writing lets them grow without end.
CREATE TRIGGER notifications_bounded AFTER INSERT ON notifications
BEGIN
  DELETE FROM notifications
  WHERE id IN (
    SELECT id
    FROM notifications
    WHERE profile_id = NEW.profile_id
    ORDER BY updated_at DESC, id DESC
    LIMIT -1 OFFSET 1000
  );
END;


-- Who speaks in a file: first a label that a machine gave, then a name.
CREATE TABLE speakers (
  id              INTEGER NOT NULL,
  profile_id      TEXT NOT NULL,
  file_id         TEXT NOT NULL,
  label           TEXT NOT NULL,  -- SPEAKER_00 …
  display_name    TEXT,
  suggested_name  TEXT,
  confidence      REAL,  -- in the suggestion, 0 to 1
  is_verified     INTEGER NOT NULL DEFAULT 0,  -- somebody gave the display_name
  created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT speakers_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT speakers_label UNIQUE (file_id, label),
  CONSTRAINT speakers_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT speakers_file FOREIGN KEY (file_id, profile_id) REFERENCES files (id, profile_id) ON DELETE CASCADE,
  CONSTRAINT speakers_confidence CHECK (confidence BETWEEN 0 AND 1),
  CONSTRAINT speakers_is_verified CHECK (is_verified IN (0, 1)),
  CONSTRAINT speakers_verified CHECK (NOT is_verified OR display_name IS NOT NULL),
  CONSTRAINT speakers_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

CREATE INDEX speakers_by_name ON speakers (profile_id, display_name, file_id);


-- What was said when, and by whom: thousands per file.
CREATE TABLE transcript_segments (
  id             INTEGER NOT NULL,
  transcript_id  TEXT NOT NULL,
  speaker_id     INTEGER,
  start_time     REAL NOT NULL,  -- seconds into the file
  end_time       REAL NOT NULL,
  text           TEXT NOT NULL,
  confidence     REAL,
  words          TEXT,  -- JSON array, as the recognizer gave it
  CONSTRAINT transcript_segments_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT transcript_segments_transcript
    FOREIGN KEY (transcript_id) REFERENCES transcripts (id) ON DELETE CASCADE,
  CONSTRAINT transcript_segments_speaker FOREIGN KEY (speaker_id) REFERENCES speakers (id) ON DELETE SET NULL,
  CONSTRAINT transcript_segments_times CHECK (start_time >= 0 AND end_time >= start_time),
  CONSTRAINT transcript_segments_words
    CHECK (CASE WHEN json_valid(words) THEN json_type(words) = 'array' ELSE words IS NULL END)
) STRICT;

-- end_time, so that looking for what is spoken at a moment reads no rows in vain.
CREATE INDEX transcript_segments_in_order ON transcript_segments (transcript_id, start_time, id, end_time);
CREATE INDEX transcript_segments_by_speaker ON transcript_segments (speaker_id) WHERE speaker_id IS NOT NULL;

-- Triggers, because a foreign key cannot look through the transcript to its file.
CREATE TRIGGER transcript_segments_speaker_insert BEFORE INSERT ON transcript_segments
WHEN NEW.speaker_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'a segment and its speaker are of the same file')
  FROM speakers
  JOIN transcripts ON transcripts.id = NEW.transcript_id
  WHERE speakers.id = NEW.speaker_id
    AND speakers.file_id <> transcripts.file_id;
END;

CREATE TRIGGER transcript_segments_speaker_update BEFORE UPDATE OF speaker_id, transcript_id ON transcript_segments
WHEN NEW.speaker_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'a segment and its speaker are of the same file')
  FROM speakers
  JOIN transcripts ON transcripts.id = NEW.transcript_id
  WHERE speakers.id = NEW.speaker_id
    AND speakers.file_id <> transcripts.file_id;
END;

-- The words of text, set apart like those of videos_fts.
CREATE VIRTUAL TABLE transcript_segments_fts USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2');

-- Triggers for the reasons of videos_fts.
CREATE TRIGGER transcript_segments_fts_delete AFTER DELETE ON transcript_segments
BEGIN
  DELETE FROM transcript_segments_fts
  WHERE rowid = OLD.id;
END;

CREATE TRIGGER transcript_segments_fts_update AFTER UPDATE OF text ON transcript_segments
WHEN NEW.text IS NOT OLD.text
BEGIN
  DELETE FROM transcript_segments_fts
  WHERE rowid = OLD.id;
END;


-- A language model that a profile may use.
CREATE TABLE llm_configs (
  id              INTEGER NOT NULL,
  profile_id      TEXT NOT NULL,
  name            TEXT NOT NULL,
  provider        TEXT NOT NULL,
  model_name      TEXT NOT NULL,
  base_url        TEXT,
  max_tokens      INTEGER NOT NULL DEFAULT 8192,
  temperature     REAL NOT NULL DEFAULT 0.3,
  api_key         BLOB,  -- encrypted, and bound to this row
  test_status     TEXT NOT NULL DEFAULT 'untested',
  test_message    TEXT,
  last_tested_at  TEXT,
  created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT llm_configs_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT llm_configs_name UNIQUE (profile_id, name),
  CONSTRAINT llm_configs_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT llm_configs_max_tokens CHECK (max_tokens > 0),
  CONSTRAINT llm_configs_temperature CHECK (temperature >= 0),
  CONSTRAINT llm_configs_test_status CHECK (test_status IN ('untested', 'success', 'failed')),
  CONSTRAINT llm_configs_tested CHECK ((last_tested_at IS NULL) = (test_status = 'untested')),
  CONSTRAINT llm_configs_last_tested_at
    CHECK (last_tested_at IS strftime('%Y-%m-%dT%H:%M:%fZ', last_tested_at, '+0 days')),
  CONSTRAINT llm_configs_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT llm_configs_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX llm_configs_newest ON llm_configs (profile_id, created_at DESC, id DESC);

-- Every try of a configuration against its provider.
CREATE TABLE llm_config_checks (
  id         INTEGER NOT NULL,
  config_id  INTEGER NOT NULL,
  status     TEXT NOT NULL,
  message    TEXT,
  tested_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT llm_config_checks_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT llm_config_checks_config FOREIGN KEY (config_id) REFERENCES llm_configs (id) ON DELETE CASCADE,
  CONSTRAINT llm_config_checks_status CHECK (status IN ('success', 'failed')),
  CONSTRAINT llm_config_checks_tested_at CHECK (tested_at IS strftime('%Y-%m-%dT%H:%M:%fZ', tested_at, '+0 days'))
) STRICT;

CREATE INDEX llm_config_checks_newest ON llm_config_checks (config_id, tested_at DESC, id DESC);


-- How a language model is asked for a summary.
CREATE TABLE summary_prompts (
  id            INTEGER NOT NULL,
  profile_id    TEXT,  -- NULL: the system's, for everybody
  name          TEXT NOT NULL,
  description   TEXT,
  content_type  TEXT NOT NULL DEFAULT 'general',
  prompt_text   TEXT NOT NULL,
  version       INTEGER NOT NULL DEFAULT 1,  -- one more with every change of prompt_text
  created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT summary_prompts_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT summary_prompts_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT summary_prompts_content_type
    CHECK (content_type IN ('meeting', 'interview', 'podcast', 'documentary', 'general')),
  CONSTRAINT summary_prompts_version CHECK (version >= 1),
  CONSTRAINT summary_prompts_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT summary_prompts_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX summary_prompts_by_type ON summary_prompts (profile_id, content_type, id);

-- Every text that a prompt has had, the current one included.
CREATE TABLE summary_prompt_versions (
  prompt_id    INTEGER NOT NULL,
  version      INTEGER NOT NULL,
  prompt_text  TEXT NOT NULL,
  created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT summary_prompt_versions_pk PRIMARY KEY (prompt_id, version),
  CONSTRAINT summary_prompt_versions_prompt
    FOREIGN KEY (prompt_id) REFERENCES summary_prompts (id) ON DELETE CASCADE,
  CONSTRAINT summary_prompt_versions_created_at
    CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT, WITHOUT ROWID;

-- Triggers, so that no way of changing a prompt loses a text. A change that forgets the version is refused: the key
-- of the version is taken.
CREATE TRIGGER summary_prompts_first_version AFTER INSERT ON summary_prompts
BEGIN
  INSERT INTO summary_prompt_versions (prompt_id, version, prompt_text, created_at)
  VALUES (NEW.id, NEW.version, NEW.prompt_text, NEW.created_at);
END;

CREATE TRIGGER summary_prompts_next_version AFTER UPDATE OF prompt_text ON summary_prompts
WHEN NEW.prompt_text IS NOT OLD.prompt_text
BEGIN
  INSERT INTO summary_prompt_versions (prompt_id, version, prompt_text, created_at)
  VALUES (NEW.id, NEW.version, NEW.prompt_text, NEW.updated_at);
END;


-- What a language model made of a file; each try is a version.
CREATE TABLE summaries (
  id             INTEGER NOT NULL,
  file_id        TEXT NOT NULL,
  profile_id     TEXT NOT NULL,
  version        INTEGER NOT NULL,
  prompt_id      INTEGER,
  provider       TEXT,
  model          TEXT,
  status         TEXT NOT NULL DEFAULT 'pending',
  content        TEXT,  -- JSON object
  error_message  TEXT,
  metadata       TEXT,  -- JSON object
  created_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  completed_at   TEXT,  -- the end, whichever it was
  CONSTRAINT summaries_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT summaries_version UNIQUE (file_id, version),
  CONSTRAINT summaries_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT summaries_file FOREIGN KEY (file_id, profile_id) REFERENCES files (id, profile_id) ON DELETE CASCADE,
  CONSTRAINT summaries_prompt FOREIGN KEY (prompt_id) REFERENCES summary_prompts (id) ON DELETE SET NULL,
  CONSTRAINT summaries_number CHECK (version >= 1),
  CONSTRAINT summaries_status CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
  CONSTRAINT summaries_completed CHECK ((completed_at IS NOT NULL) = (status IN ('completed', 'failed'))),
  CONSTRAINT summaries_has_content CHECK (status <> 'completed' OR content IS NOT NULL),
  CONSTRAINT summaries_content
    CHECK (CASE WHEN json_valid(content) THEN json_type(content) = 'object' ELSE content IS NULL END),
  CONSTRAINT summaries_metadata
    CHECK (CASE WHEN json_valid(metadata) THEN json_type(metadata) = 'object' ELSE metadata IS NULL END),
  CONSTRAINT summaries_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT summaries_completed_at CHECK (completed_at IS strftime('%Y-%m-%dT%H:%M:%fZ', completed_at, '+0 days'))
) STRICT;

CREATE INDEX summaries_by_profile ON summaries (profile_id);
CREATE INDEX summaries_by_prompt ON summaries (prompt_id) WHERE prompt_id IS NOT NULL;

-- The texts in content, set apart like those of videos_fts.
CREATE VIRTUAL TABLE summaries_fts USING fts5 (content, tokenize = 'unicode61 remove_diacritics 2');

-- Triggers for the reasons of videos_fts.
CREATE TRIGGER summaries_fts_delete AFTER DELETE ON summaries
BEGIN
  DELETE FROM summaries_fts
  WHERE rowid = OLD.id;
END;

CREATE TRIGGER summaries_fts_update AFTER UPDATE OF content ON summaries
WHEN NEW.content IS NOT OLD.content
BEGIN
  DELETE FROM summaries_fts
  WHERE rowid = OLD.id;
END;


-- A profile's choices, until now without anything to point at.
CREATE TEMPORARY TABLE kept_profiles AS
SELECT id, created_at
FROM profiles;

DROP TABLE profiles;

CREATE TABLE profiles (
  id                        TEXT NOT NULL,
  created_at                TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  active_llm_config_id      INTEGER,  -- the profile's choice of a language model
  active_summary_prompt_id  INTEGER,  -- the profile's choice of a prompt for summaries
  CONSTRAINT profiles_pk PRIMARY KEY (id),
  CONSTRAINT profiles_active_llm_config
    FOREIGN KEY (active_llm_config_id) REFERENCES llm_configs (id) ON DELETE SET NULL,
  CONSTRAINT profiles_active_summary_prompt
    FOREIGN KEY (active_summary_prompt_id) REFERENCES summary_prompts (id) ON DELETE SET NULL,
  CONSTRAINT profiles_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

INSERT INTO profiles (id, created_at)
SELECT id, created_at
FROM kept_profiles;

DROP TABLE kept_profiles;

CREATE INDEX profiles_newest ON profiles (created_at DESC, id DESC);
CREATE INDEX profiles_by_active_llm_config ON profiles (active_llm_config_id) WHERE active_llm_config_id IS NOT NULL;
CREATE INDEX profiles_by_active_summary_prompt ON profiles (active_summary_prompt_id)
  WHERE active_summary_prompt_id IS NOT NULL;

-- Triggers, because a foreign key cannot say whose the row must be.
CREATE TRIGGER profiles_own_choices_insert BEFORE INSERT ON profiles
BEGIN
  SELECT RAISE(ABORT, 'a profile chooses among its own language models')
  FROM llm_configs
  WHERE id = NEW.active_llm_config_id
    AND profile_id <> NEW.id;
  SELECT RAISE(ABORT, 'a profile chooses among its own prompts and the system''s')
  FROM summary_prompts
  WHERE id = NEW.active_summary_prompt_id
    AND profile_id <> NEW.id;
END;

CREATE TRIGGER profiles_own_choices_update BEFORE UPDATE OF active_llm_config_id, active_summary_prompt_id ON profiles
BEGIN
  SELECT RAISE(ABORT, 'a profile chooses among its own language models')
  FROM llm_configs
  WHERE id = NEW.active_llm_config_id
    AND profile_id <> NEW.id;
  SELECT RAISE(ABORT, 'a profile chooses among its own prompts and the system''s')
  FROM summary_prompts
  WHERE id = NEW.active_summary_prompt_id
    AND profile_id <> NEW.id;
END;

-- Triggers, so that of a profile's language models there is always one that is active: the first to come, and after
-- the active one is deleted (the foreign key has then cleared the choice) the newest that is left.
CREATE TRIGGER llm_configs_first_is_active AFTER INSERT ON llm_configs
BEGIN
  UPDATE profiles
  SET active_llm_config_id = NEW.id
  WHERE id = NEW.profile_id
    AND active_llm_config_id IS NULL;
END;

CREATE TRIGGER llm_configs_next_is_active AFTER DELETE ON llm_configs
BEGIN
  UPDATE profiles
  SET active_llm_config_id = (
    SELECT id
    FROM llm_configs
    WHERE profile_id = OLD.profile_id
    ORDER BY created_at DESC, id DESC
    LIMIT 1
  )
  WHERE id = OLD.profile_id
    AND active_llm_config_id IS NULL;
END;
