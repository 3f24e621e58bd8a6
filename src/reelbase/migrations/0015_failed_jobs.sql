-- 15: pages of failed and cancelled jobs cost the same beside any number of succeeded ones.

PRAGMA user_version = 15;


CREATE INDEX jobs_failed ON jobs (profile_id, status, created_at, id)
  WHERE parent_id IS NULL AND status IN ('failed', 'cancelled');
CREATE INDEX jobs_failed_of_all ON jobs (status, created_at, id)
  WHERE parent_id IS NULL AND status IN ('failed', 'cancelled');
