-- 21: a type of jobs can be paused, and its running jobs be limited.

PRAGMA user_version = 21;


-- What holds for all jobs of a type. A type without a row, and an empty column, has no such rule.
CREATE TABLE job_types (
  type           TEXT NOT NULL,
  paused_at      TEXT,     -- since when no job of the type is claimed
  running_limit  INTEGER,  -- how many of them may run at once, in all processes
  CONSTRAINT job_types_pk PRIMARY KEY (type),
  CONSTRAINT job_types_paused_at CHECK (paused_at IS strftime('%Y-%m-%dT%H:%M:%fZ', paused_at, '+0 days')),
  CONSTRAINT job_types_running_limit CHECK (running_limit >= 1)
) STRICT, WITHOUT ROWID;


-- A claim looks at the first job of each type, so that it need not read all jobs of a paused one.
DROP INDEX jobs_queue;

-- Leases that have expired; and, read as a whole, what runs of a type.
DROP INDEX jobs_leases;
CREATE INDEX jobs_leases ON jobs (lease_expires_at, type, is_batch) WHERE status = 'running';
