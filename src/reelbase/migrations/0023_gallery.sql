-- 23: pages of a profile's files by name, size and length, and search for a part of a name, read no other files. The
-- upgrade fills the index of names; after one in the sqlite3 program `reelbase rebuild-search` does.

PRAGMA user_version = 23;


ALTER TABLE files ADD COLUMN duration REAL
  CONSTRAINT files_duration CHECK (duration >= 0);

ALTER TABLE files ADD COLUMN name_key TEXT GENERATED ALWAYS AS (lower(name)) VIRTUAL;

ALTER TABLE files
  ADD COLUMN size_key TEXT GENERATED ALWAYS AS (iif(size_bytes IS NULL, '', printf('%019d', size_bytes))) VIRTUAL;

ALTER TABLE files
  ADD COLUMN length_key TEXT GENERATED ALWAYS AS (iif(duration IS NULL, '', printf('%016.3f', duration))) VIRTUAL;

UPDATE files
SET duration = media_info.duration
FROM media_info
WHERE media_info.file_id = files.id
  AND media_info.duration IS NOT NULL;

CREATE INDEX files_by_name ON files (profile_id, name_key, id);
CREATE INDEX files_by_size ON files (profile_id, size_key, id);
CREATE INDEX files_by_length ON files (profile_id, length_key, id);

-- Triggers for the reason of file_processing_place.
CREATE TRIGGER media_info_length_insert AFTER INSERT ON media_info
WHEN NEW.duration IS NOT NULL
BEGIN
  UPDATE files
  SET duration = NEW.duration
  WHERE id = NEW.file_id;
END;

CREATE TRIGGER media_info_length_update AFTER UPDATE OF duration ON media_info
WHEN NEW.duration IS NOT OLD.duration
BEGIN
  UPDATE files
  SET duration = NEW.duration
  WHERE id = NEW.file_id;
END;

CREATE TRIGGER media_info_length_delete AFTER DELETE ON media_info
WHEN OLD.duration IS NOT NULL
BEGIN
  UPDATE files
  SET duration = NULL
  WHERE id = OLD.file_id;
END;


-- The trigrams of names, folded by the library: what a search for a part of a name finds.
CREATE VIRTUAL TABLE file_names_fts USING fts5 (
  name,
  tokenize = "trigram case_sensitive 1",
  detail = none
);

-- Triggers for the reasons of videos_fts.
CREATE TRIGGER file_numbers_names_delete AFTER DELETE ON file_numbers
BEGIN
  DELETE FROM file_names_fts
  WHERE rowid = OLD.id;
END;

-- A new number for a new name: so all files that file_names_fts lacks have greater numbers than those that it has.
CREATE TRIGGER files_number_update AFTER UPDATE OF name ON files
WHEN NEW.name IS NOT OLD.name
BEGIN
  UPDATE file_numbers
  SET id = 1 + (SELECT max(last.id) FROM file_numbers AS last)
  WHERE file_id = NEW.id;
END;

CREATE TRIGGER file_numbers_fts_update AFTER UPDATE OF id ON file_numbers
BEGIN
  DELETE FROM files_fts
  WHERE rowid = OLD.id;
  DELETE FROM file_names_fts
  WHERE rowid = OLD.id;
END;
