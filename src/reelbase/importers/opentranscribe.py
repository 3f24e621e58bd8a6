"""OpenTranscribe (v362, May 2026, and later): transcripts of recordings, with accounts.

Its PostgreSQL database comes as the plain text of a pg_dump, or as SQLite tables of the same names.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import groupby

from reelbase.importers.api_keys import decrypted
from reelbase.importers.conversion import Application, Conversion, Shape
from reelbase.importers.rules import (
    Row,
    at_least,
    clamped,
    file_name,
    flag,
    integer,
    json_array,
    moment,
    optional_moment,
    real,
    span,
    text,
    valued,
)
from reelbase.importers.values import (
    flag_of,
    integer_of,
    is_uuid,
    json_of,
    json_text,
    made_id,
    raw_json,
    real_of,
    uuid_of,
)
from reelbase.operations.transfer.format import Value
from reelbase.repositories.llm_configs import place_of_key
from reelbase.repositories.tags import normalized

TABLES = {
    "user": Shape(
        "id uuid email",
        "full_name role is_active auth_type created_at",
        ignored="hashed_password is_superuser updated_at ldap_uid keycloak_id pki_subject_dn"
        " password_hash_version password_changed_at must_change_password last_login_at account_expires_at"
        " banner_acknowledged_at pki_serial_number pki_issuer_dn pki_organization pki_organizational_unit"
        " pki_common_name pki_not_before pki_not_after pki_fingerprint_sha256 allow_local_fallback"
        " keycloak_refresh_token oidc_id oidc_refresh_token",
    ),
    "media_file": Shape(
        "id uuid filename storage_path user_id status",
        "file_size duration upload_time completed_at content_type is_public language summary_data"
        " summary_opensearch_id summary_status translated_text file_hash thumbnail_path metadata_raw"
        " metadata_important waveform_data media_format codec frame_rate frame_count resolution_width"
        " resolution_height aspect_ratio audio_channels audio_sample_rate audio_bit_depth creation_date"
        " last_modified_date device_make device_model title author description source_url"
        " task_started_at task_last_update retry_count max_retries last_error_message recovery_attempts"
        " error_category whisper_model diarization_model embedding_mode asr_provider asr_model"
        " diarization_provider diarization_disabled requested_whisper_model imohash",
        ignored="active_task_id cancellation_requested force_delete_eligible last_recovery_attempt"
        " upload_batch_id summary_schema_version",
    ),
    "speaker_profile": Shape(
        "id user_id name",
        "description created_at updated_at",
        no_column=("predicted_gender, predicted_age_range", "avatar_path"),
        ignored="uuid embedding_count last_embedding_update source_cluster_id",
        is_optional=True,
    ),
    "speaker": Shape(
        "id user_id media_file_id name",
        "profile_id display_name suggested_name verified confidence created_at",
        no_column=(
            "predicted_gender, predicted_age_range, attribute_confidence, gender_confirmed_by_user",
            "cluster_id",
        ),
        ignored="uuid computed_status status_text status_color resolved_display_name suggestion_source"
        " attributes_predicted_at",
    ),
    "transcript_segment": Shape(
        "id media_file_id start_time end_time text",
        "speaker_id words confidence",
        no_column=("is_overlap, overlap_group_id, overlap_confidence",),
        ignored="uuid",
    ),
    "tag": Shape(
        "id name", "user_id created_at", no_column=("source",), ignored="uuid normalized_name"
    ),
    "file_tag": Shape(
        "id media_file_id tag_id",
        no_column=("source, ai_confidence",),
        ignored="uuid created_at",
    ),
    "summary_prompt": Shape(
        "id name prompt_text",
        "description user_id is_active content_type created_at updated_at",
        no_column=("is_shared, tags, usage_count",),
        ignored="uuid is_system_default shared_at",
    ),
    "collection": Shape(
        "id user_id name",
        "description default_summary_prompt_id created_at updated_at",
        no_column=("is_public", "source"),
        ignored="uuid",
        is_optional=True,
    ),
    "collection_member": Shape(
        "id collection_id media_file_id",
        "added_at",
        no_column=("source, ai_confidence",),
        ignored="uuid",
        is_optional=True,
    ),
    "comment": Shape(
        "id media_file_id user_id text", "timestamp created_at", ignored="uuid", is_optional=True
    ),
    "user_llm_settings": Shape(
        "id user_id name provider model_name",
        "api_key base_url max_tokens temperature last_tested test_status test_message created_at updated_at",
        no_column=("is_shared",),
        ignored="uuid is_active shared_at",
    ),
    "user_setting": Shape(
        "id user_id setting_key setting_value", "updated_at", ignored="uuid created_at"
    ),
    "system_settings": Shape(
        "id key value", "updated_at", no_column=("description",), is_optional=True
    ),
    "task": Shape(
        "id user_id task_type status",
        "media_file_id progress created_at updated_at completed_at error_message",
    ),
}

# Tables of credentials: counted, and not written anywhere.
NEVER = frozenset(
    {
        "auth_config",
        "auth_config_audit",
        "password_history",
        "password_reset_token",
        "refresh_token",
        "upload_session",
        "user_certificate_preferences",
        "user_mfa",
    }
)

FILES = {
    "name": file_name("filename"),
    "path": file_name("storage_path"),
    "type": lambda row: (row.text("content_type") or "").split("/")[0] or None,
    "origin": lambda row: "download" if row["source_url"] else "upload",
    "size_bytes": at_least(0, integer("file_size"), "media_file.file_size < 0 → NULL"),
    "content_type": text("content_type"),
    "content_hash": lambda row: (row.text("file_hash") or "").removeprefix("0x") or None,
    "source_url": text("source_url"),
    "created_at": moment("upload_time", "completed_at"),
}

ZERO = "media_info 0 → NULL"

MEDIA_INFO = {
    "title": text("title"),
    "author": text("author"),
    "description": text("description"),
    "container": text("media_format"),
    "duration": at_least(0, real("duration"), "media_file.duration < 0 → NULL"),
    "width": at_least(1, integer("resolution_width"), ZERO),
    "height": at_least(1, integer("resolution_height"), ZERO),
    "audio_channels": at_least(1, integer("audio_channels"), ZERO),
    "audio_sample_rate": at_least(1, integer("audio_sample_rate"), ZERO),
    "audio_bit_depth": at_least(1, integer("audio_bit_depth"), ZERO),
    "recorded_at": optional_moment("creation_date"),
    "device_make": text("device_make"),
    "device_model": text("device_model"),
}

# What media_info keeps in its metadata, under the old names.
METADATA_JSON = ("metadata_raw", "metadata_important")
METADATA_FLAGS = ("is_public", "diarization_disabled")
METADATA = (
    "thumbnail_path",
    "aspect_ratio",
    "frame_count",
    "whisper_model",
    "asr_provider",
    "asr_model",
    "diarization_model",
    "diarization_provider",
    "embedding_mode",
    "requested_whisper_model",
    "imohash",
    "translated_text",
    "last_modified_date",
    "summary_opensearch_id",
)

FILE_PROCESSING = {
    "error_message": text("last_error_message"),
    "error_category": text("error_category"),
    "retry_count": at_least(0, integer("retry_count", 0), "media_file.retry_count < 0 → 0", 0),
    "max_retries": at_least(0, integer("max_retries", 3), "media_file.max_retries < 0 → 3", 3),
    "recovery_attempts": at_least(
        0, integer("recovery_attempts", 0), "media_file.recovery_attempts < 0 → 0", 0
    ),
    "started_at": optional_moment("task_started_at"),
    "heartbeat_at": optional_moment("task_last_update"),
    "completed_at": optional_moment("completed_at"),
    "updated_at": moment("task_last_update", "completed_at", "task_started_at", "upload_time"),
}

# What a restart makes of a file that was being worked on.
RESTARTED = {"downloading": "orphaned", "processing": "orphaned", "cancelling": "cancelled"}
STATUSES = ("pending", "queued", "completed", "error", "cancelled", "orphaned")

KNOWN_PEOPLE = {
    "id": integer("id"),
    "name": text("name"),
    "description": text("description"),
    "created_at": moment("created_at", "updated_at"),
    "updated_at": moment("updated_at", "created_at"),
}

SPEAKERS = {
    "id": integer("id"),
    "label": text("name"),
    "display_name": lambda row: row.text("display_name") or None,
    "suggested_name": lambda row: row.text("suggested_name") or None,
    "confidence": clamped("confidence", 0, 1, may_be_null=True),
    "is_verified": flag("verified"),
    "created_at": moment("created_at"),
}

SEGMENTS = {
    "id": integer("id"),
    "text": text("text"),
    "confidence": real("confidence"),
    "words": json_array("words"),
}
SPAN = ("segment start < 0 → 0", "segment start/end swapped")

SUMMARY_PROMPTS = {
    "id": integer("id"),
    "name": text("name"),
    "description": text("description"),
    "prompt_text": text("prompt_text"),
    "created_at": moment("created_at", "updated_at"),
    "updated_at": moment("updated_at", "created_at"),
}

COLLECTIONS = {
    "id": integer("id"),
    "name": text("name"),
    "description": text("description"),
    "created_at": moment("created_at", "updated_at"),
    "updated_at": moment("updated_at", "created_at"),
}

COMMENTS = {
    "id": integer("id"),
    "at_seconds": at_least(0, real("timestamp"), "comment.timestamp < 0 → 0", 0.0),
    "text": text("text"),
    "created_at": moment("created_at"),
    "updated_at": moment("created_at"),
}

LLM_CONFIGS = {
    "id": integer("id"),
    "name": text("name"),
    "model_name": text("model_name"),
    "base_url": text("base_url"),
    "max_tokens": at_least(1, integer("max_tokens", 8192), "max_tokens < 1 → 8192", 8192),
    "test_message": text("test_message"),
    "last_tested_at": optional_moment("last_tested"),
    "created_at": moment("created_at", "updated_at"),
    "updated_at": moment("updated_at", "created_at"),
}

CONFIG = {
    "key": text("key"),
    "value": lambda row: json_text(row.text("value")),
    "updated_at": moment("updated_at"),
}

JOBS = {
    "type": text("task_type"),
    "progress": clamped("progress", 0, 1),
    "error": text("error_message"),
    "created_at": moment("created_at", "updated_at", "completed_at"),
    "updated_at": moment("updated_at", "completed_at", "created_at"),
}

_CHOICES = {
    "active_llm_config_id": "active_llm_config_id",
    "active_summary_prompt_id": "active_summary_prompt_id",
}
_NO_KEY = "api_key (needs their ENCRYPTION_KEY and our Secrets; else entered again)"
_WRONG_KEY = "api_key that their ENCRYPTION_KEY does not decrypt"
_SPEAKERS_OF_FILES = (
    "summary_prompt of type speaker_identification (as 'general' it could be chosen for summaries)"
)


class _Person:
    """A person that was imported. owner: its profile."""

    def __init__(self, id: Value, owner: str, name: str) -> None:
        self.id = id
        self.owner = owner
        self.name = name


class _File:
    """A file that was imported. owner: its profile."""

    def __init__(self, id: str, owner: str, language: str | None, created_at: Value) -> None:
        self.id = id
        self.owner = owner
        self.language = language
        self.created_at = created_at


def convert(conversion: Conversion) -> None:
    """Users, their files, and the rows that refer to the files; at last their choices."""
    _Conversion(conversion).run()


class _Conversion:
    """The rows of earlier tables that later tables need, by their old ids.

    profiles: the ids of users.  files: the ids of media files.  speakers: the file of each speaker.
    choices: the rows that a profile may choose, each with its owner; None: everybody's.
    """

    def __init__(self, conversion: Conversion) -> None:
        self._conversion = conversion
        self._profiles: dict[Value, str] = {}
        self._files: dict[Value, _File] = {}
        self._speakers: dict[Value, _File] = {}
        self._choices: dict[str, dict[Value, str | None]] = {name: {} for name in _CHOICES}

    def run(self) -> None:
        conversion = self._conversion
        for row in conversion.rows("user"):
            self._user(row)
        for row in conversion.rows("media_file"):
            self._media_file(row)
        people = self._people()
        for row in conversion.rows("speaker"):
            self._speaker(row, people)
        self._segments()
        _Tags(conversion, self._profiles, self._files).run()
        for row in conversion.rows("summary_prompt"):
            self._summary_prompt(row)
        self._collections()
        for row in conversion.rows("comment"):
            self._comment(row)
        for row in conversion.rows("user_llm_settings"):
            self._llm_config(row)
        for row in conversion.rows("user_setting"):
            self._setting(row)
        conversion.copy("system_settings", "config", CONFIG)
        for row in conversion.rows("task"):
            self._task(row)
        conversion.count_on("speaker_profile", "known_people")
        conversion.count_on("collection", "file_collections")
        conversion.count_on("comment", "file_comments")
        conversion.count_on("speaker", "speakers")
        conversion.count_on("transcript_segment", "transcript_segments")
        conversion.count_on("summary_prompt", "summary_prompts")
        conversion.count_on("user_llm_settings", "llm_configs")
        conversion.note(
            "older versions of summaries are in OpenSearch only: each file has its newest one, as version 1"
        )

    def _owner(self, row: Row) -> str:
        """The profile of a row; of a deleted user a text that refers to nothing."""
        return self._profiles.get(row["user_id"], f"user {row.text('user_id')} is gone")

    def _user(self, row: Row) -> None:
        profile = uuid_of(row["uuid"], "profiles")
        created = moment("created_at")(row)
        if not self._conversion.store(row, "profiles", {"id": profile, "created_at": created}):
            return
        assert profile is not None
        self._profiles[row["id"]] = profile
        account = {name: row.text(name) for name in ("email", "full_name", "role", "auth_type")}
        setting = {
            "profile_id": profile,
            "key": "imported.user",
            "value": json_text({**account, "is_active": bool(flag_of(row["is_active"]))}),
            "updated_at": row.now,
        }
        self._conversion.store(row, "profile_settings", setting)

    def _media_file(self, row: Row) -> None:
        id, owner = uuid_of(row["uuid"], "files"), self._owner(row)
        file = {"id": id, "profile_id": owner, **valued(FILES, row)}
        if not self._conversion.store(row, "files", file):
            return
        assert id is not None
        if not is_uuid(row["uuid"]):
            row.adjust("media_file.uuid is no UUID: a new one")
            row.new_id("files", id)
        processing = self._processing(row)
        created = processing["completed_at"] or file["created_at"]
        self._files[row["id"]] = _File(id, owner, row.text("language"), created)
        self._conversion.store(row, "media_info", {"file_id": id, **_media_info(row)})
        self._conversion.store(row, "file_processing", {"file_id": id, **processing})
        if summary := _summary(row):
            values = {
                "file_id": id,
                "profile_id": owner,
                "version": 1,
                **summary,
                "created_at": created,
                "completed_at": created,
            }
            self._conversion.store(row, "summaries", values)

    def _processing(self, row: Row) -> dict[str, Value]:
        processing = valued(FILE_PROCESSING, row)
        status = row.word("status", "media_file.status in capitals") or "pending"
        if status in RESTARTED:
            row.adjust(f"media_file {status} → {RESTARTED[status]}")
            status = RESTARTED[status]
        elif status not in STATUSES:
            row.adjust("media_file.status is unknown → orphaned")
            processing["error_message"] = processing["error_message"] or f"status was {status!r}"
            status = "orphaned"
        if status == "completed" and processing["completed_at"] is None:
            row.adjust("completed without completed_at → upload_time")
            processing["completed_at"] = moment("upload_time")(row)
        elif status != "completed" and processing["completed_at"] is not None:
            self._conversion.lose(row, "completed_at of what did not complete")
            processing["completed_at"] = None
        return {**processing, "status": status, "progress": float(status == "completed")}

    def _people(self) -> dict[Value, _Person]:
        """The people, by the ids of their speaker profiles; profiles of one name and owner are one person."""
        people: dict[Value, _Person] = {}
        by_name: dict[tuple[str, str], _Person] = {}
        for row in self._conversion.rows("speaker_profile"):
            owner, person = self._owner(row), valued(KNOWN_PEOPLE, row)
            name = row.text("name") or ""
            same = by_name.get((owner, name))
            if same is not None:
                row.adjust("speaker profiles of one name: one person")
                people[row["id"]] = same
            elif self._conversion.store(row, "known_people", {"profile_id": owner, **person}):
                people[row["id"]] = by_name[owner, name] = _Person(person["id"], owner, name)
        return people

    def _speaker(self, row: Row, people: dict[Value, _Person]) -> None:
        file = self._files.get(row["media_file_id"])
        if file is None:
            self._conversion.reject(row, "file is gone")
            return
        if self._owner(row) != file.owner:
            self._conversion.reject(row, "of another user than the file's")
            return
        speaker = {"profile_id": file.owner, "file_id": file.id, **valued(SPEAKERS, row)}
        person = people.get(row["profile_id"])
        if person is not None and person.owner != file.owner:
            row.adjust("speaker's profile is another user's → its name only")
        name = None if person is None else person.name
        if speaker["is_verified"] and speaker["display_name"] is None:
            became = "the profile's name" if name else "not verified"
            row.adjust(f"speaker verified without a name → {became}")
            speaker |= {"display_name": name or None, "is_verified": int(bool(name))}
        elif name and not speaker["display_name"] and not speaker["suggested_name"]:
            row.adjust("speaker without a name: the profile's name suggested")
            speaker["suggested_name"] = name
        if person is not None and person.owner == file.owner and speaker["is_verified"]:
            if speaker["display_name"] != person.name:
                row.adjust("speaker named otherwise than its profile → the profile's name")
            speaker |= {"person_id": person.id, "display_name": person.name}
        if self._conversion.store(row, "speakers", speaker):
            self._speakers[row["id"]] = file

    def _segments(self) -> None:
        """Imports segments, file by file: each file that has some gets a transcript of their texts."""
        conversion = self._conversion
        rows = conversion.rows("transcript_segment", "media_file_id", "start_time", "id")
        for media_file, segments in groupby(rows, key=lambda row: row["media_file_id"]):
            file = self._files.get(media_file)
            transcript = None if file is None else made_id("transcripts", file.id)
            texts: list[str] = []
            for row in segments:
                if file is None or transcript is None:
                    conversion.reject(row, "file is gone")
                    continue
                if not texts:
                    values = {
                        "id": transcript,
                        "profile_id": file.owner,
                        "file_id": file.id,
                        "text": "",  # known when the last segment is
                        "language": file.language,
                        "created_at": file.created_at,
                    }
                    conversion.store(row, "transcripts", values)
                if self._segment(row, transcript, file):
                    texts.append(row.text("text") or "")
            if texts:
                conversion.refer("transcripts", transcript, "text", "\n".join(texts))

    def _segment(self, row: Row, transcript: str, file: _File) -> bool:
        segment = {"transcript_id": transcript, **valued(SEGMENTS, row)}
        segment["start_time"], segment["end_time"] = span(row, "start_time", "end_time", SPAN)
        segment["speaker_id"] = speaker = row["speaker_id"]
        if speaker is not None and self._speakers.get(speaker) is not file:
            row.adjust("segment's speaker is gone or of another file → NULL")
            segment["speaker_id"] = None
        return self._conversion.store(row, "transcript_segments", segment)

    def _summary_prompt(self, row: Row) -> None:
        kind = row.text("content_type")
        if kind == "speaker_identification":
            self._conversion.lose(row, _SPEAKERS_OF_FILES)
            return
        if row["is_active"] is not None and not flag_of(row["is_active"]):
            self._conversion.lose(row, "summary_prompt that was switched off")
            return
        if not kind:
            row.adjust(f"summary_prompt.content_type {kind} → general")
            kind = "general"
        owner = None if row["user_id"] is None else self._owner(row)
        prompt = {"profile_id": owner, "content_type": kind, **valued(SUMMARY_PROMPTS, row)}
        if not self._conversion.store(row, "summary_prompts", prompt):
            return
        first = {
            "prompt_id": prompt["id"],
            "version": 1,
            "prompt_text": prompt["prompt_text"],
            "created_at": prompt["created_at"],
        }
        self._conversion.store(row, "summary_prompt_versions", first)
        self._choices["active_summary_prompt_id"][prompt["id"]] = owner

    def _collections(self) -> None:
        """Imports collections, and their files in the order in which they came."""
        owners: dict[Value, str] = {}
        for row in self._conversion.rows("collection"):
            owner = self._owner(row)
            collection = {"profile_id": owner, **valued(COLLECTIONS, row)}
            if self._conversion.store(
                row, "file_collections", {**collection, "prompt_id": self._prompt_of(row, owner)}
            ):
                owners[row["id"]] = owner
        for place, row in enumerate(self._conversion.rows("collection_member", "id"), 1):
            file, whose = self._files.get(row["media_file_id"]), owners.get(row["collection_id"])
            if file is None or whose is None:
                self._conversion.reject(row, f"{'collection' if file else 'file'} is gone")
            elif file.owner != whose:
                self._conversion.reject(row, "file of another user than the collection's")
            else:
                entry: dict[str, Value] = {
                    "collection_id": row["collection_id"],
                    "file_id": file.id,
                    "profile_id": whose,
                    "position": place * 1048576,
                    "added_at": moment("added_at")(row),
                }
                self._conversion.store(row, "collection_files", entry)

    def _prompt_of(self, row: Row, owner: str) -> Value:
        """The summary prompt of a collection: one of its owner or of all profiles."""
        prompt, prompts = (
            row["default_summary_prompt_id"],
            self._choices["active_summary_prompt_id"],
        )
        if prompt is None or (prompt in prompts and prompts[prompt] in (owner, None)):
            return prompt
        row.adjust("collection's prompt is gone or another user's → NULL")
        return None

    def _comment(self, row: Row) -> None:
        file = self._files.get(row["media_file_id"])
        if file is None:
            self._conversion.reject(row, "file is gone")
            return
        comment = {"file_id": file.id, "profile_id": self._owner(row), **valued(COMMENTS, row)}
        self._conversion.store(row, "file_comments", comment)

    def _llm_config(self, row: Row) -> None:
        owner = self._owner(row)
        config = {"profile_id": owner, **valued(LLM_CONFIGS, row)}
        config["provider"] = _provider(row)
        config["temperature"] = _temperature(row)
        status = row.word("test_status")
        config["test_status"] = status if status in ("success", "failed") else "untested"
        if config["test_status"] == "untested":
            config["last_tested_at"] = None
        elif config["last_tested_at"] is None:
            row.adjust("tested without a time → updated_at")
            config["last_tested_at"] = config["updated_at"]
        config["api_key"] = self._api_key(row, owner)
        if self._conversion.store(row, "llm_configs", config):
            self._choices["active_llm_config_id"][config["id"]] = owner

    def _api_key(self, row: Row, owner: str) -> bytes | None:
        """The API key under our secrets; None for none, or without both keys."""
        stored = row.text("api_key")
        if not stored:
            return None
        key, secrets = self._conversion.options.encryption_key, self._conversion.options.secrets
        if key is None or secrets is None:
            self._conversion.lose(row, _NO_KEY)
            return None
        plain = decrypted(stored, key)
        if plain is None:
            self._conversion.lose(row, _WRONG_KEY)
            return None
        return secrets.encrypt(plain, owner=owner, place=place_of_key(integer_of(row["id"])))

    def _setting(self, row: Row) -> None:
        owner, key = self._owner(row), row.text("setting_key")
        if key in _CHOICES:
            chosen = integer_of(row["setting_value"])
            if chosen is None and not row["setting_value"]:
                return  # there was no choice
            choices = self._choices[key]
            if chosen in choices and choices[chosen] in (owner, None):
                self._conversion.refer("profiles", owner, _CHOICES[key], chosen)
                self._conversion.count_imported("profiles.active_*")
            else:
                row.adjust("active choice points at nothing: dropped")
            return
        value = row.text("setting_value")
        found = json_of(value)
        if found is not None and isinstance(found.value, bool | int | float | dict | list):
            row.adjust("user_setting text read as JSON")
            value_as_json = found.text
        else:
            value_as_json = json_text(value)
        setting = {
            "profile_id": owner,
            "key": key,
            "value": value_as_json,
            "updated_at": moment("updated_at", "created_at")(row),
        }
        self._conversion.store(row, "profile_settings", setting)

    def _task(self, row: Row) -> None:
        """Imports a task as a job that has ended."""
        status = row.word("status")
        if status not in ("completed", "failed"):
            row.adjust(f"task {status} → failed")
        id = uuid_of(row["id"], "jobs")
        if id is not None and not is_uuid(row["id"]):
            row.adjust("task.id is no UUID: a new one")
            row.new_id("jobs", id)
        file = self._files.get(row["media_file_id"])
        has_succeeded = status == "completed"
        job = {
            "id": id,
            "profile_id": self._owner(row),
            **valued(JOBS, row),
            "status": "succeeded" if has_succeeded else "failed",
            "completed": int(has_succeeded),
            "params": json_text({} if file is None else {"file_id": file.id}),
        }
        job["finished_at"] = moment("completed_at", "updated_at", "created_at")(row)
        self._conversion.store(row, "jobs", job)


class _Tags:
    """Tags, which had no owner: each owner of a file that has one gets a copy.

    names: by old id, the name, its normal form and the time.  ids: by owner and normal form, the ids of
    the copies.
    """

    def __init__(
        self, conversion: Conversion, profiles: dict[Value, str], files: dict[Value, _File]
    ) -> None:
        self._conversion = conversion
        self._profiles = profiles
        self._files = files
        self._rows: dict[Value, tuple[Row, str]] = {}
        self._ids: dict[tuple[str, str], int] = {}
        self._owners: dict[Value, set[str]] = {}  # of each old tag
        self._links: set[tuple[str, int]] = set()

    def run(self) -> None:
        conversion = self._conversion
        for row in conversion.rows("tag"):
            if row["id"] in self._rows:
                conversion.reject(row, "its id is there twice")
                continue
            try:
                self._rows[row["id"]] = (row, normalized(row.text("name") or ""))
            except ValueError as error:
                conversion.reject(row, str(error))
        for row in conversion.rows("file_tag"):
            self._link(row)
        for id, (row, _) in self._rows.items():
            owner = self._profiles.get(row["user_id"]) if row["user_id"] is not None else None
            if owner is not None:
                self._tag_of(id, owner)
            elif id not in self._owners:
                conversion.lose(row, "tag without a file (no owner)")

    def _link(self, row: Row) -> None:
        file = self._files.get(row["media_file_id"])
        if file is None or row["tag_id"] not in self._rows:
            self._conversion.reject(row, "file is gone" if file is None else "tag is gone")
            return
        tag = self._tag_of(row["tag_id"], file.owner)
        if (file.id, tag) in self._links:
            row.adjust("file_tag twice after merging")
            return
        values: dict[str, Value] = {
            "file_id": file.id,
            "tag_id": tag,
            "profile_id": file.owner,
        }
        if self._conversion.store(row, "file_tags", values):
            self._links.add((file.id, tag))

    def _tag_of(self, old: Value, owner: str) -> int:
        """The owner's copy of a tag, which is made if there is none."""
        row, form = self._rows[old]
        owners = self._owners.setdefault(old, set())
        found = self._ids.get((owner, form))
        if found is None:
            found = self._ids[owner, form] = len(self._ids) + 1
            tag: dict[str, Value] = {
                "id": found,
                "profile_id": owner,
                "name": row.text("name"),
                "normalized_name": form,
                "created_at": moment("created_at")(row),
            }
            self._conversion.store(row, "tags", tag)
        elif owner not in owners:
            row.adjust("tags merged by spelling")
        owners.add(owner)
        return found


