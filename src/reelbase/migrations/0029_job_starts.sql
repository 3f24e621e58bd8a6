-- 29: so many jobs of a type, and no more, are claimed within a period.

PRAGMA user_version = 29;


ALTER TABLE job_types ADD COLUMN start_limit INTEGER
  CONSTRAINT job_types_start_limit CHECK (start_limit >= 1);

ALTER TABLE job_types ADD COLUMN start_seconds REAL
  CONSTRAINT job_types_start_seconds CHECK (start_seconds BETWEEN 0.001 AND 31622400);

-- The last claims of jobs of a type, as many as its start_limit, by number; their times do not go back.
CREATE TABLE job_starts (
  type        TEXT NOT NULL,
  number      INTEGER NOT NULL,
  started_at  TEXT NOT NULL,
  CONSTRAINT job_starts_pk PRIMARY KEY (type, number),
  CONSTRAINT job_starts_type FOREIGN KEY (type) REFERENCES job_types (type) ON DELETE CASCADE,
  CONSTRAINT job_starts_number CHECK (number >= 1),
  CONSTRAINT job_starts_started_at CHECK (started_at IS strftime('%Y-%m-%dT%H:%M:%fZ', started_at, '+0 days'))
) STRICT, WITHOUT ROWID;

-- What keeps the jobs of a type from being claimed now. room: how many more may run; NULL: as many as there are.
-- next_start_at: when the next one may be claimed; NULL: at once. latest_start_at: of the last claim; if it lies ahead,
-- the clock has been set back.
CREATE VIEW job_type_limits AS
SELECT
  type,
  paused_at,
  running_limit,
  CASE
    WHEN running_limit IS NOT NULL THEN running_limit - (
      SELECT count(*)
      FROM jobs AS running
      WHERE running.status = 'running'
        AND running.type = job_types.type
        AND NOT running.is_batch
    )
  END AS room,
  (
    SELECT strftime('%Y-%m-%dT%H:%M:%fZ', start.started_at, '+' || job_types.start_seconds || ' seconds')
    FROM job_starts AS start
    WHERE start.type = job_types.type
      AND start.number = 1 - job_types.start_limit + (
        SELECT max(latest.number) FROM job_starts AS latest WHERE latest.type = job_types.type
      )
  ) AS next_start_at,
  (
    SELECT latest.started_at
    FROM job_starts AS latest
    WHERE latest.type = job_types.type
    ORDER BY latest.number DESC
    LIMIT 1
  ) AS latest_start_at
FROM job_types;

-- A trigger, because a claim is one statement. Of the starts before the last start_limit it deletes some;
-- and those of a clock that has been set back since.
CREATE TRIGGER jobs_started AFTER UPDATE OF attempts ON jobs
WHEN NEW.status = 'running'
  AND NEW.attempts > OLD.attempts
  AND EXISTS (SELECT 1 FROM job_types WHERE type = NEW.type AND start_limit IS NOT NULL)
BEGIN
  DELETE FROM job_starts
  WHERE type = NEW.type
    AND number > coalesce(
      (
        SELECT number
        FROM job_starts
        WHERE type = NEW.type
          AND started_at <= strftime('%Y-%m-%dT%H:%M:%fZ', NEW.updated_at, '+60 seconds')
        ORDER BY number DESC
        LIMIT 1
      ),
      0
    );
  INSERT INTO job_starts (type, number, started_at)
  VALUES (
    NEW.type,
    1 + coalesce((SELECT max(number) FROM job_starts WHERE type = NEW.type), 0),
    max(
      NEW.updated_at,
      coalesce((SELECT started_at FROM job_starts WHERE type = NEW.type ORDER BY number DESC LIMIT 1), '')
    )
  );
  DELETE FROM job_starts
  WHERE type = NEW.type
    AND number <= (SELECT max(number) FROM job_starts WHERE type = NEW.type)
      - (SELECT start_limit FROM job_types WHERE type = NEW.type)
    AND number < 10 + (SELECT min(number) FROM job_starts WHERE type = NEW.type);
END;

CREATE TRIGGER job_types_starts_forgotten AFTER UPDATE OF start_limit ON job_types
WHEN NEW.start_limit IS NULL
BEGIN
  DELETE FROM job_starts
  WHERE type = NEW.type;
END;
