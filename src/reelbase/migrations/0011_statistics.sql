-- 11: another program's ANALYZE changes no schema, and a trigger reads its tables in the order in which they are written.

PRAGMA user_version = 11;


DROP TRIGGER transcript_segments_speaker_insert;
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

DROP TRIGGER transcript_segments_speaker_update;
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


-- Gathers nothing: it makes an empty table for statistics. Without one, an ANALYZE by another program would change
-- the schema, upon which all connections read what it has gathered; the library's statements are planned without.
ANALYZE sqlite_schema;