def _media_info(row: Row) -> dict[str, Value]:
    info = valued(MEDIA_INFO, row)
    has_picture = info["width"] is not None or (row.text("content_type") or "").startswith("video/")
    info["video_codec" if has_picture else "audio_codec"] = row.text("codec")
    info["frame_rate_num"], info["frame_rate_den"] = _frame_rate(row)
    info["metadata"] = _metadata(row)
    info["waveform"] = _waveform(row)
    return info


def _frame_rate(row: Row) -> tuple[int | None, int | None]:
    """The frame rate as a fraction: 29.97002997 is 30000/1001."""
    rate = real("frame_rate")(row)
    if not isinstance(rate, float):
        return None, None
    fraction = Fraction(rate).limit_denominator(1001)
    if not 0 < fraction.numerator < 2**31:
        row.adjust(ZERO)
        return None, None
    return fraction.numerator, fraction.denominator


def _metadata(row: Row) -> str:
    kept: dict[str, object] = {}
    for column in METADATA_JSON:
        found = json_of(row[column])
        if row[column] is not None and (found is None or found.value is not None):
            kept[column] = row.text(column) if found is None else found.value
    for column in METADATA_FLAGS:
        if row[column] is not None:
            kept[column] = bool(flag_of(row[column]))
    for column in METADATA:
        value = row[column]
        if value is not None:
            kept[column] = value if isinstance(value, int) else row.text(column)
    return json_text(kept)


