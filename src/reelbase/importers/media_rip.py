"""media-rip (April 2026): a downloader of videos, with sessions and without accounts."""

from __future__ import annotations

from reelbase.importers.conversion import Application, Conversion, Shape
from reelbase.importers.rules import (
    Row,
    at_least,
    clamped,
    file_name,
    integer,
    json_setting,
    masked,
    moment,
    optional_moment,
    own_uuid,
    text,
    valued,
)
from reelbase.importers.values import moment_of, text_of_value
from reelbase.operations.transfer.format import Value
from reelbase.repositories.credentials import text_without_credentials, url_without_credentials
from reelbase.repositories.error_log import domain_of, error_without_credentials

TABLES = {
    "sessions": Shape("id created_at last_seen"),
    "jobs": Shape(
        "id session_id url status created_at",
        "format_id quality output_template filename filesize progress_percent speed eta error_message"
        " started_at completed_at media_type output_format",
    ),
    "config": Shape("key value", "updated_at", is_optional=True),
    "unsupported_urls": Shape("id url", "session_id error created_at", is_optional=True),
    "error_log": Shape(
        "id url error", "domain format_id media_type session_id created_at", is_optional=True
    ),
}

SESSIONS = {
    "id": text("id"),
    "created_at": moment("created_at", "last_seen"),
    "last_seen": moment("last_seen", "created_at"),
}

DOWNLOADS = {
    "id": own_uuid("downloads", "jobs.id is no UUID: a new one (uuid5)"),
    "session_id": text("session_id"),
    "url": text("url"),
    "format_id": text("format_id"),
    "quality": text("quality"),
    "output_template": text("output_template"),
    "filename": file_name("filename"),
    "filesize": at_least(0, integer("filesize"), "jobs.filesize < 0 → NULL"),
    "progress_percent": clamped("progress_percent", 0, 100),
    "speed": text("speed"),
    "eta": text("eta"),
    "error_message": text("error_message"),
    "created_at": moment("created_at", "started_at", "completed_at"),
    "started_at": optional_moment("started_at"),
    "completed_at": optional_moment("completed_at"),
    "media_type": text("media_type"),
    "output_format": text("output_format"),
}

CONFIG = {
    "key": text("key"),
    "value": json_setting("value", "config.value is no JSON: kept as text/null"),
    "updated_at": moment("updated_at"),
}

UNSUPPORTED_URLS = {
    "id": integer("id"),
    "url": masked("url", url_without_credentials),
    "session_id": text("session_id"),
    "error": masked("error", text_without_credentials),
    "created_at": moment("created_at"),
}

ERROR_LOG = {
    "id": integer("id"),
    "url": masked("url", url_without_credentials),
    "domain": masked("url", domain_of),
    "error": masked("error", error_without_credentials),
    "format_id": text("format_id"),
    "media_type": text("media_type"),
    "session_id": text("session_id"),
    "created_at": moment("created_at"),
}

_UNFINISHED = ("queued", "extracting", "downloading")
_CREDENTIALS = ("admin_password_hash", "api_key")


def convert(conversion: Conversion) -> None:
    """Sessions before their downloads; then settings and logs, which refer to nothing."""
    sessions = dict.fromkeys(
        row.text("id")
        for row in conversion.rows("sessions")
        if conversion.store(row, "sessions", valued(SESSIONS, row))
    )
    dead = len(sessions) - _make_missing_sessions(conversion, sessions)
    for row in conversion.rows("jobs"):
        download = valued(DOWNLOADS, row)
        if not _end(row, download):
            conversion.reject(row, f"status {row['status']!r} is unknown")
        else:
            conversion.store(row, "downloads", download)
    conversion.copy("config", "config", CONFIG)
    conversion.copy("unsupported_urls", "unsupported_urls", UNSUPPORTED_URLS)
    conversion.copy("error_log", "error_log", ERROR_LOG)
    if dead:
        conversion.note(
            f"{dead} sessions without a download came along;"
            " `reelbase purge --sessions --older-than 30d` deletes them"
        )
    if any(row["key"] in _CREDENTIALS for row in conversion.peek("config")):
        conversion.note(
            "config holds admin_password_hash or api_key, as the old database did: the application needs"
            " them, and backups of the new database hold them, too"
        )


def _make_missing_sessions(conversion: Conversion, sessions: dict[str | None, None]) -> int:
    """Makes the sessions that downloads name and that are gone (the open mode never had any).

    Returns how many of the sessions that were there have a download.
    """
    used: set[str | None] = set()
    missing: dict[str | None, tuple[Row, list[str]]] = {}
    for row in conversion.peek("jobs"):
        session = text_of_value(row["session_id"])
        used.add(session)
        if session is not None and session not in sessions:
            times = [moment_of(row[name]) for name in ("created_at", "started_at", "completed_at")]
            known = missing.setdefault(session, (row, []))[1]
            known += [time for time in times if time is not None]
            known[:] = [min(known), max(known)] if known else []
    for session, (row, known) in missing.items():
        first, last = (known[0], known[-1]) if known else (conversion.now, conversion.now)
        values = {"id": session, "created_at": first, "last_seen": last}
        if conversion.store(row, "sessions", values):
            row.adjust("session row made for jobs without one")
    return len(used & sessions.keys())


def _end(row: Row, download: dict[str, Value]) -> bool:
    """Sets the status and the end that a download would have after a restart. False: it is unknown."""
    status = row.word("status", "jobs.status in capitals")
    if status in _UNFINISHED:
        row.adjust(f"jobs {status} → failed 'interrupted'")
        download |= {"status": "failed", "error_message": "interrupted by server restart"}
    elif status == "expired":
        ended = "completed" if download["filename"] else "failed"
        row.adjust(f"jobs expired → {ended}")
        download["status"] = ended
    elif status == "failed" and download["error_message"] == "Cancelled by user":
        row.adjust("jobs failed 'Cancelled by user' → cancelled")
        download["status"] = "cancelled"
    elif status in ("completed", "failed", "cancelled"):
        download["status"] = status
    else:
        return False
    if download["status"] == "completed":
        download |= {"speed": None, "eta": None}
    if download["completed_at"] is None:
        row.adjust("jobs.completed_at missing → started_at or created_at")
        download["completed_at"] = download["started_at"] or download["created_at"]
    return True


MEDIA_RIP = Application("media-rip", "", TABLES, convert)
