-- 16: what a run of a job leaves behind: its finished steps, and the lines of its log.

PRAGMA user_version = 16;


CREATE TABLE job_steps (
  job_id       TEXT NOT NULL,
  name         TEXT NOT NULL,
  attempt      INTEGER NOT NULL,  -- in which it was finished
  result       TEXT NOT NULL,     -- any JSON value
  finished_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT job_steps_pk PRIMARY KEY (job_id, name),
  CONSTRAINT job_steps_job FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE,
  CONSTRAINT job_steps_attempt CHECK (attempt >= 0),
  CONSTRAINT job_steps_result CHECK (json_valid(result)),
  CONSTRAINT job_steps_finished_at CHECK (finished_at IS strftime('%Y-%m-%dT%H:%M:%fZ', finished_at, '+0 days'))
) STRICT, WITHOUT ROWID;

-- Who retries a job that has succeeded wants all of it done once more. A failed one goes on where it was.
CREATE TRIGGER jobs_steps_done_again AFTER UPDATE OF status ON jobs
WHEN OLD.status = 'succeeded' AND NEW.status = 'queued'
BEGIN
  DELETE FROM job_steps
  WHERE job_id = NEW.id;
END;


CREATE TABLE job_logs (
  job_id      TEXT NOT NULL,
  number      INTEGER NOT NULL,  -- counts the lines of a job from 1
  attempt     INTEGER NOT NULL,
  text        TEXT NOT NULL,
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT job_logs_pk PRIMARY KEY (job_id, number),
  CONSTRAINT job_logs_job FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE,
  CONSTRAINT job_logs_number CHECK (number >= 1),
  CONSTRAINT job_logs_attempt CHECK (attempt >= 0),
  CONSTRAINT job_logs_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT, WITHOUT ROWID;
