-- 32: a journal of the rows of followed tables.

PRAGMA user_version = 32;


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
