-- 1: the foundation: profiles, files, transcripts, clips, LLM templates and the job queue.

-- 'reel' in ASCII: tells our files from somebody else's.
PRAGMA application_id = 1919247724;
PRAGMA user_version = 1;


-- Which migrations this file contains; user_version alone decides what is run.
CREATE TABLE schema_migrations (
  version     INTEGER NOT NULL,
  name        TEXT NOT NULL,
  checksum    TEXT NOT NULL,  -- SHA-256 of the migration's text
  applied_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT schema_migrations_pk PRIMARY KEY (version),
  CONSTRAINT schema_migrations_applied_at CHECK (applied_at IS strftime('%Y-%m-%dT%H:%M:%fZ', applied_at, '+0 days'))
) STRICT;

-- Whoever owns files and jobs. The application chooses the id.
CREATE TABLE profiles (
  id                        TEXT NOT NULL,
  created_at                TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  active_llm_config_id      INTEGER,  -- the profile's choice of a language model
  active_summary_prompt_id  INTEGER,  -- the profile's choice of a prompt for summaries
  CONSTRAINT profiles_pk PRIMARY KEY (id),
  CONSTRAINT profiles_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

CREATE INDEX profiles_newest ON profiles (created_at DESC, id DESC);


-- A media file that a profile knows; its bytes are elsewhere, at path.
CREATE TABLE files (
  id              TEXT NOT NULL,
  profile_id      TEXT NOT NULL,
  name            TEXT NOT NULL,
  path            TEXT NOT NULL,  -- relative to the application's media folder; not unique
  type            TEXT,           -- the application's own word: video, subtitle …
  folder          TEXT,           -- label of files that were uploaded together
  source_file_id  TEXT,           -- what this file was made from
  origin          TEXT,           -- how it came in: upload, download, generated …
  size_bytes      INTEGER,
  content_type    TEXT,
  content_hash    TEXT,
  source_url      TEXT,
  created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  -- What transcripts and clips refer to, so that theirs is a file of the same profile. Before the primary
  -- key: of two that are broken, SQLite names the one that was declared last.
  CONSTRAINT files_of_profile UNIQUE (id, profile_id),
  CONSTRAINT files_pk PRIMARY KEY (id),
  CONSTRAINT files_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT files_source FOREIGN KEY (source_file_id) REFERENCES files (id) ON DELETE SET NULL,
  CONSTRAINT files_id CHECK (id GLOB '????????-????-????-????-????????????' AND id NOT GLOB '*[^0-9a-f-]*'),
  CONSTRAINT files_size_bytes CHECK (size_bytes >= 0),
  CONSTRAINT files_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

CREATE INDEX files_newest ON files (profile_id, created_at DESC, id DESC);
CREATE INDEX files_by_source ON files (source_file_id, created_at DESC, id DESC) WHERE source_file_id IS NOT NULL;
CREATE INDEX files_by_hash ON files (profile_id, content_hash, created_at DESC, id DESC) WHERE content_hash IS NOT NULL;
CREATE INDEX files_by_url ON files (profile_id, source_url, created_at DESC, id DESC) WHERE source_url IS NOT NULL;


-- The text of a file, and what a language model said about it.
CREATE TABLE transcripts (
  id               TEXT NOT NULL,
  profile_id       TEXT NOT NULL,
  file_id          TEXT NOT NULL,
  text             TEXT NOT NULL,
  llm_explanation  TEXT,
  language         TEXT,
  created_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT transcripts_pk PRIMARY KEY (id),
  CONSTRAINT transcripts_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT transcripts_file FOREIGN KEY (file_id, profile_id) REFERENCES files (id, profile_id) ON DELETE CASCADE,
  CONSTRAINT transcripts_id CHECK (id GLOB '????????-????-????-????-????????????' AND id NOT GLOB '*[^0-9a-f-]*'),
  CONSTRAINT transcripts_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

CREATE INDEX transcripts_newest ON transcripts (profile_id, created_at DESC, id DESC);
CREATE INDEX transcripts_by_file ON transcripts (file_id, created_at DESC, id DESC);


-- A piece of a file that somebody saved, with the language model's breakdown of what is said in it.
CREATE TABLE clips (
  id                      TEXT NOT NULL,
  profile_id              TEXT NOT NULL,
  file_id                 TEXT NOT NULL,
  start_time              REAL NOT NULL,  -- seconds into the file
  end_time                REAL NOT NULL,
  llm_breakdown_response  TEXT NOT NULL,  -- JSON object
  created_at              TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT clips_pk PRIMARY KEY (id),
  CONSTRAINT clips_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT clips_file FOREIGN KEY (file_id, profile_id) REFERENCES files (id, profile_id) ON DELETE CASCADE,
  CONSTRAINT clips_id CHECK (id GLOB '????????-????-????-????-????????????' AND id NOT GLOB '*[^0-9a-f-]*'),
  CONSTRAINT clips_times CHECK (start_time >= 0 AND end_time >= start_time),
  CONSTRAINT clips_llm_breakdown_response
    CHECK (CASE WHEN json_valid(llm_breakdown_response) THEN json_type(llm_breakdown_response) = 'object' ELSE 0 END),
  CONSTRAINT clips_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

CREATE INDEX clips_newest ON clips (profile_id, created_at DESC, id DESC);
CREATE INDEX clips_by_file ON clips (file_id, start_time, id);


-- How a profile wants its language model to be asked. One per profile.
CREATE TABLE llm_templates (
  id           TEXT NOT NULL,
  profile_id   TEXT NOT NULL,
  sys_msg      TEXT NOT NULL,
  prompt       TEXT NOT NULL,
  model        TEXT NOT NULL,
  srt_sys_msg  TEXT NOT NULL DEFAULT '',  -- for mending subtitles; '' is the application's own
  srt_model    TEXT NOT NULL DEFAULT '',  -- '' is model
  created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT llm_templates_pk PRIMARY KEY (id),
  CONSTRAINT llm_templates_one_per_profile UNIQUE (profile_id),
  CONSTRAINT llm_templates_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT llm_templates_id CHECK (id GLOB '????????-????-????-????-????????????' AND id NOT GLOB '*[^0-9a-f-]*'),
  CONSTRAINT llm_templates_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT llm_templates_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;


-- Work to be done, being done, and done: a queue, its history, and batches (a parent and its children).
CREATE TABLE jobs (
  id                TEXT NOT NULL,
  profile_id        TEXT NOT NULL,
  parent_id         TEXT,            -- the batch that this job belongs to
  type              TEXT NOT NULL,
  status            TEXT NOT NULL DEFAULT 'queued',
  progress          REAL NOT NULL DEFAULT 0,  -- 0 to 1
  total             INTEGER NOT NULL DEFAULT 1,
  completed         INTEGER NOT NULL DEFAULT 0,
  params            TEXT NOT NULL DEFAULT '{}',  -- JSON object
  result            TEXT,            -- JSON object
  error             TEXT,
  error_code        TEXT,
  error_details     TEXT,            -- JSON object
  priority          INTEGER NOT NULL DEFAULT 0,  -- higher is sooner
  attempts          INTEGER NOT NULL DEFAULT 0,  -- claims so far
  max_attempts      INTEGER NOT NULL DEFAULT 1,
  run_after         TEXT,            -- not to be claimed before
  worker            TEXT,            -- who claimed it and holds it
  lease_expires_at  TEXT,            -- until when; then anybody may claim it
  created_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  started_at        TEXT,
  finished_at       TEXT,
  CONSTRAINT jobs_pk PRIMARY KEY (id),
  CONSTRAINT jobs_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT jobs_parent FOREIGN KEY (parent_id) REFERENCES jobs (id) ON DELETE CASCADE,
  CONSTRAINT jobs_id CHECK (id GLOB '????????-????-????-????-????????????' AND id NOT GLOB '*[^0-9a-f-]*'),
  CONSTRAINT jobs_not_own_parent CHECK (parent_id <> id),
  CONSTRAINT jobs_status CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
  CONSTRAINT jobs_progress CHECK (progress BETWEEN 0 AND 1),
  CONSTRAINT jobs_total CHECK (total >= 0),
  CONSTRAINT jobs_completed CHECK (completed >= 0),
  CONSTRAINT jobs_attempts CHECK (attempts >= 0),
  CONSTRAINT jobs_max_attempts CHECK (max_attempts >= 1),
  CONSTRAINT jobs_params
    CHECK (CASE WHEN json_valid(params) THEN json_type(params) = 'object' ELSE 0 END),
  CONSTRAINT jobs_result
    CHECK (CASE WHEN json_valid(result) THEN json_type(result) = 'object' ELSE result IS NULL END),
  CONSTRAINT jobs_error_details
    CHECK (CASE WHEN json_valid(error_details) THEN json_type(error_details) = 'object' ELSE error_details IS NULL END),
  CONSTRAINT jobs_lease CHECK (lease_expires_at IS NULL OR (status = 'running' AND worker IS NOT NULL)),
  CONSTRAINT jobs_finished CHECK ((finished_at IS NOT NULL) = (status IN ('succeeded', 'failed', 'cancelled'))),
  CONSTRAINT jobs_run_after CHECK (run_after IS strftime('%Y-%m-%dT%H:%M:%fZ', run_after, '+0 days')),
  CONSTRAINT jobs_lease_expires_at
    CHECK (lease_expires_at IS strftime('%Y-%m-%dT%H:%M:%fZ', lease_expires_at, '+0 days')),
  CONSTRAINT jobs_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT jobs_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days')),
  CONSTRAINT jobs_started_at CHECK (started_at IS strftime('%Y-%m-%dT%H:%M:%fZ', started_at, '+0 days')),
  CONSTRAINT jobs_finished_at CHECK (finished_at IS strftime('%Y-%m-%dT%H:%M:%fZ', finished_at, '+0 days'))
) STRICT;

CREATE INDEX jobs_newest ON jobs (profile_id, created_at DESC, id DESC) WHERE parent_id IS NULL;
CREATE INDEX jobs_newest_active ON jobs (profile_id, created_at DESC, id DESC)
  WHERE parent_id IS NULL AND status IN ('queued', 'running');
-- The foreign key to profiles; the two above leave jobs out.
CREATE INDEX jobs_of_profile ON jobs (profile_id);
CREATE INDEX jobs_children ON jobs (parent_id, created_at, id) WHERE parent_id IS NOT NULL;
CREATE INDEX jobs_children_unfinished ON jobs (parent_id)
  WHERE parent_id IS NOT NULL AND status IN ('queued', 'running');
CREATE INDEX jobs_unfinished ON jobs (created_at, id) WHERE status IN ('queued', 'running');
CREATE INDEX jobs_queue ON jobs (priority DESC, created_at, id) WHERE status = 'queued';
CREATE INDEX jobs_queue_by_type ON jobs (type, priority DESC, created_at, id) WHERE status = 'queued';
CREATE INDEX jobs_leases ON jobs (lease_expires_at) WHERE status = 'running';
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE parent_id IS NULL AND finished_at IS NOT NULL;


-- Which files and transcripts a job's params and result name, so that nobody has to search JSON for them.
CREATE TABLE job_references (
  target_id    TEXT NOT NULL,
  target_type  TEXT NOT NULL,
  job_id       TEXT NOT NULL,
  CONSTRAINT job_references_pk PRIMARY KEY (target_id, target_type, job_id),
  CONSTRAINT job_references_job FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE,
  CONSTRAINT job_references_target_type CHECK (target_type IN ('file', 'transcript'))
) STRICT, WITHOUT ROWID;

CREATE INDEX job_references_by_job ON job_references (job_id);

-- What a job refers to, read from its JSON. Values that are not the text of an id are no references.
CREATE VIEW job_references_in_json AS
SELECT named.job_id, named.target_type, lower(named.value) AS target_id
FROM (
  SELECT id AS job_id, 'file' AS target_type, json_extract(params, '$.file_id') AS value
  FROM jobs
  UNION ALL
  SELECT jobs.id, 'file', listed.value
  FROM jobs, json_each(jobs.params, '$.file_ids') AS listed
  WHERE json_type(jobs.params, '$.file_ids') = 'array'
  UNION ALL
  SELECT id, 'file', json_extract(result, '$.file_id')
  FROM jobs
  UNION ALL
  SELECT id, 'file', json_extract(result, '$.srt_file_id')
  FROM jobs
  UNION ALL
  SELECT id, 'transcript', json_extract(result, '$.transcript_id')
  FROM jobs
) AS named
WHERE typeof(named.value) = 'text'
  AND named.value GLOB '????????-????-????-????-????????????';

-- Triggers, because params and result are written by many statements, and by people at the prompt.
CREATE TRIGGER jobs_references_insert AFTER INSERT ON jobs
BEGIN
  INSERT OR IGNORE INTO job_references (target_id, target_type, job_id)
  SELECT target_id, target_type, job_id
  FROM job_references_in_json
  WHERE job_id = NEW.id;
END;

CREATE TRIGGER jobs_references_update AFTER UPDATE OF params, result ON jobs
WHEN NEW.params IS NOT OLD.params OR NEW.result IS NOT OLD.result
BEGIN
  DELETE FROM job_references
  WHERE job_id = NEW.id;
  INSERT OR IGNORE INTO job_references (target_id, target_type, job_id)
  SELECT target_id, target_type, job_id
  FROM job_references_in_json
  WHERE job_id = NEW.id;
END;

-- Batches have one level: a parent's progress is counted from jobs that are claimed, not from other parents.
CREATE TRIGGER jobs_parent_insert BEFORE INSERT ON jobs
WHEN NEW.parent_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'a parent job is of the same profile and has no parent itself')
  FROM jobs
  WHERE id = NEW.parent_id
    AND (parent_id IS NOT NULL OR profile_id <> NEW.profile_id);
END;

-- What a job said of its own progress before its first child came is not its children's.
CREATE TRIGGER jobs_first_child AFTER INSERT ON jobs
WHEN NEW.parent_id IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM jobs WHERE parent_id = NEW.parent_id AND id <> NEW.id)
BEGIN
  UPDATE jobs
  SET completed = 0,
      progress = 0
  WHERE id = NEW.parent_id
    AND (completed <> 0 OR progress <> 0);
END;

-- A parent follows its children. Triggers, because many statements change a child, and so does a cascade, and a
-- parent that missed one would never finish. Counted up and down, not recounted: a batch may have 20,000 children.
CREATE TRIGGER jobs_child_started AFTER UPDATE OF status ON jobs
WHEN NEW.parent_id IS NOT NULL AND OLD.status = 'queued' AND NEW.status = 'running'
BEGIN
  UPDATE jobs
  SET status = 'running',
      started_at = NEW.updated_at,
      updated_at = NEW.updated_at
  WHERE id = NEW.parent_id
    AND status = 'queued';
END;

CREATE TRIGGER jobs_child_finished AFTER UPDATE OF status ON jobs
WHEN NEW.parent_id IS NOT NULL
  AND OLD.status IN ('queued', 'running')
  AND NEW.status IN ('succeeded', 'failed', 'cancelled')
BEGIN
  UPDATE jobs
  SET completed = completed + 1,
      progress = min(1.0, (completed + 1.0) / max(total, 1)),
      updated_at = NEW.updated_at
  WHERE id = NEW.parent_id;
  UPDATE jobs
  SET status = 'succeeded',
      started_at = coalesce(started_at, NEW.updated_at),
      finished_at = NEW.updated_at,
      worker = NULL,
      lease_expires_at = NULL,
      result = (
        SELECT json_object(
          'succeeded', count(*) FILTER (WHERE child.status = 'succeeded'),
          'failed', count(*) FILTER (WHERE child.status = 'failed'),
          'cancelled', count(*) FILTER (WHERE child.status = 'cancelled')
        )
        FROM jobs AS child
        WHERE child.parent_id = NEW.parent_id
      )
  WHERE id = NEW.parent_id
    AND status IN ('queued', 'running')
    AND completed >= total
    AND NOT EXISTS (
      SELECT 1
      FROM jobs AS child
      WHERE child.parent_id = NEW.parent_id
        AND child.status IN ('queued', 'running')
    );
END;

CREATE TRIGGER jobs_child_requeued AFTER UPDATE OF status ON jobs
WHEN NEW.parent_id IS NOT NULL
  AND OLD.status IN ('succeeded', 'failed', 'cancelled')
  AND NEW.status IN ('queued', 'running')
BEGIN
  UPDATE jobs
  SET completed = max(completed - 1, 0),
      progress = min(1.0, max(completed - 1.0, 0) / max(total, 1)),
      updated_at = NEW.updated_at
  WHERE id = NEW.parent_id;
END;

-- A child that is gone is no part of the batch any more.
CREATE TRIGGER jobs_child_deleted AFTER DELETE ON jobs
WHEN OLD.parent_id IS NOT NULL
BEGIN
  UPDATE jobs
  SET total = max(total - 1, 0),
      completed = max(completed - (OLD.finished_at IS NOT NULL), 0),
      progress = min(1.0, 1.0 * max(completed - (OLD.finished_at IS NOT NULL), 0) / max(total - 1, 1))
  WHERE id = OLD.parent_id;
END;
