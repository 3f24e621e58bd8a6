-- 10: downloads that workers claim, keep by a lease, give back and try again; playlists and their entries.

PRAGMA user_version = 10;


-- Columns that are added to the table as it is: nothing is copied, whatever its size.
ALTER TABLE downloads ADD COLUMN media_type TEXT;

ALTER TABLE downloads ADD COLUMN output_format TEXT;

ALTER TABLE downloads ADD COLUMN parent_id TEXT
  CONSTRAINT downloads_parent REFERENCES downloads (id) ON DELETE SET NULL
  CONSTRAINT downloads_not_own_parent CHECK (parent_id <> id);

ALTER TABLE downloads ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;

ALTER TABLE downloads ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0
  CONSTRAINT downloads_attempts CHECK (attempts >= 0);

ALTER TABLE downloads ADD COLUMN max_attempts INTEGER NOT NULL DEFAULT 1
  CONSTRAINT downloads_max_attempts CHECK (max_attempts >= 1);

ALTER TABLE downloads ADD COLUMN worker TEXT;

ALTER TABLE downloads ADD COLUMN lease_expires_at TEXT
  CONSTRAINT downloads_lease_expires_at
    CHECK (lease_expires_at IS strftime('%Y-%m-%dT%H:%M:%fZ', lease_expires_at, '+0 days'))
  CONSTRAINT downloads_lease CHECK (
    (worker IS NULL) = (lease_expires_at IS NULL)
    AND (worker IS NULL OR status = 'extracting' OR status = 'downloading')
  );

CREATE INDEX downloads_queue ON downloads (priority DESC, created_at, id) WHERE status = 'queued';
-- Not by the lease: every report of progress renews it, and would have to write the index.
CREATE INDEX downloads_held ON downloads (priority DESC, created_at, id) WHERE worker IS NOT NULL;
CREATE INDEX downloads_children ON downloads (parent_id, created_at, id) WHERE parent_id IS NOT NULL;
