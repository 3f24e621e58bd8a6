-- 14: a claim finds the next job without a look at those that wait for their time, and at batches.

PRAGMA user_version = 14;


ALTER TABLE jobs ADD COLUMN is_batch INTEGER NOT NULL DEFAULT 0
  CONSTRAINT jobs_is_batch CHECK (is_batch IN (0, 1));

ALTER TABLE jobs ADD COLUMN is_due INTEGER NOT NULL DEFAULT 0
  CONSTRAINT jobs_is_due CHECK (is_due IN (0, 1));

-- Before the indexes, which then need not be written twice.
DROP INDEX jobs_queue;
DROP INDEX jobs_queue_by_type;

UPDATE jobs
SET is_batch = 1
WHERE id IN (SELECT parent_id FROM jobs WHERE parent_id IS NOT NULL);

-- What may be claimed, and what waits for its time: a claim lets in what has become due, and reads no more than that.
CREATE INDEX jobs_queue ON jobs (priority DESC, created_at, id)
  WHERE status = 'queued' AND (run_after IS NULL OR is_due) AND NOT is_batch;
CREATE INDEX jobs_queue_by_type ON jobs (type, priority DESC, created_at, id)
  WHERE status = 'queued' AND (run_after IS NULL OR is_due) AND NOT is_batch;
CREATE INDEX jobs_waiting ON jobs (run_after, id)
  WHERE status = 'queued' AND run_after IS NOT NULL AND NOT is_due;
CREATE INDEX jobs_waiting_by_type ON jobs (type, run_after, id)
  WHERE status = 'queued' AND run_after IS NOT NULL AND NOT is_due;


DROP TRIGGER jobs_first_child;
CREATE TRIGGER jobs_first_child AFTER INSERT ON jobs
WHEN NEW.parent_id IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM jobs WHERE parent_id = NEW.parent_id AND id <> NEW.id)
BEGIN
  UPDATE jobs
  SET is_batch = 1,
      completed = 0,
      progress = 0
  WHERE id = NEW.parent_id
    AND (NOT is_batch OR completed <> 0 OR progress <> 0);
END;

DROP TRIGGER jobs_child_deleted;
CREATE TRIGGER jobs_child_deleted AFTER DELETE ON jobs
WHEN OLD.parent_id IS NOT NULL
BEGIN
  UPDATE jobs
  SET total = max(total - 1, 0),
      completed = max(completed - (OLD.finished_at IS NOT NULL), 0),
      progress = min(1.0, 1.0 * max(completed - (OLD.finished_at IS NOT NULL), 0) / max(total - 1, 1)),
      is_batch = EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = OLD.parent_id)
  WHERE id = OLD.parent_id;
END;

-- Nothing in the library gives a job another parent; people at the prompt may.
CREATE TRIGGER jobs_child_moved AFTER UPDATE OF parent_id ON jobs
WHEN NEW.parent_id IS NOT OLD.parent_id
BEGIN
  UPDATE jobs
  SET is_batch = EXISTS (SELECT 1 FROM jobs AS child WHERE child.parent_id = jobs.id)
  WHERE id IN (OLD.parent_id, NEW.parent_id);
END;

-- A trigger, because several statements make a job wait again.
CREATE TRIGGER jobs_waits_again AFTER UPDATE OF run_after ON jobs
WHEN NEW.is_due AND NEW.run_after IS NOT OLD.run_after
BEGIN
  UPDATE jobs
  SET is_due = 0
  WHERE id = NEW.id;
END;
