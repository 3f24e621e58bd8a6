-- 7: a file knows which database it is, whatever its name and wherever it lies.

PRAGMA user_version = 7;


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
