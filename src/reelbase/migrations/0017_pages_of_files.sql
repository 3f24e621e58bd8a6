-- 17: a page of a profile's files by type, folder, status or tag reads no other files.

PRAGMA user_version = 17;


CREATE INDEX files_by_type ON files (profile_id, type, created_at DESC, id DESC) WHERE type IS NOT NULL;
CREATE INDEX files_by_folder ON files (profile_id, folder, created_at DESC, id DESC);


ALTER TABLE file_processing ADD COLUMN profile_id TEXT;

ALTER TABLE file_processing ADD COLUMN file_created_at TEXT
  CONSTRAINT file_processing_file_created_at
    CHECK (file_created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', file_created_at, '+0 days'));

UPDATE file_processing
SET (profile_id, file_created_at) = (SELECT profile_id, created_at FROM files WHERE id = file_processing.file_id);

CREATE INDEX file_processing_newest ON file_processing (profile_id, status, file_created_at DESC, file_id DESC);

-- Triggers, so that the place among the newest files is right whoever writes.
CREATE TRIGGER file_processing_place AFTER INSERT ON file_processing
BEGIN
  UPDATE file_processing
  SET (profile_id, file_created_at) = (SELECT profile_id, created_at FROM files WHERE id = NEW.file_id)
  WHERE file_id = NEW.file_id;
END;

CREATE TRIGGER files_processing_place AFTER UPDATE OF profile_id, created_at ON files
WHEN NEW.profile_id IS NOT OLD.profile_id OR NEW.created_at IS NOT OLD.created_at
BEGIN
  UPDATE file_processing
  SET profile_id = NEW.profile_id,
      file_created_at = NEW.created_at
  WHERE file_id = NEW.id;
END;


ALTER TABLE file_tags ADD COLUMN file_created_at TEXT
  CONSTRAINT file_tags_file_created_at
    CHECK (file_created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', file_created_at, '+0 days'));

DROP INDEX file_tags_by_tag;

UPDATE file_tags
SET file_created_at = (SELECT created_at FROM files WHERE id = file_tags.file_id);

CREATE INDEX file_tags_newest ON file_tags (tag_id, file_created_at DESC, file_id DESC);

-- Triggers for the reason of file_processing_place.
CREATE TRIGGER file_tags_place AFTER INSERT ON file_tags
BEGIN
  UPDATE file_tags
  SET file_created_at = (SELECT created_at FROM files WHERE id = NEW.file_id)
  WHERE file_id = NEW.file_id
    AND tag_id = NEW.tag_id;
END;

CREATE TRIGGER files_tags_place AFTER UPDATE OF created_at ON files
WHEN NEW.created_at IS NOT OLD.created_at
BEGIN
  UPDATE file_tags
  SET file_created_at = NEW.created_at
  WHERE file_id = NEW.id;
END;
