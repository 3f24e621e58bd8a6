-- 12: files are searched by the words of their names, folders, paths and titles. The upgrade fills the index; after one in
-- the sqlite3 program `reelbase rebuild-search` does.

PRAGMA user_version = 12;


-- The numbers under which files_fts has the files: their keys are texts, and the rowids of such a table change when it
-- is vacuumed.
CREATE TABLE file_numbers (
  id       INTEGER NOT NULL,
  file_id  TEXT NOT NULL,
  CONSTRAINT file_numbers_pk PRIMARY KEY (id),
  CONSTRAINT file_numbers_one_per_file UNIQUE (file_id),
  CONSTRAINT file_numbers_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE
) STRICT;

INSERT INTO file_numbers (file_id)
SELECT id
FROM files
ORDER BY created_at, id;

-- The words of a file's name, folder and path and of its title in media_info, folded and set apart like those of
-- videos_fts.
CREATE VIRTUAL TABLE files_fts USING fts5 (
  name, folder, path, title,
  tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co'"
);

-- A trigger, so that files have a number whoever adds them.
CREATE TRIGGER files_number AFTER INSERT ON files
BEGIN
  INSERT INTO file_numbers (file_id)
  VALUES
    (NEW.id);
END;

-- Triggers for the reasons of videos_fts.
CREATE TRIGGER file_numbers_fts_delete AFTER DELETE ON file_numbers
BEGIN
  DELETE FROM files_fts
  WHERE rowid = OLD.id;
END;

CREATE TRIGGER files_fts_update AFTER UPDATE OF name, folder, path ON files
WHEN NEW.name IS NOT OLD.name OR NEW.folder IS NOT OLD.folder OR NEW.path IS NOT OLD.path
BEGIN
  DELETE FROM files_fts
  WHERE rowid = (SELECT id FROM file_numbers WHERE file_id = OLD.id);
END;

CREATE TRIGGER media_info_fts_insert AFTER INSERT ON media_info
WHEN NEW.title IS NOT NULL
BEGIN
  DELETE FROM files_fts
  WHERE rowid = (SELECT id FROM file_numbers WHERE file_id = NEW.file_id);
END;

CREATE TRIGGER media_info_fts_update AFTER UPDATE OF title ON media_info
WHEN NEW.title IS NOT OLD.title
BEGIN
  DELETE FROM files_fts
  WHERE rowid = (SELECT id FROM file_numbers WHERE file_id = NEW.file_id);
END;

CREATE TRIGGER media_info_fts_delete AFTER DELETE ON media_info
WHEN OLD.title IS NOT NULL
BEGIN
  DELETE FROM files_fts
  WHERE rowid = (SELECT id FROM file_numbers WHERE file_id = OLD.file_id);
END;
