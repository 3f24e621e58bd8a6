-- 19: one person behind the speakers of many files.

PRAGMA user_version = 19;


-- One person behind the speakers of many files.
CREATE TABLE known_people (
  id           INTEGER NOT NULL,
  profile_id   TEXT NOT NULL,
  name         TEXT NOT NULL,
  description  TEXT,
  created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT known_people_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT known_people_name UNIQUE (profile_id, name),
  -- What files refer to, so that theirs is a person of the same profile.
  CONSTRAINT known_people_of_profile UNIQUE (id, profile_id),
  CONSTRAINT known_people_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT known_people_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT known_people_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

-- A trigger, so that no way of renaming a person leaves speakers and suggestions with the old name.
CREATE TRIGGER known_people_rename AFTER UPDATE OF name ON known_people
WHEN NEW.name IS NOT OLD.name
BEGIN
  UPDATE speakers
  SET display_name = NEW.name
  WHERE person_id = NEW.id;
  UPDATE speakers
  SET suggested_name = NEW.name
  WHERE profile_id = NEW.profile_id
    AND suggested_name = OLD.name;
END;

-- Pictures and voices of people.
CREATE TABLE person_files (
  person_id   INTEGER NOT NULL,
  file_id     TEXT NOT NULL,
  profile_id  TEXT NOT NULL,  -- of both
  kind        TEXT NOT NULL,  -- the application's own word: picture, voice …
  CONSTRAINT person_files_pk PRIMARY KEY (person_id, file_id),
  CONSTRAINT person_files_person
    FOREIGN KEY (person_id, profile_id) REFERENCES known_people (id, profile_id) ON DELETE CASCADE,
  CONSTRAINT person_files_file FOREIGN KEY (file_id, profile_id) REFERENCES files (id, profile_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX person_files_by_file ON person_files (file_id);


ALTER TABLE speakers ADD COLUMN person_id INTEGER
  CONSTRAINT speakers_person REFERENCES known_people (id) ON DELETE SET NULL;

CREATE INDEX speakers_by_person ON speakers (person_id, id DESC) WHERE person_id IS NOT NULL;
CREATE INDEX speakers_by_person_and_file ON speakers (person_id, file_id) WHERE person_id IS NOT NULL;
CREATE INDEX speakers_by_suggestion ON speakers (profile_id, suggested_name, confidence DESC, id)
  WHERE suggested_name IS NOT NULL;

-- Triggers, because a foreign key that is cleared with its person cannot have the profile in it.
CREATE TRIGGER speakers_person_insert BEFORE INSERT ON speakers
WHEN NEW.person_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'a speaker and its person are of the same profile')
  FROM known_people
  WHERE id = NEW.person_id
    AND profile_id <> NEW.profile_id;
END;

CREATE TRIGGER speakers_person_update BEFORE UPDATE OF person_id, profile_id ON speakers
WHEN NEW.person_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'a speaker and its person are of the same profile')
  FROM known_people
  WHERE id = NEW.person_id
    AND profile_id <> NEW.profile_id;
END;


DROP INDEX transcript_segments_by_speaker;

CREATE INDEX transcript_segments_by_speaker ON transcript_segments (speaker_id, start_time, id)
  WHERE speaker_id IS NOT NULL;
