-- 22: a job waits for other jobs.

PRAGMA user_version = 22;


ALTER TABLE jobs ADD COLUMN waiting_for INTEGER NOT NULL DEFAULT 0
  CONSTRAINT jobs_waiting_for CHECK (waiting_for >= 0);

DROP INDEX jobs_queue_by_type;
CREATE INDEX jobs_queue_by_type ON jobs (type, priority DESC, created_at, id)
  WHERE status = 'queued' AND (run_after IS NULL OR is_due) AND NOT is_batch AND waiting_for = 0;


-- Which jobs a job waits for.
CREATE TABLE job_dependencies (
  job_id    TEXT NOT NULL,
  needs_id  TEXT NOT NULL,  -- has to succeed first
  CONSTRAINT job_dependencies_pk PRIMARY KEY (job_id, needs_id),
  CONSTRAINT job_dependencies_job FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE,
  CONSTRAINT job_dependencies_needs FOREIGN KEY (needs_id) REFERENCES jobs (id) ON DELETE CASCADE,
  CONSTRAINT job_dependencies_not_itself CHECK (job_id <> needs_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_dependencies_by_need ON job_dependencies (needs_id);

-- Triggers, because many statements end a job, and so does a cascade. jobs.waiting_for is counted up and down, not
-- recounted: a job may wait for 20,000 others.
CREATE TRIGGER job_dependencies_insert AFTER INSERT ON job_dependencies
BEGIN
  UPDATE jobs
  SET waiting_for = waiting_for + 1
  WHERE id = NEW.job_id
    AND EXISTS (SELECT 1 FROM jobs AS needed WHERE needed.id = NEW.needs_id AND needed.status <> 'succeeded');
END;

CREATE TRIGGER job_dependencies_delete AFTER DELETE ON job_dependencies
BEGIN
  UPDATE jobs
  SET waiting_for = waiting_for - 1
  WHERE id = OLD.job_id
    AND EXISTS (SELECT 1 FROM jobs AS needed WHERE needed.id = OLD.needs_id AND needed.status <> 'succeeded');
END;

CREATE TRIGGER jobs_needed_succeeded AFTER UPDATE OF status ON jobs
WHEN NEW.status = 'succeeded' AND OLD.status <> 'succeeded'
BEGIN
  UPDATE jobs
  SET waiting_for = waiting_for - 1
  WHERE id IN (SELECT job_id FROM job_dependencies WHERE needs_id = NEW.id);
END;

CREATE TRIGGER jobs_needed_again AFTER UPDATE OF status ON jobs
WHEN OLD.status = 'succeeded' AND NEW.status <> 'succeeded'
BEGIN
  UPDATE jobs
  SET waiting_for = waiting_for + 1
  WHERE id IN (SELECT job_id FROM job_dependencies WHERE needs_id = NEW.id);
END;

-- What waits for a job that has failed or was cancelled ends as it did, and so does what waits for that: all at once,
-- because a trigger does not start itself.
CREATE TRIGGER jobs_needed_lost AFTER UPDATE OF status ON jobs
WHEN NEW.status IN ('failed', 'cancelled')
  AND OLD.status IN ('queued', 'running')
  AND EXISTS (SELECT 1 FROM job_dependencies WHERE needs_id = NEW.id)
BEGIN
  UPDATE jobs
  SET status = NEW.status,
      error = 'job ' || NEW.id || iif(NEW.status = 'failed', ' has failed', ' was cancelled')
        || ', and it waits for that one',
      error_code = 'dependency',
      updated_at = NEW.updated_at,
      finished_at = NEW.updated_at
  WHERE id IN (
    WITH RECURSIVE lost (id) AS (
      SELECT jobs.id
      FROM job_dependencies
      CROSS JOIN jobs ON jobs.id = job_dependencies.job_id AND jobs.status = 'queued'
      WHERE job_dependencies.needs_id = NEW.id
      UNION
      SELECT jobs.id
      FROM lost
      CROSS JOIN job_dependencies ON job_dependencies.needs_id = lost.id
      CROSS JOIN jobs ON jobs.id = job_dependencies.job_id AND jobs.status = 'queued'
    )
    SELECT id FROM lost
  );
END;

-- Before, because a cascade takes away what tells which jobs wait.
CREATE TRIGGER jobs_needed_deleted BEFORE DELETE ON jobs
WHEN OLD.status <> 'succeeded'
  AND EXISTS (SELECT 1 FROM job_dependencies WHERE needs_id = OLD.id)
BEGIN
  UPDATE jobs
  SET status = 'cancelled',
      error = 'job ' || OLD.id || ' was deleted, and it waits for that one',
      error_code = 'dependency',
      finished_at = updated_at
  WHERE id IN (
    WITH RECURSIVE lost (id) AS (
      SELECT jobs.id
      FROM job_dependencies
      CROSS JOIN jobs ON jobs.id = job_dependencies.job_id AND jobs.status = 'queued'
      WHERE job_dependencies.needs_id = OLD.id
      UNION
      SELECT jobs.id
      FROM lost
      CROSS JOIN job_dependencies ON job_dependencies.needs_id = lost.id
      CROSS JOIN jobs ON jobs.id = job_dependencies.job_id AND jobs.status = 'queued'
    )
    SELECT id FROM lost
  );
  UPDATE jobs
  SET waiting_for = waiting_for - 1
  WHERE id IN (SELECT job_id FROM job_dependencies WHERE needs_id = OLD.id);
END;

DROP TRIGGER jobs_parent_insert;
CREATE TRIGGER jobs_parent_insert BEFORE INSERT ON jobs
WHEN NEW.parent_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'a parent job is of the same profile, and has no parent itself and no job to wait for')
  FROM jobs
  WHERE id = NEW.parent_id
    AND (
      parent_id IS NOT NULL
      OR profile_id <> NEW.profile_id
      OR EXISTS (SELECT 1 FROM job_dependencies WHERE job_id = NEW.parent_id)
    );
END;
