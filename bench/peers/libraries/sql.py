"""The SQL of the peers whose users write it by hand: what the library's own statements do."""

from __future__ import annotations

from typing import Any

from bench.peers.interface import NewDownload

GET = """
SELECT
  id, session_id, url, status, format_id, quality, output_template, filename, filesize,
  progress_percent, speed, eta, error_message, created_at, started_at, completed_at
FROM downloads
WHERE id = ?
"""

NEWEST = """
SELECT
  id, session_id, url, status, format_id, quality, output_template, filename, filesize,
  progress_percent, speed, eta, error_message, created_at, started_at, completed_at
FROM downloads
ORDER BY created_at DESC, id DESC
LIMIT ?
"""

# Only when ADD has found that there is no session.
ENSURE_SESSION = """
INSERT INTO sessions (id, created_at, last_seen)
VALUES (?, ?, ?)
ON CONFLICT (id) DO NOTHING
"""

ADD = """
INSERT INTO downloads (id, session_id, url, status, format_id, quality, created_at)
VALUES (?, ?, ?, 'queued', ?, ?, ?)
"""

PROGRESS = """
UPDATE downloads
SET progress_percent = ?,
    speed = ?,
    eta = ?,
    started_at = coalesce(started_at, ?)
WHERE id = ?
  AND completed_at IS NULL
"""

SET_FILESIZE = """
UPDATE downloads
SET filesize = ?
WHERE id = ?
"""

CLAIM = """
UPDATE downloads
SET status = 'extracting',
    started_at = ?
WHERE id = (
    SELECT id
    FROM downloads
    WHERE session_id = ?
      AND status = 'queued'
    ORDER BY created_at, id
    LIMIT 1
  )
RETURNING
  id, session_id, url, status, format_id, quality, output_template, filename, filesize,
  progress_percent, speed, eta, error_message, created_at, started_at, completed_at
"""

TRANSCRIPT = """
SELECT id, profile_id, file_id, text, llm_explanation, language, created_at
FROM transcripts
WHERE id = ?
"""

FIRST_PAGE = """
SELECT id, transcript_id, speaker_id, start_time, end_time, text, confidence, words
FROM transcript_segments
WHERE transcript_id = ?
ORDER BY start_time, id
LIMIT ?
"""

NEXT_PAGE = """
SELECT id, transcript_id, speaker_id, start_time, end_time, text, confidence, words
FROM transcript_segments
WHERE transcript_id = ?
  AND (start_time, id) > (?, ?)
ORDER BY start_time, id
LIMIT ?
"""


def parameters(new: NewDownload, now: str) -> tuple[Any, ...]:
    """Of ADD."""
    return (str(new.id), new.session_id, new.url, new.format_id, new.quality, now)
