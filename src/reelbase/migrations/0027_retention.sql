-- 27: files, generations and notifications can be pinned, so that retention does not remove them.

PRAGMA user_version = 27;


ALTER TABLE files ADD COLUMN is_pinned INTEGER NOT NULL DEFAULT 0
  CONSTRAINT files_is_pinned CHECK (is_pinned IN (0, 1));

CREATE INDEX files_pinned ON files (profile_id, created_at DESC, id DESC) WHERE is_pinned;


ALTER TABLE generations ADD COLUMN is_pinned INTEGER NOT NULL DEFAULT 0
  CONSTRAINT generations_is_pinned CHECK (is_pinned IN (0, 1));

CREATE INDEX generations_pinned ON generations (created_at DESC, id DESC) WHERE is_pinned;


ALTER TABLE notifications ADD COLUMN is_pinned INTEGER NOT NULL DEFAULT 0
  CONSTRAINT notifications_is_pinned CHECK (is_pinned IN (0, 1));

DROP TRIGGER notifications_bounded;
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