def _waveform(row: Row) -> str | None:
    """The array, which OpenTranscribe stores under a name."""
    found = json_of(row["waveform_data"])
    value = found.value if found is not None else None
    array = value.get("waveform") if isinstance(value, dict) else value
    if isinstance(array, list):
        return json_text(array)
    if row["waveform_data"] is not None and value is not None:
        row.adjust("media_file.waveform_data is no waveform: dropped")
    return None


def _summary(row: Row) -> dict[str, Value] | None:
    """The status and the content of the summary; None if there is none."""
    data = row["summary_data"]
    found = json_of(data)
    if data is None or (found is not None and found.value is None):
        if row.word("summary_status") != "failed":
            return None
        return {"status": "failed", "content": None}
    if found is not None and isinstance(found.value, dict):
        return {"status": "completed", "content": found.text}
    row.adjust("summary_data is no object: wrapped")
    if found is None:
        return {"status": "completed", "content": raw_json(data)}
    name = "text" if isinstance(found.value, str) else "value"
    return {"status": "completed", "content": json_text({name: found.value})}


def _provider(row: Row) -> str | None:
    provider = row.word("provider")
    if provider == "claude":
        row.adjust("provider claude → anthropic")
        return "anthropic"
    return provider


def _temperature(row: Row) -> float:
    temperature = real_of(row["temperature"])
    if temperature is None:
        row.adjust("temperature is no number → 0.3")
        return 0.3
    if temperature < 0:
        row.adjust("temperature < 0 → 0")
        return 0.0
    return temperature


OPENTRANSCRIBE = Application("opentranscribe", "", TABLES, convert, never=NEVER)
