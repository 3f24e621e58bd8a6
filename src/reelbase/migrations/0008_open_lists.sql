-- 8: a prompt's content type is a word of the application's; an administrator lists what all profiles have.

PRAGMA user_version = 8;


CREATE INDEX files_newest_of_all ON files (created_at DESC, id DESC);
CREATE INDEX jobs_newest_of_all ON jobs (created_at DESC, id DESC) WHERE parent_id IS NULL;


CREATE TEMPORARY TABLE kept_summary_prompts AS
SELECT
  id, profile_id, name, description, content_type, prompt_text, version, created_at, updated_at
FROM summary_prompts
ORDER BY id;

-- Ids are never used twice: the last one that was given out outlives the table.
CREATE TEMPORARY TABLE kept_sequence AS
SELECT seq
FROM sqlite_sequence
WHERE name = 'summary_prompts';

DROP TABLE summary_prompts;

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
  CONSTRAINT summary_prompts_content_type CHECK (content_type <> ''),
  CONSTRAINT summary_prompts_version CHECK (version >= 1),
  CONSTRAINT summary_prompts_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT summary_prompts_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

INSERT INTO summary_prompts (
  id, profile_id, name, description, content_type, prompt_text, version, created_at, updated_at
)
SELECT
  id, profile_id, name, description, content_type, prompt_text, version, created_at, updated_at
FROM kept_summary_prompts
ORDER BY id;

DELETE FROM sqlite_sequence
WHERE name = 'summary_prompts';

INSERT INTO sqlite_sequence (name, seq)
SELECT 'summary_prompts', seq
FROM kept_sequence;

DROP TABLE kept_summary_prompts;
DROP TABLE kept_sequence;

CREATE INDEX summary_prompts_by_type ON summary_prompts (profile_id, content_type, id);

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
