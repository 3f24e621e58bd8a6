-- 25: jobs are added at the times of cron expressions.

PRAGMA user_version = 25;


-- Which jobs are added at which times: the slots of a cron expression.
CREATE TABLE job_schedules (
  name          TEXT NOT NULL,
  profile_id    TEXT NOT NULL,  -- that and the next columns down to max_attempts are those of the jobs
  type          TEXT NOT NULL,
  params        TEXT NOT NULL DEFAULT '{}',  -- JSON object
  priority      INTEGER NOT NULL DEFAULT 0,
  max_attempts  INTEGER NOT NULL DEFAULT 1,
  cron          TEXT NOT NULL,
  time_zone     TEXT NOT NULL DEFAULT 'UTC',
  missed        TEXT NOT NULL DEFAULT 'once',  -- what becomes of slots that came while no worker ran
  next_at       TEXT NOT NULL,  -- the next slot; the one that adds its job moves it on, in the same transaction
  last_at       TEXT,           -- the latest slot that a job was added for
  paused_at     TEXT,
  created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT job_schedules_pk PRIMARY KEY (name),
  CONSTRAINT job_schedules_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT job_schedules_params
    CHECK (CASE WHEN json_valid(params) THEN json_type(params) = 'object' ELSE 0 END),
  CONSTRAINT job_schedules_max_attempts CHECK (max_attempts >= 1),
  CONSTRAINT job_schedules_missed CHECK (missed IN ('once', 'skip', 'all')),
  CONSTRAINT job_schedules_next_at CHECK (next_at IS strftime('%Y-%m-%dT%H:%M:%fZ', next_at, '+0 days')),
  CONSTRAINT job_schedules_last_at CHECK (last_at IS strftime('%Y-%m-%dT%H:%M:%fZ', last_at, '+0 days')),
  CONSTRAINT job_schedules_paused_at CHECK (paused_at IS strftime('%Y-%m-%dT%H:%M:%fZ', paused_at, '+0 days')),
  CONSTRAINT job_schedules_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT job_schedules_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX job_schedules_of_profile ON job_schedules (profile_id);
CREATE INDEX job_schedules_due ON job_schedules (next_at, name) WHERE paused_at IS NULL;
