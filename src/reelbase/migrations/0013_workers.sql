-- 13: generations that workers claim, keep by a lease, give back and try again; who works on a file.

PRAGMA user_version = 13;


-- Columns that are added to the tables as they are: nothing is copied, whatever their size.
ALTER TABLE generations ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;

ALTER TABLE generations ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0
  CONSTRAINT generations_attempts CHECK (attempts >= 0);

ALTER TABLE generations ADD COLUMN max_attempts INTEGER NOT NULL DEFAULT 1
  CONSTRAINT generations_max_attempts CHECK (max_attempts >= 1);

ALTER TABLE generations ADD COLUMN worker TEXT;

ALTER TABLE generations ADD COLUMN lease_expires_at TEXT
  CONSTRAINT generations_lease_expires_at
    CHECK (lease_expires_at IS strftime('%Y-%m-%dT%H:%M:%fZ', lease_expires_at, '+0 days'))
  CONSTRAINT generations_lease CHECK (
    (worker IS NULL) = (lease_expires_at IS NULL)
    AND (worker IS NULL OR status = 'processing')
  );

CREATE INDEX generations_queue ON generations (priority DESC, created_at, id) WHERE status = 'pending';
CREATE INDEX generations_held ON generations (priority DESC, created_at, id) WHERE worker IS NOT NULL;

-- In the order of the lists of a model's and of a prompt's generations.
DROP INDEX generations_by_model;
CREATE INDEX generations_by_model ON generations (model_name, created_at DESC, id DESC);
CREATE INDEX generations_by_prompt ON generations (prompt, created_at DESC, id DESC);


ALTER TABLE file_processing ADD COLUMN worker TEXT
  CONSTRAINT file_processing_worker CHECK (
    worker IS NULL OR status = 'downloading' OR status = 'processing' OR status = 'cancelling'
  );
