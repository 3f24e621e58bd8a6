-- reelbase: the schema. The truth for every new database; user_version, below, is its version.
--
--   sqlite3 media.db < schema.sql
--
-- gives a complete database that the library opens (switch it to WAL there, or let the library do so).
--
-- Conventions
--   ids         UUIDs as 36 characters, dashed, lower case; made by the library as UUIDv7, so that they sort by time
--   moments     UTC, fixed width: 2026-01-31T23:59:59.999Z; '+0 days' in their CHECKs refuses February 30
--   JSON        TEXT that json_valid() accepts
--   defaults    are for people at the sqlite3 prompt; the library binds every value
--   constraints have names, because errors quote them

BEGIN IMMEDIATE;

-- 'reel' in ASCII: tells our files from somebody else's.
PRAGMA application_id = 1919247724;
PRAGMA user_version = 33;


-- Which migrations this file contains; user_version alone decides what is run.
CREATE TABLE schema_migrations (
  version     INTEGER NOT NULL,
  name        TEXT NOT NULL,
  checksum    TEXT NOT NULL,  -- SHA-256 of the migration's text
  applied_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT schema_migrations_pk PRIMARY KEY (version),
  CONSTRAINT schema_migrations_applied_at CHECK (applied_at IS strftime('%Y-%m-%dT%H:%M:%fZ', applied_at, '+0 days'))
) STRICT;

INSERT INTO schema_migrations (version, name, checksum)
VALUES
  (1, 'foundation', '00b7265b3a5259e24bb59c9fb4819c943c59dee7f198387b0e39ae1c42ee0e78'),
  (2, 'downloads', 'd0093ea7560a87dd3c536c45c9510a6e116b457870d2b5fea31ec2906fb80e0a'),
  (3, 'editing', 'ca0c8d26406f49755e529442bb2c3312601c2a7341836e93de459d64da12ea8a'),
  (4, 'generation', '35a43920022fe7c51eabad19e115ad3ba65b79b9890703616ab7045df0e25de1'),
  (5, 'transcription', '7afbc8b7133c603a07f42109f912327c317010c615001b72c1a1113e7fc83263'),
  (6, 'downloads_tuning', '15cb8d28aaacec33a79270c38695c171be96f9429bb01b31002987db999cfbd7'),
  (7, 'database_identity', '46546db0a1f3e81d2830b8eb88ea29d3afacdb626c998c7de47150d7b16f3a64'),
  (8, 'open_lists', '170ee615ef0f06562d93419b38fb3edf16f4f0abd9cccf9652cb4181cde3b5b3'),
  (9, 'folded_texts', 'f741019c6ab11cb7fbe824c663147ae72ce64ddfc3067d5c8c990ed70ad1aa2a'),
  (10, 'downloads_queue', '8fe483593ab42fc4ba977d4848a5bc9d054aea5c7b7c6802977ffca6c75571bf'),
  (11, 'statistics', '652c8f8d0e65206148191f5f73f302741abcd46af539b47cb8979bbe1c1d60a9'),
  (12, 'file_search', 'fe8d654108c2159f8497251f6698b54d454e5c4a5a9f552c2bc4d474e49f74a1'),
  (13, 'workers', 'e928449940cee6d9ab65bcc5a68558adeb8051b8624a9022e6bbc81339de4cd7'),
  (14, 'due_jobs', '6e30ddbfe82791118c55256cb5d9aeca08c91b2e09c25c408e2b47228cfc0d2f'),
  (15, 'failed_jobs', '6ed619f54499123eb338b22efab5c2bba46fe5fbf717a69f5d842d614b8af5a2'),
  (16, 'job_runs', 'da5d47169cfa0d48e71b086ce00cb020ebf07e8142d7af2432919f09adfea113'),
  (17, 'pages_of_files', '370293e0e4e9a37fb3be648904e78008a6bca181aa69b3d91294bf677fb775e3'),
  (18, 'collections', '5adbb8a5e1015d94552901dfd77e9af4c0c15bdb71b04a6679c69b1252c0bd69'),
  (19, 'people', 'a858a2a4cde6071f6d2f12582604d5f1a605537b31d1cb4674723e693ab5df06'),
  (20, 'unique_jobs', '085aef2d7b0da87db6ad447c10cad4ebc172783c370793c9519b1d2624ebf5a7'),
  (21, 'job_types', '8bce58bacf0c5e3cdaf80f377e742d6ff95fed8017b1ebb9c7cce00011d8af22'),
  (22, 'job_dependencies', 'ea1292941b76dec12d4ac005fd33e07906ed7b683f01129fad312682e7ad0ed2'),
  (23, 'gallery', '81ee3094a5ef45e7411a78da1cbbd589f7665c0a081261cf7f5668e5ef37511c'),
  (24, 'file_options', 'f1d2fc3b9e3b1a665c5b8abeae4e1733675a340ef539e29c1db17b77e72b7959'),
  (25, 'job_schedules', 'a9a6d5ae9dbabd809c54ead697a0641b9a6fc6c619334a7fe6972771f46ec0c0'),
  (26, 'derived_files', '9bbb7162397b0bdc13952bec113fa1182b593f114564f2b2410272d020a45667'),
  (27, 'retention', '8cbb3e94f96127527bf98ebf0eaece6674f633903d6863aa0d167ed4eb471813'),
  (28, 'redactions', 'a0e81b4592fb02a07c25981e8ce3bdb17182549dcb0b45cc85e022b933241190'),
  (29, 'job_starts', 'b7345e12eae8ea2a4fc773632f5d88cfa1619d34eee2229c9fd21c84c32a1e8c'),
  (30, 'video_library', 'c73adaa0f0f73224d0fd2a787aa3bb6de83ef286416e3c266183d5bf84770387'),
  (31, 'timeline', '3d750e42742ffcb13eb715c28f4f9be8bd6f61df5426b71b3fbba8d4433f8b43'),
  (32, 'followed_changes', '79dd9c02cbc580133e1839db943d7fc0ac8d0f13ab4964ba5280a8c5550dcd2d'),
  (33, 'project_versions', '4cf966ca537d808d08896cd6105966d508acc008cb3cfc2c4b72f7ee90ac19ef');


-- Which database this file is: one row, which backups and what is restored from them carry along.
CREATE TABLE database_identity (
  id             INTEGER NOT NULL DEFAULT 1,
  database_id    TEXT NOT NULL DEFAULT (
    lower(
      hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-'
      || substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))
    )
  ),
  schema_digest  TEXT,     -- SHA-256 of sqlite_schema as the library last found it in order; NULL: not yet
  copy_number    INTEGER,  -- of a copy: greater than that of every copy that lay in its folder; NULL: this is no copy
  copy_name      TEXT,     -- of a copy: the file name that it was given
  CONSTRAINT database_identity_pk PRIMARY KEY (id),
  CONSTRAINT database_identity_one_row CHECK (id = 1),
  CONSTRAINT database_identity_database_id
    CHECK (database_id GLOB '????????-????-????-????-????????????' AND database_id NOT GLOB '*[^0-9a-f-]*'),
  CONSTRAINT database_identity_schema_digest
    CHECK (length(schema_digest) = 64 AND schema_digest NOT GLOB '*[^0-9a-f]*'),
  CONSTRAINT database_identity_copy_number CHECK (copy_number >= 1),
  CONSTRAINT database_identity_copy CHECK ((copy_number IS NULL) = (copy_name IS NULL))
) STRICT;

INSERT INTO database_identity (id)
VALUES
  (1);


