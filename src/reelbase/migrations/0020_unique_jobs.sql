-- 20: of the jobs with the same key of their own only one is queued or running.

PRAGMA user_version = 20;


ALTER TABLE jobs ADD COLUMN unique_key TEXT;

-- Unfinished jobs with a key of their own, and all jobs that had one; jobs without a key cost these nothing.
CREATE UNIQUE INDEX jobs_unique_key ON jobs (profile_id, type, unique_key)
  WHERE unique_key IS NOT NULL AND status IN ('queued', 'running');
CREATE INDEX jobs_by_key ON jobs (profile_id, type, unique_key, created_at, id) WHERE unique_key IS NOT NULL;
