-- 33: versions of projects.

PRAGMA user_version = 33;


-- What a project was made of at a moment: settings, timeline and cuts.
CREATE TABLE project_versions (
  project_id  INTEGER NOT NULL,
  number      INTEGER NOT NULL,  -- from 1, by project
  name        TEXT NOT NULL DEFAULT '',
  checksum    TEXT NOT NULL,  -- SHA-256 of content
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  content     TEXT NOT NULL,  -- JSON object; the last column, so that a list of versions does not read it
  CONSTRAINT project_versions_pk PRIMARY KEY (project_id, number),
  CONSTRAINT project_versions_project FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  CONSTRAINT project_versions_number CHECK (number > 0),
  CONSTRAINT project_versions_checksum CHECK (length(checksum) = 64 AND checksum NOT GLOB '*[^0-9a-f]*'),
  CONSTRAINT project_versions_created_at
    CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT project_versions_content
    CHECK (CASE WHEN json_valid(content) THEN json_type(content) = 'object' ELSE 0 END)
) STRICT;
