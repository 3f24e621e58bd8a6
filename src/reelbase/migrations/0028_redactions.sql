-- 28: parts of segments that are not to be read.

PRAGMA user_version = 28;


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