-- Whoever owns files and jobs. The application chooses the id.
CREATE TABLE profiles (
  id                        TEXT NOT NULL,
  created_at                TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  active_llm_config_id      INTEGER,  -- the profile's choice of a language model
  active_summary_prompt_id  INTEGER,  -- the profile's choice of a prompt for summaries
  CONSTRAINT profiles_pk PRIMARY KEY (id),
  CONSTRAINT profiles_active_llm_config
    FOREIGN KEY (active_llm_config_id) REFERENCES llm_configs (id) ON DELETE SET NULL,
  CONSTRAINT profiles_active_summary_prompt
    FOREIGN KEY (active_summary_prompt_id) REFERENCES summary_prompts (id) ON DELETE SET NULL,
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
  duration        REAL  -- seconds, of media_info, for the index of lengths; triggers keep it
    CONSTRAINT files_duration CHECK (duration >= 0),
  -- What files are ordered by. '' is before all digits: a size or a length that is not known.
  name_key        TEXT GENERATED ALWAYS AS (lower(name)) VIRTUAL,
  size_key        TEXT GENERATED ALWAYS AS (iif(size_bytes IS NULL, '', printf('%019d', size_bytes))) VIRTUAL,
  length_key      TEXT GENERATED ALWAYS AS (iif(duration IS NULL, '', printf('%016.3f', duration))) VIRTUAL,
  is_pinned       INTEGER NOT NULL DEFAULT 0  -- retention does not remove it
    CONSTRAINT files_is_pinned CHECK (is_pinned IN (0, 1)),
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
-- Of all profiles, for administrators.
CREATE INDEX files_newest_of_all ON files (created_at DESC, id DESC);
CREATE INDEX files_by_type ON files (profile_id, type, created_at DESC, id DESC) WHERE type IS NOT NULL;
CREATE INDEX files_by_folder ON files (profile_id, folder, created_at DESC, id DESC);
CREATE INDEX files_by_name ON files (profile_id, name_key, id);
CREATE INDEX files_by_size ON files (profile_id, size_key, id);
CREATE INDEX files_by_length ON files (profile_id, length_key, id);
CREATE INDEX files_by_source ON files (source_file_id, created_at DESC, id DESC) WHERE source_file_id IS NOT NULL;
CREATE INDEX files_by_hash ON files (profile_id, content_hash, created_at DESC, id DESC) WHERE content_hash IS NOT NULL;
CREATE INDEX files_by_url ON files (profile_id, source_url, created_at DESC, id DESC) WHERE source_url IS NOT NULL;
CREATE INDEX files_pinned ON files (profile_id, created_at DESC, id DESC) WHERE is_pinned;


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
  lease_expires_at  TEXT,            -- until when; then any worker may claim it
  created_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  started_at        TEXT,
  finished_at       TEXT,
  is_batch          INTEGER NOT NULL DEFAULT 0  -- it has children; triggers keep it
    CONSTRAINT jobs_is_batch CHECK (is_batch IN (0, 1)),
  is_due            INTEGER NOT NULL DEFAULT 0  -- a claim has found that its run_after has come
    CONSTRAINT jobs_is_due CHECK (is_due IN (0, 1)),
  unique_key        TEXT,            -- which of the profile's jobs of this type only one that has not ended has
  waiting_for       INTEGER NOT NULL DEFAULT 0  -- how many jobs have to succeed first; triggers keep it
    CONSTRAINT jobs_waiting_for CHECK (waiting_for >= 0),
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
-- Of all profiles, for administrators.
CREATE INDEX jobs_newest_of_all ON jobs (created_at DESC, id DESC) WHERE parent_id IS NULL;
-- The few that people look for among the many that succeeded; these cost no index.
CREATE INDEX jobs_failed ON jobs (profile_id, status, created_at, id)
  WHERE parent_id IS NULL AND status IN ('failed', 'cancelled');
CREATE INDEX jobs_failed_of_all ON jobs (status, created_at, id)
  WHERE parent_id IS NULL AND status IN ('failed', 'cancelled');
-- The foreign key to profiles; those above leave jobs out, or are of all profiles.
CREATE INDEX jobs_of_profile ON jobs (profile_id);
CREATE INDEX jobs_children ON jobs (parent_id, created_at, id) WHERE parent_id IS NOT NULL;
CREATE INDEX jobs_children_unfinished ON jobs (parent_id)
  WHERE parent_id IS NOT NULL AND status IN ('queued', 'running');
CREATE INDEX jobs_unfinished ON jobs (created_at, id) WHERE status IN ('queued', 'running');
-- What may be claimed, and what waits for its time: a claim lets in what has become due, and reads no more than that.
CREATE INDEX jobs_queue_by_type ON jobs (type, priority DESC, created_at, id)
  WHERE status = 'queued' AND (run_after IS NULL OR is_due) AND NOT is_batch AND waiting_for = 0;
CREATE INDEX jobs_waiting ON jobs (run_after, id)
  WHERE status = 'queued' AND run_after IS NOT NULL AND NOT is_due;
CREATE INDEX jobs_waiting_by_type ON jobs (type, run_after, id)
  WHERE status = 'queued' AND run_after IS NOT NULL AND NOT is_due;
-- Leases that have expired; and, read as a whole, what runs of a type.
CREATE INDEX jobs_leases ON jobs (lease_expires_at, type, is_batch) WHERE status = 'running';
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE parent_id IS NULL AND finished_at IS NOT NULL;
-- Unfinished jobs with a key of their own, and all jobs that had one; jobs without a key cost these nothing.
CREATE UNIQUE INDEX jobs_unique_key ON jobs (profile_id, type, unique_key)
  WHERE unique_key IS NOT NULL AND status IN ('queued', 'running');
CREATE INDEX jobs_by_key ON jobs (profile_id, type, unique_key, created_at, id) WHERE unique_key IS NOT NULL;


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


-- What holds for all jobs of a type. A type without a row, and an empty column, has no such rule.
CREATE TABLE job_types (
  type           TEXT NOT NULL,
  paused_at      TEXT,     -- since when no job of the type is claimed
  running_limit  INTEGER,  -- how many of them may run at once, in all processes
  start_limit    INTEGER   -- how many of them may be claimed within start_seconds, in all processes
    CONSTRAINT job_types_start_limit CHECK (start_limit >= 1),
  start_seconds  REAL
    CONSTRAINT job_types_start_seconds CHECK (start_seconds BETWEEN 0.001 AND 31622400),
  CONSTRAINT job_types_pk PRIMARY KEY (type),
  CONSTRAINT job_types_paused_at CHECK (paused_at IS strftime('%Y-%m-%dT%H:%M:%fZ', paused_at, '+0 days')),
  CONSTRAINT job_types_running_limit CHECK (running_limit >= 1)
) STRICT, WITHOUT ROWID;

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
  SELECT RAISE(ABORT, 'a parent job is of the same profile, and has no parent itself and no job to wait for')
  FROM jobs
  WHERE id = NEW.parent_id
    AND (
      parent_id IS NOT NULL
      OR profile_id <> NEW.profile_id
      OR EXISTS (SELECT 1 FROM job_dependencies WHERE job_id = NEW.parent_id)
    );
END;

-- What a job said of its own progress before its first child came is not its children's.
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


-- What a handler has finished of a job, so that after a crash it is not done again.
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


-- What handlers say while they work.
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


-- A browser that uses the downloader, known by a cookie.
CREATE TABLE sessions (
  id          TEXT NOT NULL,
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  last_seen   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT sessions_pk PRIMARY KEY (id),
  CONSTRAINT sessions_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT sessions_last_seen CHECK (last_seen IS strftime('%Y-%m-%dT%H:%M:%fZ', last_seen, '+0 days'))
) STRICT;

CREATE INDEX idx_sessions_last_seen ON sessions (last_seen);


-- A URL to be fetched, being fetched, or fetched.
CREATE TABLE downloads (
  id                TEXT NOT NULL,
  session_id        TEXT NOT NULL,
  url               TEXT NOT NULL,
  status            TEXT NOT NULL DEFAULT 'queued',
  format_id         TEXT,
  quality           TEXT,
  output_template   TEXT,
  filename          TEXT,  -- where the bytes are, once known
  filesize          INTEGER,  -- bytes
  progress_percent  REAL NOT NULL DEFAULT 0,  -- 0 to 100
  speed             TEXT,  -- as the downloader words it
  eta               TEXT,  -- as the downloader words it
  error_message     TEXT,
  created_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  started_at        TEXT,
  completed_at      TEXT,  -- the end, whichever it was
  media_type        TEXT,  -- the application's own word: video, audio …
  output_format     TEXT,  -- what the bytes are to become: mp4, mp3 …
  parent_id         TEXT  -- the playlist that this is an entry of
    CONSTRAINT downloads_parent REFERENCES downloads (id) ON DELETE SET NULL
    CONSTRAINT downloads_not_own_parent CHECK (parent_id <> id),
  priority          INTEGER NOT NULL DEFAULT 0,  -- higher is sooner
  attempts          INTEGER NOT NULL DEFAULT 0  -- claims so far
    CONSTRAINT downloads_attempts CHECK (attempts >= 0),
  max_attempts      INTEGER NOT NULL DEFAULT 1
    CONSTRAINT downloads_max_attempts CHECK (max_attempts >= 1),
  worker            TEXT,  -- who holds it
  lease_expires_at  TEXT  -- until when; then any worker may claim it
    CONSTRAINT downloads_lease_expires_at
      CHECK (lease_expires_at IS strftime('%Y-%m-%dT%H:%M:%fZ', lease_expires_at, '+0 days'))
    CONSTRAINT downloads_lease CHECK (
      (worker IS NULL) = (lease_expires_at IS NULL)
      AND (worker IS NULL OR status = 'extracting' OR status = 'downloading')
    ),
  CONSTRAINT downloads_pk PRIMARY KEY (id),
  CONSTRAINT downloads_session FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE,
  CONSTRAINT downloads_id CHECK (id GLOB '????????-????-????-????-????????????' AND id NOT GLOB '*[^0-9a-f-]*'),
  -- OR, not IN: of more than two values SQLite makes a table, for every row anew, which is a fifth of an insert.
  CONSTRAINT downloads_status CHECK (
    status = 'queued' OR status = 'extracting' OR status = 'downloading'
    OR status = 'completed' OR status = 'failed' OR status = 'cancelled'
  ),
  CONSTRAINT downloads_filesize CHECK (filesize >= 0),
  CONSTRAINT downloads_progress_percent CHECK (progress_percent BETWEEN 0 AND 100),
  CONSTRAINT downloads_completed
    CHECK ((completed_at IS NOT NULL) = (status = 'completed' OR status = 'failed' OR status = 'cancelled')),
  CONSTRAINT downloads_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT downloads_started_at CHECK (started_at IS strftime('%Y-%m-%dT%H:%M:%fZ', started_at, '+0 days')),
  CONSTRAINT downloads_completed_at CHECK (completed_at IS strftime('%Y-%m-%dT%H:%M:%fZ', completed_at, '+0 days'))
) STRICT;

CREATE INDEX idx_downloads_session_status ON downloads (session_id, status);
CREATE INDEX idx_downloads_completed ON downloads (completed_at);
CREATE INDEX downloads_of_session ON downloads (session_id, created_at, id);
CREATE INDEX downloads_newest ON downloads (created_at DESC, id DESC);
CREATE INDEX downloads_newest_active ON downloads (created_at DESC, id DESC, status)
  WHERE status = 'queued' OR status = 'extracting' OR status = 'downloading';
CREATE INDEX downloads_queue ON downloads (priority DESC, created_at, id) WHERE status = 'queued';
-- Not by the lease: every report of progress renews it, and would have to write the index.
CREATE INDEX downloads_held ON downloads (priority DESC, created_at, id) WHERE worker IS NOT NULL;
CREATE INDEX downloads_children ON downloads (parent_id, created_at, id) WHERE parent_id IS NOT NULL;

-- Who reports progress is downloading. A trigger, because an UPDATE that names status writes two indexes anew, changed
-- or not: twice the time, and three times the pages, of what is called for every chunk that arrives.
CREATE TRIGGER downloads_progress AFTER UPDATE OF progress_percent ON downloads
WHEN NEW.status IN ('queued', 'extracting') AND NEW.status = OLD.status
BEGIN
  UPDATE downloads
  SET status = 'downloading'
  WHERE id = NEW.id;
END;


-- Settings that an administrator may change while the application runs.
CREATE TABLE config (
  key         TEXT NOT NULL,
  value       TEXT NOT NULL,  -- any JSON
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT config_pk PRIMARY KEY (key),
  CONSTRAINT config_value CHECK (json_valid(value)),
  CONSTRAINT config_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;


-- URLs that no extractor knew, so that somebody can see what is missing. Outlives sessions.
CREATE TABLE unsupported_urls (
  id          INTEGER NOT NULL,
  url         TEXT NOT NULL,
  session_id  TEXT,  -- no foreign key: the row stays when the session goes
  error       TEXT,
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT unsupported_urls_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT unsupported_urls_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

CREATE INDEX unsupported_urls_newest ON unsupported_urls (created_at DESC, id DESC);


-- What failed, without anybody's credentials. Outlives sessions and downloads.
CREATE TABLE error_log (
  id          INTEGER NOT NULL,
  url         TEXT NOT NULL,
  domain      TEXT,  -- the host of url; NULL where it has none
  error       TEXT NOT NULL,
  format_id   TEXT,
  media_type  TEXT,
  session_id  TEXT,  -- no foreign key: the row stays when the session goes
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT error_log_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT error_log_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

CREATE INDEX error_log_newest ON error_log (created_at DESC, id DESC);
CREATE INDEX error_log_of_domain ON error_log (domain, created_at DESC, id DESC);


-- A piece of editing work: its videos and the clips cut from them.
CREATE TABLE projects (
  id              INTEGER NOT NULL,
  name            TEXT NOT NULL,
  description     TEXT,
  workspace_path  TEXT NOT NULL,  -- where the project's files are; not unique
  created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT projects_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT projects_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT projects_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX projects_newest ON projects (created_at DESC, id DESC);
CREATE INDEX projects_by_name ON projects (name, created_at DESC, id DESC);
CREATE INDEX projects_by_workspace ON projects (workspace_path, created_at DESC, id DESC);


-- What a project is made for; NULL: not decided.
CREATE TABLE project_settings (
  project_id      INTEGER NOT NULL,
  output_width    INTEGER,  -- pixels
  output_height   INTEGER,
  frame_rate_num  INTEGER,  -- frames a second are frame_rate_num / frame_rate_den; places on the timeline are frames
  frame_rate_den  INTEGER,
  sample_rate     INTEGER,  -- samples a second
  audio_channels  INTEGER,
  bit_depth       INTEGER,
  data            TEXT,     -- JSON object, the application's own
  updated_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT project_settings_pk PRIMARY KEY (project_id),
  CONSTRAINT project_settings_project FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  CONSTRAINT project_settings_output CHECK (output_width > 0 AND output_height > 0),
  CONSTRAINT project_settings_frame_rate CHECK (frame_rate_num > 0 AND frame_rate_den > 0),
  CONSTRAINT project_settings_audio CHECK (sample_rate > 0 AND audio_channels > 0 AND bit_depth > 0),
  CONSTRAINT project_settings_data
    CHECK (CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE data IS NULL END),
  CONSTRAINT project_settings_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT, WITHOUT ROWID;


-- Videos that any number of projects may use, or none: each once.
CREATE TABLE library_videos (
  id              INTEGER NOT NULL,
  filename        TEXT NOT NULL,
  path            TEXT NOT NULL,
  duration        REAL NOT NULL,  -- seconds
  framerate_num   INTEGER NOT NULL,  -- frames a second are framerate_num / framerate_den
  framerate_den   INTEGER NOT NULL,
  width           INTEGER NOT NULL,  -- pixels
  height          INTEGER NOT NULL,
  video_codec     TEXT,
  audio_codec     TEXT,
  size_bytes      INTEGER,
  thumbnail_path  TEXT,
  data            TEXT,  -- JSON object, the application's own
  created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT library_videos_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT library_videos_path UNIQUE (path),
  -- A number of frames is exact as a float, so that SQL and Python agree on it.
  CONSTRAINT library_videos_duration
    CHECK (duration >= 0 AND duration * framerate_num / framerate_den < 9007199254740992),
  CONSTRAINT library_videos_framerate CHECK (framerate_num > 0 AND framerate_den > 0),
  CONSTRAINT library_videos_size CHECK (width > 0 AND height > 0),
  CONSTRAINT library_videos_size_bytes CHECK (size_bytes >= 0),
  CONSTRAINT library_videos_data
    CHECK (CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE data IS NULL END),
  CONSTRAINT library_videos_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT library_videos_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX library_videos_newest ON library_videos (created_at DESC, id DESC);


-- Source material of a project.
CREATE TABLE videos (
  id             INTEGER NOT NULL,
  project_id     INTEGER NOT NULL,
  filename       TEXT NOT NULL,
  path           TEXT NOT NULL,
  duration       REAL NOT NULL,  -- seconds
  framerate_num  INTEGER NOT NULL,  -- frames a second are framerate_num / framerate_den: 30000 / 1001
  framerate_den  INTEGER NOT NULL,
  width          INTEGER NOT NULL,  -- pixels
  height         INTEGER NOT NULL,
  created_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  -- floor(x + 0.5) for x >= 0, without the math functions that some builds of SQLite lack.
  total_frames   INTEGER
    GENERATED ALWAYS AS (CAST(duration * framerate_num / framerate_den + 0.5 AS INTEGER)) VIRTUAL,
  library_video_id  INTEGER  -- what the project uses of the library; NULL: a video of the project only
    CONSTRAINT videos_library_video REFERENCES library_videos (id) ON DELETE NO ACTION,
  CONSTRAINT videos_pk PRIMARY KEY (id AUTOINCREMENT),
  -- What clips refer to, so that theirs is a video of the same project.
  CONSTRAINT videos_of_project UNIQUE (id, project_id),
  CONSTRAINT videos_project FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  -- A number of frames is exact as a float, so that SQL and Python agree on it.
  CONSTRAINT videos_duration
    CHECK (duration >= 0 AND duration * framerate_num / framerate_den < 9007199254740992),
  CONSTRAINT videos_framerate CHECK (framerate_num > 0 AND framerate_den > 0),
  CONSTRAINT videos_size CHECK (width > 0 AND height > 0),
  CONSTRAINT videos_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

CREATE INDEX videos_newest ON videos (created_at DESC, id DESC);
CREATE INDEX videos_newest_of_project ON videos (project_id, created_at DESC, id DESC);
CREATE INDEX videos_by_path ON videos (path, created_at DESC, id DESC);
-- A project uses a video of the library once.
CREATE UNIQUE INDEX videos_once_of_library ON videos (library_video_id, project_id)
  WHERE library_video_id IS NOT NULL;

-- Words of filename and path, folded, with every character of a script without spaces set apart, which SQL alone
-- cannot do: the library writes the rows, and `rebuild_search` those of videos that came in by the sqlite3 prompt.
CREATE VIRTUAL TABLE videos_fts USING fts5 (
  filename, path,
  tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co'"
);

-- Triggers, because a cascade from the project deletes videos too, and because a row whose text has changed must not
-- be found by its old text, whoever changed it.
CREATE TRIGGER videos_fts_delete AFTER DELETE ON videos
BEGIN
  DELETE FROM videos_fts
  WHERE rowid = OLD.id;
END;

CREATE TRIGGER videos_fts_update AFTER UPDATE OF filename, path ON videos
WHEN NEW.filename IS NOT OLD.filename OR NEW.path IS NOT OLD.path
BEGIN
  DELETE FROM videos_fts
  WHERE rowid = OLD.id;
END;

-- Triggers, because a foreign key over all these columns would need an index over them.
CREATE TRIGGER videos_as_in_library_insert BEFORE INSERT ON videos
WHEN NEW.library_video_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'a video of the library is in a project as it is in the library')
  FROM library_videos
  WHERE id = NEW.library_video_id
    AND (filename, path, duration, framerate_num, framerate_den, width, height)
      IS NOT (
        NEW.filename, NEW.path, NEW.duration, NEW.framerate_num, NEW.framerate_den, NEW.width, NEW.height
      );
END;

CREATE TRIGGER videos_as_in_library_update BEFORE UPDATE ON videos
WHEN NEW.library_video_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'a video of the library is in a project as it is in the library')
  FROM library_videos
  WHERE id = NEW.library_video_id
    AND (filename, path, duration, framerate_num, framerate_den, width, height)
      IS NOT (
        NEW.filename, NEW.path, NEW.duration, NEW.framerate_num, NEW.framerate_den, NEW.width, NEW.height
      );
END;

CREATE TRIGGER library_videos_in_projects
AFTER UPDATE OF filename, path, duration, framerate_num, framerate_den, width, height ON library_videos
BEGIN
  UPDATE videos
  SET filename = NEW.filename,
      path = NEW.path,
      duration = NEW.duration,
      framerate_num = NEW.framerate_num,
      framerate_den = NEW.framerate_den,
      width = NEW.width,
      height = NEW.height
  WHERE library_video_id = NEW.id;
END;


-- A cut: frames in_point to out_point of a video, the last one not included.
CREATE TABLE project_clips (
  id          INTEGER NOT NULL,
  project_id  INTEGER NOT NULL,
  video_id    INTEGER NOT NULL,
  in_point    INTEGER NOT NULL,
  out_point   INTEGER NOT NULL,
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT project_clips_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT project_clips_project FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  -- NO ACTION, not RESTRICT: deleting the project deletes both, and RESTRICT would depend on which goes first.
  CONSTRAINT project_clips_video
    FOREIGN KEY (video_id, project_id) REFERENCES videos (id, project_id) ON DELETE NO ACTION,
  CONSTRAINT project_clips_points CHECK (in_point >= 0 AND out_point > in_point),
  CONSTRAINT project_clips_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

CREATE INDEX project_clips_newest ON project_clips (created_at DESC, id DESC);
CREATE INDEX project_clips_by_video ON project_clips (video_id, in_point, id);
CREATE INDEX project_clips_by_project ON project_clips (project_id, in_point, id);

-- Triggers, because a CHECK cannot look into another table.
CREATE TRIGGER project_clips_bounds_insert BEFORE INSERT ON project_clips
BEGIN
  SELECT RAISE(ABORT, 'a clip ends within its video')
  FROM videos
  WHERE id = NEW.video_id
    AND NEW.out_point > total_frames;
END;

CREATE TRIGGER project_clips_bounds_update BEFORE UPDATE OF video_id, out_point ON project_clips
BEGIN
  SELECT RAISE(ABORT, 'a clip ends within its video')
  FROM videos
  WHERE id = NEW.video_id
    AND NEW.out_point > total_frames;
END;

CREATE TRIGGER videos_bounds BEFORE UPDATE OF duration, framerate_num, framerate_den ON videos
BEGIN
  SELECT RAISE(ABORT, 'a clip ends within its video')
  FROM project_clips
  WHERE video_id = NEW.id
    AND out_point > CAST(NEW.duration * NEW.framerate_num / NEW.framerate_den + 0.5 AS INTEGER);
END;


-- A row of the timeline of a project.
CREATE TABLE timeline_tracks (
  id          INTEGER NOT NULL,
  project_id  INTEGER NOT NULL,
  position    INTEGER NOT NULL,  -- only their order counts: what is on a later track covers what is on an earlier one
  kind        TEXT NOT NULL,  -- the application's own word: video, audio, titles …
  name        TEXT NOT NULL DEFAULT '',
  overlap     TEXT NOT NULL DEFAULT 'none',  -- which of its clips may share a frame
  is_muted    INTEGER NOT NULL DEFAULT 0,
  is_locked   INTEGER NOT NULL DEFAULT 0,  -- its clips do not change
  data        TEXT,  -- JSON object, the application's own
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT timeline_tracks_pk PRIMARY KEY (id AUTOINCREMENT),
  -- What clips refer to, so that they are of the same project.
  CONSTRAINT timeline_tracks_of_project UNIQUE (id, project_id),
  CONSTRAINT timeline_tracks_position UNIQUE (project_id, position),
  CONSTRAINT timeline_tracks_project FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  CONSTRAINT timeline_tracks_kind CHECK (kind <> ''),
  CONSTRAINT timeline_tracks_overlap CHECK (overlap IN ('none', 'layers', 'any')),
  CONSTRAINT timeline_tracks_is_muted CHECK (is_muted IN (0, 1)),
  CONSTRAINT timeline_tracks_is_locked CHECK (is_locked IN (0, 1)),
  CONSTRAINT timeline_tracks_data
    CHECK (CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE data IS NULL END),
  CONSTRAINT timeline_tracks_created_at
    CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT timeline_tracks_updated_at
    CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

-- The project is looked for, because it takes its locked tracks along.
CREATE TRIGGER timeline_tracks_locked BEFORE DELETE ON timeline_tracks
WHEN OLD.is_locked
BEGIN
  SELECT RAISE(ABORT, 'the track is locked')
  FROM projects
  WHERE id = OLD.project_id;
END;


-- A clip on the timeline: a cut of a video, an image, or what a generator makes.
CREATE TABLE timeline_clips (
  id          INTEGER NOT NULL,
  project_id  INTEGER NOT NULL,
  track_id    INTEGER NOT NULL,
  position    INTEGER NOT NULL,  -- frames of the project
  duration    INTEGER NOT NULL,  -- frames of the project
  layer       INTEGER NOT NULL DEFAULT 0,  -- a higher one covers a lower one of the track
  video_id    INTEGER,
  in_point    INTEGER,  -- frames of the video
  out_point   INTEGER,  -- the frame after the last one
  image_path  TEXT,
  generator   TEXT,  -- the application's own word: color, title …
  name        TEXT NOT NULL DEFAULT '',
  data        TEXT,  -- JSON object, the application's own: effects, parameters of the generator …
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT timeline_clips_pk PRIMARY KEY (id AUTOINCREMENT),
  -- What transitions refer to, so that they join clips of one track.
  CONSTRAINT timeline_clips_of_track UNIQUE (id, track_id),
  CONSTRAINT timeline_clips_track
    FOREIGN KEY (track_id, project_id) REFERENCES timeline_tracks (id, project_id) ON DELETE CASCADE,
  -- NO ACTION, not RESTRICT: deleting the project deletes both, and RESTRICT would depend on which goes first.
  CONSTRAINT timeline_clips_video
    FOREIGN KEY (video_id, project_id) REFERENCES videos (id, project_id) ON DELETE NO ACTION,
  -- The upper half is free of clips at rest: what a shift moves goes through it.
  CONSTRAINT timeline_clips_place
    CHECK (position >= 0 AND duration > 0 AND position + duration <= 9007199254740992),
  CONSTRAINT timeline_clips_source
    CHECK ((video_id IS NOT NULL) + (image_path IS NOT NULL) + (generator IS NOT NULL) = 1),
  CONSTRAINT timeline_clips_cut
    CHECK ((in_point IS NULL) = (video_id IS NULL) AND (out_point IS NULL) = (video_id IS NULL)),
  CONSTRAINT timeline_clips_points CHECK (in_point >= 0 AND out_point > in_point),
  CONSTRAINT timeline_clips_data
    CHECK (CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE data IS NULL END),
  CONSTRAINT timeline_clips_created_at
    CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT timeline_clips_updated_at
    CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX timeline_clips_in_order ON timeline_clips (track_id, position, id);
CREATE INDEX timeline_clips_of_layer ON timeline_clips (track_id, layer, position);
-- The longest clip says how far before a frame those begin that may reach it.
CREATE INDEX timeline_clips_longest ON timeline_clips (track_id, duration);
CREATE INDEX timeline_clips_by_video ON timeline_clips (video_id, in_point, id) WHERE video_id IS NOT NULL;

-- Triggers, because a constraint cannot compare rows. While no two overlap, only the one before and those that begin
-- meanwhile may.
CREATE TRIGGER timeline_clips_apart_insert AFTER INSERT ON timeline_clips
BEGIN
  SELECT RAISE(ABORT, 'clips of the track do not overlap')
  FROM timeline_tracks
  WHERE timeline_tracks.id = NEW.track_id
    AND overlap = 'none'
    AND (
      EXISTS (
        SELECT 1
        FROM timeline_clips
        WHERE track_id = NEW.track_id
          AND position >= NEW.position
          AND position < NEW.position + NEW.duration
          AND id <> NEW.id
      )
      OR (
        SELECT position + duration
        FROM timeline_clips
        WHERE track_id = NEW.track_id
          AND position < NEW.position
        ORDER BY position DESC
        LIMIT 1
      ) > NEW.position
    );
  SELECT RAISE(ABORT, 'clips of a layer of the track do not overlap')
  FROM timeline_tracks
  WHERE timeline_tracks.id = NEW.track_id
    AND overlap = 'layers'
    AND (
      EXISTS (
        SELECT 1
        FROM timeline_clips
        WHERE track_id = NEW.track_id
          AND layer = NEW.layer
          AND position >= NEW.position
          AND position < NEW.position + NEW.duration
          AND id <> NEW.id
      )
      OR (
        SELECT position + duration
        FROM timeline_clips
        WHERE track_id = NEW.track_id
          AND layer = NEW.layer
          AND position < NEW.position
        ORDER BY position DESC
        LIMIT 1
      ) > NEW.position
    );
END;

CREATE TRIGGER timeline_clips_apart_update AFTER UPDATE OF track_id, position, duration, layer ON timeline_clips
BEGIN
  SELECT RAISE(ABORT, 'clips of the track do not overlap')
  FROM timeline_tracks
  WHERE timeline_tracks.id = NEW.track_id
    AND overlap = 'none'
    AND (
      EXISTS (
        SELECT 1
        FROM timeline_clips
        WHERE track_id = NEW.track_id
          AND position >= NEW.position
          AND position < NEW.position + NEW.duration
          AND id <> NEW.id
      )
      OR (
        SELECT position + duration
        FROM timeline_clips
        WHERE track_id = NEW.track_id
          AND position < NEW.position
        ORDER BY position DESC
        LIMIT 1
      ) > NEW.position
    );
  SELECT RAISE(ABORT, 'clips of a layer of the track do not overlap')
  FROM timeline_tracks
  WHERE timeline_tracks.id = NEW.track_id
    AND overlap = 'layers'
    AND (
      EXISTS (
        SELECT 1
        FROM timeline_clips
        WHERE track_id = NEW.track_id
          AND layer = NEW.layer
          AND position >= NEW.position
          AND position < NEW.position + NEW.duration
          AND id <> NEW.id
      )
      OR (
        SELECT position + duration
        FROM timeline_clips
        WHERE track_id = NEW.track_id
          AND layer = NEW.layer
          AND position < NEW.position
        ORDER BY position DESC
        LIMIT 1
      ) > NEW.position
    );
END;

CREATE TRIGGER timeline_tracks_apart BEFORE UPDATE OF overlap ON timeline_tracks
WHEN NEW.overlap IS NOT OLD.overlap AND NEW.overlap <> 'any'
BEGIN
  SELECT RAISE(ABORT, 'clips of the track overlap')
  FROM (
    SELECT
      position,
      max(position + duration) OVER (
        PARTITION BY CASE NEW.overlap WHEN 'layers' THEN layer END
        ORDER BY position, id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
      ) AS reached
    FROM timeline_clips
    WHERE track_id = NEW.id
  )
  WHERE position < reached;
END;

-- Triggers, because a CHECK cannot look into another table.
CREATE TRIGGER timeline_clips_locked_insert BEFORE INSERT ON timeline_clips
BEGIN
  SELECT RAISE(ABORT, 'the track is locked')
  FROM timeline_tracks
  WHERE id IN (NEW.track_id)
    AND is_locked;
END;

CREATE TRIGGER timeline_clips_locked_update BEFORE UPDATE ON timeline_clips
BEGIN
  SELECT RAISE(ABORT, 'the track is locked')
  FROM timeline_tracks
  WHERE id IN (OLD.track_id, NEW.track_id)
    AND is_locked;
END;

-- A track that is deleted is gone when its clips go.
CREATE TRIGGER timeline_clips_locked_delete BEFORE DELETE ON timeline_clips
BEGIN
  SELECT RAISE(ABORT, 'the track is locked')
  FROM timeline_tracks
  WHERE id IN (OLD.track_id)
    AND is_locked;
END;

CREATE TRIGGER timeline_clips_bounds_insert BEFORE INSERT ON timeline_clips
BEGIN
  SELECT RAISE(ABORT, 'a clip ends within its video')
  FROM videos
  WHERE id = NEW.video_id
    AND NEW.out_point > total_frames;
END;

CREATE TRIGGER timeline_clips_bounds_update BEFORE UPDATE OF video_id, out_point ON timeline_clips
BEGIN
  SELECT RAISE(ABORT, 'a clip ends within its video')
  FROM videos
  WHERE id = NEW.video_id
    AND NEW.out_point > total_frames;
END;

CREATE TRIGGER videos_bounds_on_timeline BEFORE UPDATE OF duration, framerate_num, framerate_den ON videos
BEGIN
  SELECT RAISE(ABORT, 'a clip ends within its video')
  FROM timeline_clips
  WHERE video_id = NEW.id
    AND out_point > CAST(NEW.duration * NEW.framerate_num / NEW.framerate_den + 0.5 AS INTEGER);
END;


-- How a clip becomes the next one of its track.
CREATE TABLE timeline_transitions (
  id            INTEGER NOT NULL,
  track_id      INTEGER NOT NULL,  -- of both
  from_clip_id  INTEGER NOT NULL,
  to_clip_id    INTEGER NOT NULL,
  kind          TEXT NOT NULL,  -- the application's own word: dissolve, wipe …
  duration      INTEGER NOT NULL,  -- frames of the project
  data          TEXT,  -- JSON object, the application's own
  created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT timeline_transitions_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT timeline_transitions_from UNIQUE (from_clip_id),
  CONSTRAINT timeline_transitions_to UNIQUE (to_clip_id),
  CONSTRAINT timeline_transitions_from_clip
    FOREIGN KEY (from_clip_id, track_id) REFERENCES timeline_clips (id, track_id) ON DELETE CASCADE,
  CONSTRAINT timeline_transitions_to_clip
    FOREIGN KEY (to_clip_id, track_id) REFERENCES timeline_clips (id, track_id) ON DELETE CASCADE,
  CONSTRAINT timeline_transitions_two_clips CHECK (from_clip_id <> to_clip_id),
  CONSTRAINT timeline_transitions_kind CHECK (kind <> ''),
  CONSTRAINT timeline_transitions_duration CHECK (duration > 0),
  CONSTRAINT timeline_transitions_data
    CHECK (CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE data IS NULL END),
  CONSTRAINT timeline_transitions_created_at
    CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT timeline_transitions_updated_at
    CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX timeline_transitions_of_track ON timeline_transitions (track_id, id);

-- Triggers, because a CHECK cannot look into another table.
CREATE TRIGGER timeline_transitions_neighbours_insert BEFORE INSERT ON timeline_transitions
BEGIN
  SELECT RAISE(ABORT, 'a transition joins neighbours')
  FROM timeline_clips AS earlier
  CROSS JOIN timeline_clips AS later
  WHERE earlier.id = NEW.from_clip_id
    AND later.id = NEW.to_clip_id
    AND NOT later.position BETWEEN earlier.position AND earlier.position + earlier.duration;
END;

CREATE TRIGGER timeline_transitions_neighbours_update BEFORE UPDATE OF from_clip_id, to_clip_id ON timeline_transitions
BEGIN
  SELECT RAISE(ABORT, 'a transition joins neighbours')
  FROM timeline_clips AS earlier
  CROSS JOIN timeline_clips AS later
  WHERE earlier.id = NEW.from_clip_id
    AND later.id = NEW.to_clip_id
    AND NOT later.position BETWEEN earlier.position AND earlier.position + earlier.duration;
END;

-- A trigger, because the foreign keys would refuse the move.
CREATE TRIGGER timeline_clips_leave_track BEFORE UPDATE OF track_id ON timeline_clips
WHEN NEW.track_id <> OLD.track_id
BEGIN
  DELETE FROM timeline_transitions
  WHERE from_clip_id = OLD.id
    OR to_clip_id = OLD.id;
END;


-- What a project was made of at a moment: settings, timeline and cuts.
CREATE TABLE project_versions (
  project_id  INTEGER NOT NULL,
  number      INTEGER NOT NULL,  -- from 1, by project
  name        TEXT NOT NULL DEFAULT '',
  checksum    TEXT NOT NULL,  -- SHA-256 of content
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  content     TEXT NOT NULL,  -- JSON object; the last column, so that a list of versions does not read it
  CONSTRAINT project_versions_pk PRIMARY KEY (project_id, number),
  CONSTRAINT project_versions_project FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  CONSTRAINT project_versions_number CHECK (number > 0),
  CONSTRAINT project_versions_checksum CHECK (length(checksum) = 64 AND checksum NOT GLOB '*[^0-9a-f]*'),
  CONSTRAINT project_versions_created_at
    CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT project_versions_content
    CHECK (CASE WHEN json_valid(content) THEN json_type(content) = 'object' ELSE 0 END)
) STRICT;


-- Who changed what, when. Written by the triggers below, and by the application for entities of its own.
CREATE TABLE audit_log (
  id           INTEGER NOT NULL,
  entity_type  TEXT NOT NULL,
  entity_id    ANY NOT NULL,  -- integer or text, as it was given
  action       TEXT NOT NULL,
  changes      TEXT NOT NULL DEFAULT '{}',  -- JSON object: {"field": {"old": …, "new": …}}
  user_id      TEXT,
  timestamp    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT audit_log_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT audit_log_entity_id CHECK (typeof(entity_id) IN ('integer', 'text')),
  CONSTRAINT audit_log_action CHECK (action IN ('CREATE', 'UPDATE', 'DELETE')),
  CONSTRAINT audit_log_changes
    CHECK (CASE WHEN json_valid(changes) THEN json_type(changes) = 'object' ELSE 0 END),
  CONSTRAINT audit_log_timestamp CHECK (timestamp IS strftime('%Y-%m-%dT%H:%M:%fZ', timestamp, '+0 days'))
) STRICT;

CREATE INDEX audit_log_newest ON audit_log (timestamp DESC, id DESC);
CREATE INDEX audit_log_of_entity ON audit_log (entity_type, entity_id, timestamp DESC, id DESC);

-- A trigger, because nothing else keeps people at the prompt from mending history.
CREATE TRIGGER audit_log_append_only BEFORE UPDATE ON audit_log
BEGIN
  SELECT RAISE(ABORT, 'audit entries do not change');
END;

-- Who is changing, and when: at most one row, there only while the library's own write runs. At the sqlite3 prompt it
-- is empty, and the entry then has no user and the time of the day.
CREATE TABLE audit_context (
  id         INTEGER NOT NULL DEFAULT 1,
  user_id    TEXT,
  timestamp  TEXT NOT NULL,
  CONSTRAINT audit_context_pk PRIMARY KEY (id),
  CONSTRAINT audit_context_one_row CHECK (id = 1)
) STRICT;

-- Triggers, because rows that a cascade deletes are to be logged too.
CREATE TRIGGER projects_audit_insert AFTER INSERT ON projects
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, user_id, timestamp)
  VALUES (
    'project',
    NEW.id,
    'CREATE',
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  );
END;

CREATE TRIGGER projects_audit_update AFTER UPDATE ON projects
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, changes, user_id, timestamp)
  SELECT
    'project',
    NEW.id,
    'UPDATE',
    json_group_object(field, json(change)),
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  FROM (
    SELECT 'name' AS field, json_object('old', OLD.name, 'new', NEW.name) AS change
    WHERE OLD.name IS NOT NEW.name
    UNION ALL
    SELECT 'description', json_object('old', OLD.description, 'new', NEW.description)
    WHERE OLD.description IS NOT NEW.description
    UNION ALL
    SELECT 'workspace_path', json_object('old', OLD.workspace_path, 'new', NEW.workspace_path)
    WHERE OLD.workspace_path IS NOT NEW.workspace_path
  )
  HAVING count(*) > 0;
END;

CREATE TRIGGER projects_audit_delete AFTER DELETE ON projects
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, user_id, timestamp)
  VALUES (
    'project',
    OLD.id,
    'DELETE',
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  );
END;

CREATE TRIGGER videos_audit_insert AFTER INSERT ON videos
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, user_id, timestamp)
  VALUES (
    'video',
    NEW.id,
    'CREATE',
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  );
END;

CREATE TRIGGER videos_audit_update AFTER UPDATE ON videos
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, changes, user_id, timestamp)
  SELECT
    'video',
    NEW.id,
    'UPDATE',
    json_group_object(field, json(change)),
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  FROM (
    SELECT 'filename' AS field, json_object('old', OLD.filename, 'new', NEW.filename) AS change
    WHERE OLD.filename IS NOT NEW.filename
    UNION ALL
    SELECT 'path', json_object('old', OLD.path, 'new', NEW.path)
    WHERE OLD.path IS NOT NEW.path
    UNION ALL
    -- 18 digits: json_object() would round a REAL to 15.
    SELECT
      'duration',
      json_object(
        'old', json(printf('%!.18g', OLD.duration)), 'new', json(printf('%!.18g', NEW.duration))
      )
    WHERE OLD.duration IS NOT NEW.duration
    UNION ALL
    SELECT 'framerate_num', json_object('old', OLD.framerate_num, 'new', NEW.framerate_num)
    WHERE OLD.framerate_num IS NOT NEW.framerate_num
    UNION ALL
    SELECT 'framerate_den', json_object('old', OLD.framerate_den, 'new', NEW.framerate_den)
    WHERE OLD.framerate_den IS NOT NEW.framerate_den
    UNION ALL
    SELECT 'width', json_object('old', OLD.width, 'new', NEW.width)
    WHERE OLD.width IS NOT NEW.width
    UNION ALL
    SELECT 'height', json_object('old', OLD.height, 'new', NEW.height)
    WHERE OLD.height IS NOT NEW.height
    UNION ALL
    SELECT 'library_video_id', json_object('old', OLD.library_video_id, 'new', NEW.library_video_id)
    WHERE OLD.library_video_id IS NOT NEW.library_video_id
  )
  HAVING count(*) > 0;
END;

CREATE TRIGGER videos_audit_delete AFTER DELETE ON videos
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, user_id, timestamp)
  VALUES (
    'video',
    OLD.id,
    'DELETE',
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  );
END;

CREATE TRIGGER project_clips_audit_insert AFTER INSERT ON project_clips
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, user_id, timestamp)
  VALUES (
    'clip',
    NEW.id,
    'CREATE',
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  );
END;

CREATE TRIGGER project_clips_audit_update AFTER UPDATE ON project_clips
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, changes, user_id, timestamp)
  SELECT
    'clip',
    NEW.id,
    'UPDATE',
    json_group_object(field, json(change)),
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  FROM (
    SELECT 'video_id' AS field, json_object('old', OLD.video_id, 'new', NEW.video_id) AS change
    WHERE OLD.video_id IS NOT NEW.video_id
    UNION ALL
    SELECT 'in_point', json_object('old', OLD.in_point, 'new', NEW.in_point)
    WHERE OLD.in_point IS NOT NEW.in_point
    UNION ALL
    SELECT 'out_point', json_object('old', OLD.out_point, 'new', NEW.out_point)
    WHERE OLD.out_point IS NOT NEW.out_point
  )
  HAVING count(*) > 0;
END;

CREATE TRIGGER project_clips_audit_delete AFTER DELETE ON project_clips
BEGIN
  INSERT INTO audit_log (entity_type, entity_id, action, user_id, timestamp)
  VALUES (
    'clip',
    OLD.id,
    'DELETE',
    (SELECT user_id FROM audit_context),
    coalesce((SELECT timestamp FROM audit_context), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
  );
END;


-- A piece of music to be made, being made, or made.
CREATE TABLE generations (
  id                       TEXT NOT NULL,
  prompt                   TEXT NOT NULL,
  model_name               TEXT NOT NULL,
  model_version            TEXT,
  duration_seconds         REAL NOT NULL,
  sample_rate              INTEGER NOT NULL,  -- samples a second
  channels                 INTEGER NOT NULL,
  file_path                TEXT NOT NULL,  -- where the audio is, or will be
  file_size_bytes          INTEGER,
  status                   TEXT NOT NULL DEFAULT 'pending',
  created_at               TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  completed_at             TEXT,  -- the end, whichever it was
  generation_time_seconds  REAL,
  error_message            TEXT,
  metadata                 TEXT NOT NULL DEFAULT '{}',  -- JSON object: bpm, key, genre …
  priority                 INTEGER NOT NULL DEFAULT 0,  -- higher is sooner
  attempts                 INTEGER NOT NULL DEFAULT 0  -- claims so far
    CONSTRAINT generations_attempts CHECK (attempts >= 0),
  max_attempts             INTEGER NOT NULL DEFAULT 1
    CONSTRAINT generations_max_attempts CHECK (max_attempts >= 1),
  worker                   TEXT,  -- who holds it
  lease_expires_at         TEXT  -- until when; then any worker may claim it
    CONSTRAINT generations_lease_expires_at
      CHECK (lease_expires_at IS strftime('%Y-%m-%dT%H:%M:%fZ', lease_expires_at, '+0 days'))
    CONSTRAINT generations_lease CHECK (
      (worker IS NULL) = (lease_expires_at IS NULL)
      AND (worker IS NULL OR status = 'processing')
    ),
  is_pinned                INTEGER NOT NULL DEFAULT 0  -- retention does not remove it
    CONSTRAINT generations_is_pinned CHECK (is_pinned IN (0, 1)),
  CONSTRAINT generations_pk PRIMARY KEY (id),
  CONSTRAINT generations_id CHECK (id GLOB '????????-????-????-????-????????????' AND id NOT GLOB '*[^0-9a-f-]*'),
  CONSTRAINT generations_duration_seconds CHECK (duration_seconds > 0),
  CONSTRAINT generations_sample_rate CHECK (sample_rate > 0),
  CONSTRAINT generations_channels CHECK (channels IN (1, 2)),
  CONSTRAINT generations_file_size_bytes CHECK (file_size_bytes >= 0),
  CONSTRAINT generations_status CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'cancelled')),
  CONSTRAINT generations_completed
    CHECK ((completed_at IS NOT NULL) = (status IN ('completed', 'failed', 'cancelled'))),
  CONSTRAINT generations_generation_time_seconds CHECK (generation_time_seconds >= 0),
  CONSTRAINT generations_metadata
    CHECK (CASE WHEN json_valid(metadata) THEN json_type(metadata) = 'object' ELSE 0 END),
  CONSTRAINT generations_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT generations_completed_at CHECK (completed_at IS strftime('%Y-%m-%dT%H:%M:%fZ', completed_at, '+0 days'))
) STRICT;

CREATE INDEX generations_by_status ON generations (status, created_at, id);
CREATE INDEX generations_newest ON generations (created_at DESC, id DESC);
CREATE INDEX generations_by_model ON generations (model_name, created_at DESC, id DESC);
CREATE INDEX generations_by_prompt ON generations (prompt, created_at DESC, id DESC);
CREATE INDEX generations_by_completion ON generations (completed_at);
CREATE INDEX generations_queue ON generations (priority DESC, created_at, id) WHERE status = 'pending';
CREATE INDEX generations_held ON generations (priority DESC, created_at, id) WHERE worker IS NOT NULL;
CREATE INDEX generations_pinned ON generations (created_at DESC, id DESC) WHERE is_pinned;


-- Every prompt that was ever used, and how often. Outlives generations: it is analytics.
CREATE TABLE prompts (
  id             INTEGER NOT NULL,
  text           TEXT NOT NULL,  -- compared exactly
  used_count     INTEGER NOT NULL DEFAULT 1,
  first_used_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  last_used_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT prompts_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT prompts_text UNIQUE (text),
  CONSTRAINT prompts_used_count CHECK (used_count >= 1),
  CONSTRAINT prompts_first_used_at CHECK (first_used_at IS strftime('%Y-%m-%dT%H:%M:%fZ', first_used_at, '+0 days')),
  CONSTRAINT prompts_last_used_at CHECK (last_used_at IS strftime('%Y-%m-%dT%H:%M:%fZ', last_used_at, '+0 days'))
) STRICT;

CREATE INDEX prompts_most_used ON prompts (used_count DESC, last_used_at DESC, id);

-- The words of text, folded and set apart like those of videos_fts.
CREATE VIRTUAL TABLE prompts_fts USING fts5 (
  text,
  tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co'"
);

-- Triggers for the reasons of videos_fts.
CREATE TRIGGER prompts_fts_delete AFTER DELETE ON prompts
BEGIN
  DELETE FROM prompts_fts
  WHERE rowid = OLD.id;
END;

CREATE TRIGGER prompts_fts_update AFTER UPDATE OF text ON prompts
WHEN NEW.text IS NOT OLD.text
BEGIN
  DELETE FROM prompts_fts
  WHERE rowid = OLD.id;
END;


-- How far a file's processing is: what waits, what runs, what failed and how often. At most one per file; a file that
-- was never queued has none.
CREATE TABLE file_processing (
  file_id            TEXT NOT NULL,
  status             TEXT NOT NULL DEFAULT 'pending',
  stage              TEXT,  -- the application's own word: extracting audio, diarizing …
  progress           REAL NOT NULL DEFAULT 0,  -- 0 to 1
  error_message      TEXT,
  error_category     TEXT,  -- the application's own word: network, format …
  retry_count        INTEGER NOT NULL DEFAULT 0,
  max_retries        INTEGER NOT NULL DEFAULT 3,  -- 0: no limit
  recovery_attempts  INTEGER NOT NULL DEFAULT 0,  -- how often its worker was found to be gone
  next_retry_at      TEXT,
  started_at         TEXT,
  heartbeat_at       TEXT,  -- the worker's last sign of life
  completed_at       TEXT,
  updated_at         TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  worker             TEXT  -- who works on it, if that one said so
    CONSTRAINT file_processing_worker CHECK (
      worker IS NULL OR status = 'downloading' OR status = 'processing' OR status = 'cancelling'
    ),
  profile_id         TEXT,  -- of the file, for the index of its status; triggers keep it, and the next one
  file_created_at    TEXT
    CONSTRAINT file_processing_file_created_at
      CHECK (file_created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', file_created_at, '+0 days')),
  options            TEXT  -- JSON object: what the file is to be processed with
    CONSTRAINT file_processing_options
      CHECK (CASE WHEN json_valid(options) THEN json_type(options) = 'object' ELSE options IS NULL END),
  CONSTRAINT file_processing_pk PRIMARY KEY (file_id),
  CONSTRAINT file_processing_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE,
  CONSTRAINT file_processing_status
    CHECK (
      status IN (
        'pending', 'queued', 'downloading', 'processing', 'completed', 'error', 'cancelling', 'cancelled', 'orphaned'
      )
    ),
  CONSTRAINT file_processing_progress CHECK (progress BETWEEN 0 AND 1),
  CONSTRAINT file_processing_counts CHECK (retry_count >= 0 AND max_retries >= 0 AND recovery_attempts >= 0),
  CONSTRAINT file_processing_completed CHECK ((completed_at IS NOT NULL) = (status = 'completed')),
  CONSTRAINT file_processing_retry CHECK (next_retry_at IS NULL OR status = 'error'),
  CONSTRAINT file_processing_next_retry_at
    CHECK (next_retry_at IS strftime('%Y-%m-%dT%H:%M:%fZ', next_retry_at, '+0 days')),
  CONSTRAINT file_processing_started_at CHECK (started_at IS strftime('%Y-%m-%dT%H:%M:%fZ', started_at, '+0 days')),
  CONSTRAINT file_processing_heartbeat_at
    CHECK (heartbeat_at IS strftime('%Y-%m-%dT%H:%M:%fZ', heartbeat_at, '+0 days')),
  CONSTRAINT file_processing_completed_at
    CHECK (completed_at IS strftime('%Y-%m-%dT%H:%M:%fZ', completed_at, '+0 days')),
  CONSTRAINT file_processing_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX file_processing_by_status ON file_processing (status);
CREATE INDEX file_processing_newest ON file_processing (profile_id, status, file_created_at DESC, file_id DESC);
-- What may be stuck: a handful among everything that was ever processed.
CREATE INDEX file_processing_unfinished ON file_processing (updated_at, file_id)
  WHERE status IN ('pending', 'queued', 'downloading', 'processing', 'cancelling');
CREATE INDEX file_processing_retries ON file_processing (next_retry_at) WHERE next_retry_at IS NOT NULL;

-- Triggers, so that the place among the newest files is right for every program that writes.
CREATE TRIGGER file_processing_place AFTER INSERT ON file_processing
BEGIN
  UPDATE file_processing
  SET (profile_id, file_created_at) = (SELECT profile_id, created_at FROM files WHERE id = NEW.file_id)
  WHERE file_id = NEW.file_id;
END;

CREATE TRIGGER files_processing_place AFTER UPDATE OF profile_id, created_at ON files
WHEN NEW.profile_id IS NOT OLD.profile_id OR NEW.created_at IS NOT OLD.created_at
BEGIN
  UPDATE file_processing
  SET profile_id = NEW.profile_id,
      file_created_at = NEW.created_at
  WHERE file_id = NEW.id;
END;


-- What a file is technically, kept out of files because it is wide and seldom read.
CREATE TABLE media_info (
  file_id            TEXT NOT NULL,
  title              TEXT,
  author             TEXT,
  description        TEXT,
  container          TEXT,
  video_codec        TEXT,
  audio_codec        TEXT,
  duration           REAL,  -- seconds
  frame_rate_num     INTEGER,  -- frames a second are frame_rate_num / frame_rate_den
  frame_rate_den     INTEGER,
  width              INTEGER,  -- pixels
  height             INTEGER,
  audio_channels     INTEGER,
  audio_sample_rate  INTEGER,  -- samples a second
  audio_bit_depth    INTEGER,
  recorded_at        TEXT,
  device_make        TEXT,
  device_model       TEXT,
  metadata           TEXT,  -- JSON object: whatever a downloader knows
  waveform           TEXT,  -- JSON array
  CONSTRAINT media_info_pk PRIMARY KEY (file_id),
  CONSTRAINT media_info_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE,
  CONSTRAINT media_info_duration CHECK (duration >= 0),
  CONSTRAINT media_info_frame_rate CHECK (frame_rate_num > 0 AND frame_rate_den > 0),
  CONSTRAINT media_info_size CHECK (width > 0 AND height > 0),
  CONSTRAINT media_info_audio CHECK (audio_channels > 0 AND audio_sample_rate > 0 AND audio_bit_depth > 0),
  CONSTRAINT media_info_metadata
    CHECK (CASE WHEN json_valid(metadata) THEN json_type(metadata) = 'object' ELSE metadata IS NULL END),
  CONSTRAINT media_info_waveform
    CHECK (CASE WHEN json_valid(waveform) THEN json_type(waveform) = 'array' ELSE waveform IS NULL END),
  CONSTRAINT media_info_recorded_at CHECK (recorded_at IS strftime('%Y-%m-%dT%H:%M:%fZ', recorded_at, '+0 days'))
) STRICT;

-- Triggers for the reason of file_processing_place.
CREATE TRIGGER media_info_length_insert AFTER INSERT ON media_info
WHEN NEW.duration IS NOT NULL
BEGIN
  UPDATE files
  SET duration = NEW.duration
  WHERE id = NEW.file_id;
END;

CREATE TRIGGER media_info_length_update AFTER UPDATE OF duration ON media_info
WHEN NEW.duration IS NOT OLD.duration
BEGIN
  UPDATE files
  SET duration = NEW.duration
  WHERE id = NEW.file_id;
END;

CREATE TRIGGER media_info_length_delete AFTER DELETE ON media_info
WHEN OLD.duration IS NOT NULL
BEGIN
  UPDATE files
  SET duration = NULL
  WHERE id = OLD.file_id;
END;


-- The numbers under which files_fts has the files: their keys are texts, and the rowids of such a table change when it
-- is vacuumed.
CREATE TABLE file_numbers (
  id       INTEGER NOT NULL,
  file_id  TEXT NOT NULL,
  CONSTRAINT file_numbers_pk PRIMARY KEY (id),
  CONSTRAINT file_numbers_one_per_file UNIQUE (file_id),
  CONSTRAINT file_numbers_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE
) STRICT;

-- The words of a file's name, folder and path and of its title in media_info, folded and set apart like those of
-- videos_fts.
CREATE VIRTUAL TABLE files_fts USING fts5 (
  name, folder, path, title,
  tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co'"
);

-- A trigger, so that files have a number that other programs add, too.
CREATE TRIGGER files_number AFTER INSERT ON files
BEGIN
  INSERT INTO file_numbers (file_id)
  VALUES
    (NEW.id);
END;

-- Triggers for the reasons of videos_fts.
CREATE TRIGGER file_numbers_fts_delete AFTER DELETE ON file_numbers
BEGIN
  DELETE FROM files_fts
  WHERE rowid = OLD.id;
END;

CREATE TRIGGER files_fts_update AFTER UPDATE OF name, folder, path ON files
WHEN NEW.name IS NOT OLD.name OR NEW.folder IS NOT OLD.folder OR NEW.path IS NOT OLD.path
BEGIN
  DELETE FROM files_fts
  WHERE rowid = (SELECT id FROM file_numbers WHERE file_id = OLD.id);
END;

CREATE TRIGGER media_info_fts_insert AFTER INSERT ON media_info
WHEN NEW.title IS NOT NULL
BEGIN
  DELETE FROM files_fts
  WHERE rowid = (SELECT id FROM file_numbers WHERE file_id = NEW.file_id);
END;

CREATE TRIGGER media_info_fts_update AFTER UPDATE OF title ON media_info
WHEN NEW.title IS NOT OLD.title
BEGIN
  DELETE FROM files_fts
  WHERE rowid = (SELECT id FROM file_numbers WHERE file_id = NEW.file_id);
END;

CREATE TRIGGER media_info_fts_delete AFTER DELETE ON media_info
WHEN OLD.title IS NOT NULL
BEGIN
  DELETE FROM files_fts
  WHERE rowid = (SELECT id FROM file_numbers WHERE file_id = OLD.file_id);
END;

-- The trigrams of names, folded by the library: what a search for a part of a name finds.
CREATE VIRTUAL TABLE file_names_fts USING fts5 (
  name,
  tokenize = "trigram case_sensitive 1",
  detail = none
);

-- Triggers for the reasons of videos_fts.
CREATE TRIGGER file_numbers_names_delete AFTER DELETE ON file_numbers
BEGIN
  DELETE FROM file_names_fts
  WHERE rowid = OLD.id;
END;

-- A new number for a new name: so all files that file_names_fts lacks have greater numbers than those that it has.
CREATE TRIGGER files_number_update AFTER UPDATE OF name ON files
WHEN NEW.name IS NOT OLD.name
BEGIN
  UPDATE file_numbers
  SET id = 1 + (SELECT max(last.id) FROM file_numbers AS last)
  WHERE file_id = NEW.id;
END;

CREATE TRIGGER file_numbers_fts_update AFTER UPDATE OF id ON file_numbers
BEGIN
  DELETE FROM files_fts
  WHERE rowid = OLD.id;
  DELETE FROM file_names_fts
  WHERE rowid = OLD.id;
END;


-- A word that a profile puts on files.
CREATE TABLE tags (
  id               INTEGER NOT NULL,
  profile_id       TEXT NOT NULL,
  name             TEXT NOT NULL,  -- as it was first written
  normalized_name  TEXT NOT NULL,  -- trimmed and case-folded, by the library: SQLite folds ASCII only
  created_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT tags_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT tags_name UNIQUE (profile_id, normalized_name),
  -- What links refer to, so that theirs is a tag of the file's profile.
  CONSTRAINT tags_of_profile UNIQUE (id, profile_id),
  CONSTRAINT tags_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT tags_not_blank CHECK (normalized_name <> ''),
  CONSTRAINT tags_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

-- Which files have which tags.
CREATE TABLE file_tags (
  file_id          TEXT NOT NULL,
  tag_id           INTEGER NOT NULL,
  profile_id       TEXT NOT NULL,  -- of both
  file_created_at  TEXT  -- of the file, for the index of its tag; triggers keep it
    CONSTRAINT file_tags_file_created_at
      CHECK (file_created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', file_created_at, '+0 days')),
  CONSTRAINT file_tags_pk PRIMARY KEY (file_id, tag_id),
  CONSTRAINT file_tags_file FOREIGN KEY (file_id, profile_id) REFERENCES files (id, profile_id) ON DELETE CASCADE,
  CONSTRAINT file_tags_tag FOREIGN KEY (tag_id, profile_id) REFERENCES tags (id, profile_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX file_tags_newest ON file_tags (tag_id, file_created_at DESC, file_id DESC);

-- Triggers for the reason of file_processing_place.
CREATE TRIGGER file_tags_place AFTER INSERT ON file_tags
BEGIN
  UPDATE file_tags
  SET file_created_at = (SELECT created_at FROM files WHERE id = NEW.file_id)
  WHERE file_id = NEW.file_id
    AND tag_id = NEW.tag_id;
END;

CREATE TRIGGER files_tags_place AFTER UPDATE OF created_at ON files
WHEN NEW.created_at IS NOT OLD.created_at
BEGIN
  UPDATE file_tags
  SET file_created_at = NEW.created_at
  WHERE file_id = NEW.id;
END;


-- A profile's preferences. Never secrets.
CREATE TABLE profile_settings (
  profile_id  TEXT NOT NULL,
  key         TEXT NOT NULL,
  value       TEXT NOT NULL,  -- any JSON
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT profile_settings_pk PRIMARY KEY (profile_id, key),
  CONSTRAINT profile_settings_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT profile_settings_value CHECK (json_valid(value)),
  CONSTRAINT profile_settings_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT, WITHOUT ROWID;


-- What a profile is to be told. One that has a progress_key is a stream: its row is written again and again.
CREATE TABLE notifications (
  id            INTEGER NOT NULL,
  profile_id    TEXT NOT NULL,
  type          TEXT NOT NULL,
  title         TEXT NOT NULL,
  message       TEXT NOT NULL DEFAULT '',
  progress_key  TEXT,
  progress      REAL,  -- in the application's own measure
  status        TEXT NOT NULL DEFAULT 'info',
  data          TEXT NOT NULL DEFAULT '{}',  -- JSON object
  is_read       INTEGER NOT NULL DEFAULT 0,
  created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  is_pinned     INTEGER NOT NULL DEFAULT 0  -- retention does not remove it
    CONSTRAINT notifications_is_pinned CHECK (is_pinned IN (0, 1)),
  CONSTRAINT notifications_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT notifications_stream UNIQUE (profile_id, progress_key),
  CONSTRAINT notifications_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT notifications_data CHECK (CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE 0 END),
  CONSTRAINT notifications_is_read CHECK (is_read IN (0, 1)),
  CONSTRAINT notifications_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT notifications_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX notifications_newest ON notifications (profile_id, updated_at DESC, id DESC);
CREATE INDEX notifications_unread ON notifications (profile_id, updated_at DESC, id DESC) WHERE NOT is_read;

-- A trigger, so that no way of writing lets them grow without end.
CREATE TRIGGER notifications_bounded AFTER INSERT ON notifications
BEGIN
  DELETE FROM notifications
  WHERE id IN (
      SELECT id
      FROM notifications
      WHERE profile_id = NEW.profile_id
      ORDER BY updated_at DESC, id DESC
      LIMIT -1 OFFSET 1000
    )
    AND NOT is_pinned;
END;


-- One person behind the speakers of many files.
CREATE TABLE known_people (
  id           INTEGER NOT NULL,
  profile_id   TEXT NOT NULL,
  name         TEXT NOT NULL,
  description  TEXT,
  created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT known_people_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT known_people_name UNIQUE (profile_id, name),
  -- What files refer to, so that theirs is a person of the same profile.
  CONSTRAINT known_people_of_profile UNIQUE (id, profile_id),
  CONSTRAINT known_people_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT known_people_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT known_people_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

-- A trigger, so that no way of renaming a person leaves speakers and suggestions with the old name.
CREATE TRIGGER known_people_rename AFTER UPDATE OF name ON known_people
WHEN NEW.name IS NOT OLD.name
BEGIN
  UPDATE speakers
  SET display_name = NEW.name
  WHERE person_id = NEW.id;
  UPDATE speakers
  SET suggested_name = NEW.name
  WHERE profile_id = NEW.profile_id
    AND suggested_name = OLD.name;
END;

-- Pictures and voices of people.
CREATE TABLE person_files (
  person_id   INTEGER NOT NULL,
  file_id     TEXT NOT NULL,
  profile_id  TEXT NOT NULL,  -- of both
  kind        TEXT NOT NULL,  -- the application's own word: picture, voice …
  CONSTRAINT person_files_pk PRIMARY KEY (person_id, file_id),
  CONSTRAINT person_files_person
    FOREIGN KEY (person_id, profile_id) REFERENCES known_people (id, profile_id) ON DELETE CASCADE,
  CONSTRAINT person_files_file FOREIGN KEY (file_id, profile_id) REFERENCES files (id, profile_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX person_files_by_file ON person_files (file_id);


-- Who speaks in a file: first a label that a machine gave, then a name.
CREATE TABLE speakers (
  id              INTEGER NOT NULL,
  profile_id      TEXT NOT NULL,
  file_id         TEXT NOT NULL,
  label           TEXT NOT NULL,  -- SPEAKER_00 …
  display_name    TEXT,
  suggested_name  TEXT,
  confidence      REAL,  -- in the suggestion, 0 to 1
  is_verified     INTEGER NOT NULL DEFAULT 0,  -- somebody gave the display_name
  created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  person_id       INTEGER  -- who it is; then display_name is the person's name
    CONSTRAINT speakers_person REFERENCES known_people (id) ON DELETE SET NULL,
  CONSTRAINT speakers_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT speakers_label UNIQUE (file_id, label),
  CONSTRAINT speakers_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT speakers_file FOREIGN KEY (file_id, profile_id) REFERENCES files (id, profile_id) ON DELETE CASCADE,
  CONSTRAINT speakers_confidence CHECK (confidence BETWEEN 0 AND 1),
  CONSTRAINT speakers_is_verified CHECK (is_verified IN (0, 1)),
  CONSTRAINT speakers_verified CHECK (NOT is_verified OR display_name IS NOT NULL),
  CONSTRAINT speakers_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT;

CREATE INDEX speakers_by_name ON speakers (profile_id, display_name, file_id);
CREATE INDEX speakers_by_person ON speakers (person_id, id DESC) WHERE person_id IS NOT NULL;
CREATE INDEX speakers_by_person_and_file ON speakers (person_id, file_id) WHERE person_id IS NOT NULL;
CREATE INDEX speakers_by_suggestion ON speakers (profile_id, suggested_name, confidence DESC, id)
  WHERE suggested_name IS NOT NULL;

-- Triggers, because a foreign key that is cleared with its person cannot have the profile in it.
CREATE TRIGGER speakers_person_insert BEFORE INSERT ON speakers
WHEN NEW.person_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'a speaker and its person are of the same profile')
  FROM known_people
  WHERE id = NEW.person_id
    AND profile_id <> NEW.profile_id;
END;

CREATE TRIGGER speakers_person_update BEFORE UPDATE OF person_id, profile_id ON speakers
WHEN NEW.person_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'a speaker and its person are of the same profile')
  FROM known_people
  WHERE id = NEW.person_id
    AND profile_id <> NEW.profile_id;
END;


-- What was said when, and by whom: thousands per file.
CREATE TABLE transcript_segments (
  id             INTEGER NOT NULL,
  transcript_id  TEXT NOT NULL,
  speaker_id     INTEGER,
  start_time     REAL NOT NULL,  -- seconds into the file
  end_time       REAL NOT NULL,
  text           TEXT NOT NULL,
  confidence     REAL,
  words          TEXT,  -- JSON array, as the recognizer gave it
  CONSTRAINT transcript_segments_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT transcript_segments_transcript
    FOREIGN KEY (transcript_id) REFERENCES transcripts (id) ON DELETE CASCADE,
  CONSTRAINT transcript_segments_speaker FOREIGN KEY (speaker_id) REFERENCES speakers (id) ON DELETE SET NULL,
  CONSTRAINT transcript_segments_times CHECK (start_time >= 0 AND end_time >= start_time),
  CONSTRAINT transcript_segments_words
    CHECK (CASE WHEN json_valid(words) THEN json_type(words) = 'array' ELSE words IS NULL END)
) STRICT;

-- end_time, so that looking for what is spoken at a moment reads no rows in vain.
CREATE INDEX transcript_segments_in_order ON transcript_segments (transcript_id, start_time, id, end_time);
CREATE INDEX transcript_segments_by_speaker ON transcript_segments (speaker_id, start_time, id)
  WHERE speaker_id IS NOT NULL;

-- Triggers, because a foreign key cannot look through the transcript to its file.
CREATE TRIGGER transcript_segments_speaker_insert BEFORE INSERT ON transcript_segments
WHEN NEW.speaker_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'a segment and its speaker are of the same file')
  FROM speakers
  CROSS JOIN transcripts
  WHERE transcripts.id = NEW.transcript_id
    AND speakers.id = NEW.speaker_id
    AND speakers.file_id <> transcripts.file_id;
END;

CREATE TRIGGER transcript_segments_speaker_update BEFORE UPDATE OF speaker_id, transcript_id ON transcript_segments
WHEN NEW.speaker_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'a segment and its speaker are of the same file')
  FROM speakers
  CROSS JOIN transcripts
  WHERE transcripts.id = NEW.transcript_id
    AND speakers.id = NEW.speaker_id
    AND speakers.file_id <> transcripts.file_id;
END;

-- The words of text, folded and set apart like those of videos_fts.
CREATE VIRTUAL TABLE transcript_segments_fts USING fts5 (
  text,
  tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co'"
);

-- Triggers for the reasons of videos_fts.
CREATE TRIGGER transcript_segments_fts_delete AFTER DELETE ON transcript_segments
BEGIN
  DELETE FROM transcript_segments_fts
  WHERE rowid = OLD.id;
END;

CREATE TRIGGER transcript_segments_fts_update AFTER UPDATE OF text ON transcript_segments
WHEN NEW.text IS NOT OLD.text
BEGIN
  DELETE FROM transcript_segments_fts
  WHERE rowid = OLD.id;
END;


-- A language model that a profile may use.
CREATE TABLE llm_configs (
  id              INTEGER NOT NULL,
  profile_id      TEXT NOT NULL,
  name            TEXT NOT NULL,
  provider        TEXT NOT NULL,
  model_name      TEXT NOT NULL,
  base_url        TEXT,
  max_tokens      INTEGER NOT NULL DEFAULT 8192,
  temperature     REAL NOT NULL DEFAULT 0.3,
  api_key         BLOB,  -- encrypted, and bound to this row
  test_status     TEXT NOT NULL DEFAULT 'untested',
  test_message    TEXT,
  last_tested_at  TEXT,
  created_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at      TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT llm_configs_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT llm_configs_name UNIQUE (profile_id, name),
  CONSTRAINT llm_configs_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT llm_configs_max_tokens CHECK (max_tokens > 0),
  CONSTRAINT llm_configs_temperature CHECK (temperature >= 0),
  CONSTRAINT llm_configs_test_status CHECK (test_status IN ('untested', 'success', 'failed')),
  CONSTRAINT llm_configs_tested CHECK ((last_tested_at IS NULL) = (test_status = 'untested')),
  CONSTRAINT llm_configs_last_tested_at
    CHECK (last_tested_at IS strftime('%Y-%m-%dT%H:%M:%fZ', last_tested_at, '+0 days')),
  CONSTRAINT llm_configs_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT llm_configs_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX llm_configs_newest ON llm_configs (profile_id, created_at DESC, id DESC);

-- Every try of a configuration against its provider.
CREATE TABLE llm_config_checks (
  id         INTEGER NOT NULL,
  config_id  INTEGER NOT NULL,
  status     TEXT NOT NULL,
  message    TEXT,
  tested_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT llm_config_checks_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT llm_config_checks_config FOREIGN KEY (config_id) REFERENCES llm_configs (id) ON DELETE CASCADE,
  CONSTRAINT llm_config_checks_status CHECK (status IN ('success', 'failed')),
  CONSTRAINT llm_config_checks_tested_at CHECK (tested_at IS strftime('%Y-%m-%dT%H:%M:%fZ', tested_at, '+0 days'))
) STRICT;

CREATE INDEX llm_config_checks_newest ON llm_config_checks (config_id, tested_at DESC, id DESC);


-- How a language model is asked for a summary.
CREATE TABLE summary_prompts (
  id            INTEGER NOT NULL,
  profile_id    TEXT,  -- NULL: the system's, for everybody
  name          TEXT NOT NULL,
  description   TEXT,
  content_type  TEXT NOT NULL DEFAULT 'general',
  prompt_text   TEXT NOT NULL,
  version       INTEGER NOT NULL DEFAULT 1,  -- one more with every change of prompt_text
  created_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at    TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT summary_prompts_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT summary_prompts_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT summary_prompts_content_type CHECK (content_type <> ''),
  CONSTRAINT summary_prompts_version CHECK (version >= 1),
  CONSTRAINT summary_prompts_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT summary_prompts_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX summary_prompts_by_type ON summary_prompts (profile_id, content_type, id);

-- Every text that a prompt has had, the current one included.
CREATE TABLE summary_prompt_versions (
  prompt_id    INTEGER NOT NULL,
  version      INTEGER NOT NULL,
  prompt_text  TEXT NOT NULL,
  created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT summary_prompt_versions_pk PRIMARY KEY (prompt_id, version),
  CONSTRAINT summary_prompt_versions_prompt
    FOREIGN KEY (prompt_id) REFERENCES summary_prompts (id) ON DELETE CASCADE,
  CONSTRAINT summary_prompt_versions_created_at
    CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days'))
) STRICT, WITHOUT ROWID;

-- Triggers, so that no way of changing a prompt loses a text. A change that forgets the version is refused: the key
-- of the version is taken.
CREATE TRIGGER summary_prompts_first_version AFTER INSERT ON summary_prompts
BEGIN
  INSERT INTO summary_prompt_versions (prompt_id, version, prompt_text, created_at)
  VALUES (NEW.id, NEW.version, NEW.prompt_text, NEW.created_at);
END;

CREATE TRIGGER summary_prompts_next_version AFTER UPDATE OF prompt_text ON summary_prompts
WHEN NEW.prompt_text IS NOT OLD.prompt_text
BEGIN
  INSERT INTO summary_prompt_versions (prompt_id, version, prompt_text, created_at)
  VALUES (NEW.id, NEW.version, NEW.prompt_text, NEW.updated_at);
END;


-- What a language model made of a file; each try is a version.
CREATE TABLE summaries (
  id             INTEGER NOT NULL,
  file_id        TEXT NOT NULL,
  profile_id     TEXT NOT NULL,
  version        INTEGER NOT NULL,
  prompt_id      INTEGER,
  provider       TEXT,
  model          TEXT,
  status         TEXT NOT NULL DEFAULT 'pending',
  content        TEXT,  -- JSON object
  error_message  TEXT,
  metadata       TEXT,  -- JSON object
  created_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  completed_at   TEXT,  -- the end, whichever it was
  CONSTRAINT summaries_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT summaries_version UNIQUE (file_id, version),
  CONSTRAINT summaries_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT summaries_file FOREIGN KEY (file_id, profile_id) REFERENCES files (id, profile_id) ON DELETE CASCADE,
  CONSTRAINT summaries_prompt FOREIGN KEY (prompt_id) REFERENCES summary_prompts (id) ON DELETE SET NULL,
  CONSTRAINT summaries_number CHECK (version >= 1),
  CONSTRAINT summaries_status CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
  CONSTRAINT summaries_completed CHECK ((completed_at IS NOT NULL) = (status IN ('completed', 'failed'))),
  CONSTRAINT summaries_has_content CHECK (status <> 'completed' OR content IS NOT NULL),
  CONSTRAINT summaries_content
    CHECK (CASE WHEN json_valid(content) THEN json_type(content) = 'object' ELSE content IS NULL END),
  CONSTRAINT summaries_metadata
    CHECK (CASE WHEN json_valid(metadata) THEN json_type(metadata) = 'object' ELSE metadata IS NULL END),
  CONSTRAINT summaries_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT summaries_completed_at CHECK (completed_at IS strftime('%Y-%m-%dT%H:%M:%fZ', completed_at, '+0 days'))
) STRICT;

CREATE INDEX summaries_by_profile ON summaries (profile_id);
CREATE INDEX summaries_by_prompt ON summaries (prompt_id) WHERE prompt_id IS NOT NULL;

-- The texts in content, folded and set apart like those of videos_fts.
CREATE VIRTUAL TABLE summaries_fts USING fts5 (
  content,
  tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co'"
);

-- Triggers for the reasons of videos_fts.
CREATE TRIGGER summaries_fts_delete AFTER DELETE ON summaries
BEGIN
  DELETE FROM summaries_fts
  WHERE rowid = OLD.id;
END;

CREATE TRIGGER summaries_fts_update AFTER UPDATE OF content ON summaries
WHEN NEW.content IS NOT OLD.content
BEGIN
  DELETE FROM summaries_fts
  WHERE rowid = OLD.id;
END;


-- Files that belong together, in an order of their own.
CREATE TABLE file_collections (
  id           INTEGER NOT NULL,
  profile_id   TEXT NOT NULL,
  name         TEXT NOT NULL,
  description  TEXT,
  color        TEXT,     -- as the application writes it
  prompt_id    INTEGER,  -- the summary prompt for its files; NULL: the profile's choice
  created_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT file_collections_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT file_collections_name UNIQUE (profile_id, name),
  -- What entries refer to, so that theirs is a collection of the file's profile.
  CONSTRAINT file_collections_of_profile UNIQUE (id, profile_id),
  CONSTRAINT file_collections_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT file_collections_prompt FOREIGN KEY (prompt_id) REFERENCES summary_prompts (id) ON DELETE SET NULL,
  CONSTRAINT file_collections_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT file_collections_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX file_collections_by_prompt ON file_collections (prompt_id) WHERE prompt_id IS NOT NULL;

-- Triggers, because a foreign key cannot say that the prompt is the profile's or the system's.
CREATE TRIGGER file_collections_prompt_insert BEFORE INSERT ON file_collections
BEGIN
  SELECT RAISE(ABORT, 'a collection has a prompt of its profile or of the system')
  FROM summary_prompts
  WHERE id = NEW.prompt_id
    AND profile_id <> NEW.profile_id;
END;

CREATE TRIGGER file_collections_prompt_update BEFORE UPDATE OF prompt_id, profile_id ON file_collections
BEGIN
  SELECT RAISE(ABORT, 'a collection has a prompt of its profile or of the system')
  FROM summary_prompts
  WHERE id = NEW.prompt_id
    AND profile_id <> NEW.profile_id;
END;

-- Which files a collection has, and where.
CREATE TABLE collection_files (
  collection_id  INTEGER NOT NULL,
  file_id        TEXT NOT NULL,
  profile_id     TEXT NOT NULL,  -- of both
  position       INTEGER NOT NULL,  -- with gaps, so that a move changes few rows
  added_at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT collection_files_pk PRIMARY KEY (file_id, collection_id),
  CONSTRAINT collection_files_collection
    FOREIGN KEY (collection_id, profile_id) REFERENCES file_collections (id, profile_id) ON DELETE CASCADE,
  CONSTRAINT collection_files_file
    FOREIGN KEY (file_id, profile_id) REFERENCES files (id, profile_id) ON DELETE CASCADE,
  CONSTRAINT collection_files_position CHECK (position > 0),
  CONSTRAINT collection_files_added_at CHECK (added_at IS strftime('%Y-%m-%dT%H:%M:%fZ', added_at, '+0 days'))
) STRICT, WITHOUT ROWID;

CREATE INDEX collection_files_in_order ON collection_files (collection_id, position, file_id);


-- What redacted segments had before: the segments have the masked text, so that nothing shows or finds the rest.
CREATE TABLE segment_originals (
  segment_id   INTEGER NOT NULL,
  text         TEXT NOT NULL,
  words        TEXT,           -- JSON array
  masked_text  TEXT NOT NULL,  -- what the segment had when it was redacted last; another text: it was edited since
  reason       TEXT,           -- the application's own word
  redacted_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT segment_originals_pk PRIMARY KEY (segment_id),
  CONSTRAINT segment_originals_segment
    FOREIGN KEY (segment_id) REFERENCES transcript_segments (id) ON DELETE CASCADE,
  CONSTRAINT segment_originals_words
    CHECK (CASE WHEN json_valid(words) THEN json_type(words) = 'array' ELSE words IS NULL END),
  CONSTRAINT segment_originals_redacted_at
    CHECK (redacted_at IS strftime('%Y-%m-%dT%H:%M:%fZ', redacted_at, '+0 days'))
) STRICT, WITHOUT ROWID;


-- What is made from files, may be made again, and need not be kept: proxies, strips of thumbnails, waveforms, previews.
CREATE TABLE derived_files (
  id             INTEGER NOT NULL,
  file_id        TEXT,           -- NULL: the file was deleted, and these bytes are to be unlinked
  kind           TEXT NOT NULL,  -- the application's own word
  parameters     TEXT NOT NULL DEFAULT '{}',  -- JSON object, its keys in order
  status         TEXT NOT NULL DEFAULT 'pending',
  path           TEXT,           -- where the bytes are, when it is ready
  size_bytes     INTEGER,
  error_message  TEXT,
  is_pinned      INTEGER NOT NULL DEFAULT 0,  -- not to be evicted
  created_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at     TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  last_used_at   TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  expires_at     TEXT,           -- from when it is evicted
  CONSTRAINT derived_files_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT derived_files_once UNIQUE (file_id, kind, parameters),
  -- SET NULL, because bytes whose row is gone would never be unlinked.
  CONSTRAINT derived_files_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE SET NULL,
  CONSTRAINT derived_files_kind CHECK (kind <> ''),
  CONSTRAINT derived_files_parameters
    CHECK (CASE WHEN json_valid(parameters) THEN json_type(parameters) = 'object' ELSE 0 END),
  CONSTRAINT derived_files_status CHECK (status IN ('pending', 'processing', 'ready', 'failed')),
  CONSTRAINT derived_files_bytes
    CHECK ((path IS NOT NULL) = (status = 'ready') AND (size_bytes IS NOT NULL) = (status = 'ready')),
  CONSTRAINT derived_files_size_bytes CHECK (size_bytes >= 0),
  CONSTRAINT derived_files_error CHECK (error_message IS NULL OR status = 'failed'),
  CONSTRAINT derived_files_is_pinned CHECK (is_pinned IN (0, 1)),
  CONSTRAINT derived_files_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT derived_files_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days')),
  CONSTRAINT derived_files_last_used_at CHECK (last_used_at IS strftime('%Y-%m-%dT%H:%M:%fZ', last_used_at, '+0 days')),
  CONSTRAINT derived_files_expires_at CHECK (expires_at IS strftime('%Y-%m-%dT%H:%M:%fZ', expires_at, '+0 days'))
) STRICT;

CREATE INDEX derived_files_unfinished ON derived_files (status, created_at, id)
  WHERE status = 'pending' OR status = 'processing';
-- In the order in which they are evicted, the last one first.
CREATE INDEX derived_files_by_use ON derived_files (is_pinned DESC, last_used_at DESC, id DESC, size_bytes)
  WHERE status = 'ready';
-- Of deleted files.
CREATE INDEX derived_files_without_file ON derived_files (status) WHERE file_id IS NULL;


-- What profiles write about a file, or about a moment of it; and answers to it.
CREATE TABLE file_comments (
  id          INTEGER NOT NULL,
  file_id     TEXT NOT NULL,
  profile_id  TEXT NOT NULL,  -- the author; the file may be another profile's
  parent_id   INTEGER,        -- the comment that this one answers
  at_seconds  REAL,           -- seconds into the file; NULL: about the whole file
  text        TEXT NOT NULL,
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  -- What answers refer to, so that theirs is a comment on the same file. Before the primary key for the reason of
  -- files_of_profile.
  CONSTRAINT file_comments_of_file UNIQUE (id, file_id),
  CONSTRAINT file_comments_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT file_comments_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE,
  CONSTRAINT file_comments_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT file_comments_parent
    FOREIGN KEY (parent_id, file_id) REFERENCES file_comments (id, file_id) ON DELETE CASCADE,
  CONSTRAINT file_comments_not_own_parent CHECK (parent_id <> id),
  CONSTRAINT file_comments_at_seconds CHECK (at_seconds >= 0),
  CONSTRAINT file_comments_reply_has_no_time CHECK (parent_id IS NULL OR at_seconds IS NULL),
  CONSTRAINT file_comments_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT file_comments_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX file_comments_by_file ON file_comments (file_id, parent_id, at_seconds, id);
CREATE INDEX file_comments_replies ON file_comments (parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX file_comments_by_profile ON file_comments (profile_id, id DESC);

-- Triggers, because a foreign key cannot say what the parent must not have.
CREATE TRIGGER file_comments_parent_insert BEFORE INSERT ON file_comments
WHEN NEW.parent_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'an answer is to a comment, not to another answer')
  FROM file_comments
  WHERE id = NEW.parent_id
    AND parent_id IS NOT NULL;
END;

CREATE TRIGGER file_comments_parent_update BEFORE UPDATE OF parent_id ON file_comments
WHEN NEW.parent_id IS NOT NULL
BEGIN
  SELECT RAISE(ABORT, 'an answer is to a comment, not to another answer')
  WHERE EXISTS (SELECT 1 FROM file_comments WHERE id = NEW.parent_id AND parent_id IS NOT NULL)
    OR EXISTS (SELECT 1 FROM file_comments WHERE parent_id = NEW.id);
END;


-- A named moment, or a section when it has an end, of a file or of a project.
CREATE TABLE time_markers (
  id          INTEGER NOT NULL,
  file_id     TEXT,
  project_id  INTEGER,
  start_time  REAL NOT NULL,  -- seconds into the file, or on the project's timeline
  end_time    REAL,
  label       TEXT NOT NULL,
  color       TEXT,           -- as the application writes it
  data        TEXT,           -- JSON object, the application's own
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT time_markers_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT time_markers_file FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE,
  CONSTRAINT time_markers_project FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
  CONSTRAINT time_markers_of_one CHECK ((file_id IS NULL) <> (project_id IS NULL)),
  CONSTRAINT time_markers_times CHECK (start_time >= 0 AND (end_time IS NULL OR end_time >= start_time)),
  CONSTRAINT time_markers_data
    CHECK (CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE data IS NULL END),
  CONSTRAINT time_markers_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT time_markers_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

CREATE INDEX time_markers_of_file ON time_markers (file_id, start_time, id) WHERE file_id IS NOT NULL;
CREATE INDEX time_markers_of_project ON time_markers (project_id, start_time, id) WHERE project_id IS NOT NULL;


-- Keys of services, passwords of shares, tokens: of profiles and of the application.
CREATE TABLE secrets_store (
  id          INTEGER NOT NULL,
  profile_id  TEXT,           -- NULL: the application's
  name        TEXT NOT NULL,
  kind        TEXT,           -- the application's own word
  value       BLOB NOT NULL,  -- encrypted, and bound to owner and name
  created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  updated_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  CONSTRAINT secrets_store_pk PRIMARY KEY (id AUTOINCREMENT),
  CONSTRAINT secrets_store_name UNIQUE (profile_id, name),
  CONSTRAINT secrets_store_profile FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE CASCADE,
  CONSTRAINT secrets_store_created_at CHECK (created_at IS strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '+0 days')),
  CONSTRAINT secrets_store_updated_at CHECK (updated_at IS strftime('%Y-%m-%dT%H:%M:%fZ', updated_at, '+0 days'))
) STRICT;

-- To a UNIQUE constraint, NULLs are different.
CREATE UNIQUE INDEX secrets_store_of_application ON secrets_store (name) WHERE profile_id IS NULL;


CREATE INDEX profiles_by_active_llm_config ON profiles (active_llm_config_id) WHERE active_llm_config_id IS NOT NULL;
CREATE INDEX profiles_by_active_summary_prompt ON profiles (active_summary_prompt_id)
  WHERE active_summary_prompt_id IS NOT NULL;

-- Triggers, because a foreign key cannot say whose the row must be.
CREATE TRIGGER profiles_own_choices_insert BEFORE INSERT ON profiles
BEGIN
  SELECT RAISE(ABORT, 'a profile chooses among its own language models')
  FROM llm_configs
  WHERE id = NEW.active_llm_config_id
    AND profile_id <> NEW.id;
  SELECT RAISE(ABORT, 'a profile chooses among its own prompts and the system''s')
  FROM summary_prompts
  WHERE id = NEW.active_summary_prompt_id
    AND profile_id <> NEW.id;
END;

CREATE TRIGGER profiles_own_choices_update BEFORE UPDATE OF active_llm_config_id, active_summary_prompt_id ON profiles
BEGIN
  SELECT RAISE(ABORT, 'a profile chooses among its own language models')
  FROM llm_configs
  WHERE id = NEW.active_llm_config_id
    AND profile_id <> NEW.id;
  SELECT RAISE(ABORT, 'a profile chooses among its own prompts and the system''s')
  FROM summary_prompts
  WHERE id = NEW.active_summary_prompt_id
    AND profile_id <> NEW.id;
END;

-- Triggers, so that of a profile's language models there is always one that is active: the first to come, and after
-- the active one is deleted (the foreign key has then cleared the choice) the newest that is left.
CREATE TRIGGER llm_configs_first_is_active AFTER INSERT ON llm_configs
BEGIN
  UPDATE profiles
  SET active_llm_config_id = NEW.id
  WHERE id = NEW.profile_id
    AND active_llm_config_id IS NULL;
END;

CREATE TRIGGER llm_configs_next_is_active AFTER DELETE ON llm_configs
BEGIN
  UPDATE profiles
  SET active_llm_config_id = (
    SELECT id
    FROM llm_configs
    WHERE profile_id = OLD.profile_id
    ORDER BY created_at DESC, id DESC
    LIMIT 1
  )
  WHERE id = OLD.profile_id
    AND active_llm_config_id IS NULL;
END;


-- The last changes of rows of followed tables, 100,000 of them. Triggers that the library makes when a table is first
-- followed write them, so tables that are not followed cost nothing.
CREATE TABLE followed_changes (
  number      INTEGER NOT NULL,
  mark        INTEGER NOT NULL DEFAULT (random() & 65535),  -- tells it from one that gets the number after a power cut
  table_name  TEXT NOT NULL,
  kind        TEXT NOT NULL,  -- gap: the table was not followed before, or is not any more
  row_key     TEXT NOT NULL DEFAULT '[]',  -- JSON array of the primary key; []: of a gap
  profile_id  TEXT,           -- of the row, where its table has this column; it outlives the profile
  CONSTRAINT followed_changes_pk PRIMARY KEY (number AUTOINCREMENT),
  CONSTRAINT followed_changes_mark CHECK (mark BETWEEN 0 AND 65535),
  CONSTRAINT followed_changes_kind CHECK (kind IN ('insert', 'update', 'delete', 'gap')),
  CONSTRAINT followed_changes_row_key CHECK (json_valid(row_key))
) STRICT;

-- At most 99 more are kept.
CREATE TRIGGER followed_changes_bounded AFTER INSERT ON followed_changes
WHEN NEW.number % 100 = 0
BEGIN
  DELETE FROM followed_changes
  WHERE number <= NEW.number - 100000;
END;


-- Gathers nothing: it makes an empty table for statistics. Without one, an ANALYZE by another program would change
-- the schema, upon which all connections read what it has gathered; the library's statements are planned without.
ANALYZE sqlite_schema;

COMMIT;
