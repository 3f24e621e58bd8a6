"""Promises about OpenTranscribe: its dumps, its API keys, and what later versions have added."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from commands import run
from old_databases import (
    EXPECTED,
    SECRETS,
    counts,
    imported,
    old_database,
    read_back,
    rejects,
    rows_of,
)

import reelbase
from reelbase.importers.dump import load_dump

# The key and the API keys under it are made up.
ENCRYPTION_KEY = base64.b64encode(b"reelbase importer test key 32 b.").decode()


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    folder = tmp_path / "old"
    folder.mkdir()
    return old_database("opentranscribe", folder)


@pytest.fixture
def tables(dump: Path) -> Path:
    """The dump as tables of SQLite."""
    path = dump.with_suffix(".db")
    with closing(sqlite3.connect(path, isolation_level=None)) as native:
        load_dump(dump, native, lambda rows: None)
    return path


def keys_of(path: Path) -> list[str | None]:
    async def read() -> list[str | None]:
        async with reelbase.connect(path, secrets=SECRETS) as database:
            ids = await database.fetch_all(tuple, "SELECT id FROM llm_configs ORDER BY id")
            return [await database.llm_configs.api_key(id) for (id,) in ids]

    return asyncio.run(read())


def test_tables_of_sqlite_give_the_same_as_the_dump(tables: Path, tmp_path: Path) -> None:
    report = imported(tables, tmp_path / "new.db")
    assert counts(report) == EXPECTED["opentranscribe"]


@pytest.mark.long
def test_api_keys_come_along_where_both_keys_are_given(dump: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.db"
    report = imported(dump, new, encryption_key=ENCRYPTION_KEY, secrets=SECRETS)
    assert keys_of(new) == ["sk-ant-test-0001", None, "sk-legacy-0002", None]
    assert report.no_home["api_key that their ENCRYPTION_KEY does not decrypt"] == 1


@pytest.mark.long
@pytest.mark.parametrize("options", [{}, {"encryption_key": ENCRYPTION_KEY}, {"secrets": SECRETS}])
def test_without_both_keys_no_api_key_comes_along(
    options: dict[str, Any], dump: Path, tmp_path: Path
) -> None:
    report = imported(dump, tmp_path / "new.db", **options)
    assert keys_of(tmp_path / "new.db") == [None] * 4
    assert sum(number for what, number in report.no_home.items() if what.startswith("api_key")) == 3


@pytest.mark.long
def test_the_command_takes_both_keys_from_files(
    dump: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, ours, new = tmp_path / "theirs", tmp_path / "ours", tmp_path / "new.db"
    theirs.write_text(f"{ENCRYPTION_KEY}\n")
    ours.write_bytes(b"k" * 32)
    arguments = ("import", "--from", "opentranscribe", dump, new, "--encryption-key-file", theirs)
    assert run(*arguments) == 2
    assert "both --encryption-key-file and --secret-file" in capsys.readouterr().err
    assert run(*arguments, "--secret-file", theirs) == 2
    assert "a key must be 32 bytes" in capsys.readouterr().err
    assert run(*arguments, "--secret-file", ours) == 1
    assert keys_of(new) == ["sk-ant-test-0001", None, "sk-legacy-0002", None]


def test_credentials_are_in_neither_file(dump: Path, tmp_path: Path) -> None:
    imported(dump, tmp_path / "new.db")
    written = (
        (tmp_path / "new.db").read_bytes(),
        Path(f"{tmp_path}/new.db.rejects.ndjson").read_bytes(),
    )
    for secret in (b"$2b$12$adm", b"$2b$old", b"v3:secret", b"v3:xxxx", b"v3:p", b"xKYoQwhPfDmz"):
        assert not any(secret in content for content in written), secret
    never = [line for line in rejects(tmp_path / "new.db") if line["table"] == "user_mfa"]
    assert [set(line["row"]) for line in never] == [{"id", "reason"}]


def test_a_transcript_has_the_texts_of_its_segments_in_order(dump: Path, tmp_path: Path) -> None:
    imported(dump, tmp_path / "new.db")
    texts = rows_of(
        tmp_path / "new.db",
        "SELECT text FROM transcripts WHERE text LIKE '%Segment 1%' AND language = 'en'",
    )
    ((text,),) = texts
    assert text.splitlines()[0].startswith("第0回")
    assert len(text.splitlines()) == 6
    ids = rows_of(tmp_path / "new.db", "SELECT id FROM transcript_segments ORDER BY id")
    assert [id for (id,) in ids] == [*range(1, 7), *range(121, 128)]


def test_ids_go_on_where_the_sequences_of_the_dump_were(dump: Path, tmp_path: Path) -> None:
    content = dump.read_text("utf-8")
    sequence = "SELECT pg_catalog.setval('public.speaker_id_seq', 7, true);"
    assert sequence in content
    dump.write_text(content.replace(sequence, sequence.replace("7", "70")), "utf-8")
    imported(dump, tmp_path / "new.db")
    counter = "SELECT seq FROM sqlite_sequence WHERE name = 'speakers'"
    assert rows_of(tmp_path / "new.db", counter) == [(70,)]


def test_tags_that_have_an_owner_stay_with_it(tables: Path, tmp_path: Path) -> None:
    """As later versions have them: NULL is a tag of the system's."""
    with closing(sqlite3.connect(tables)) as native:
        native.execute("ALTER TABLE tag ADD COLUMN user_id INTEGER")
        native.execute("UPDATE tag SET user_id = 2 WHERE name = 'unused'")
        native.commit()
    report = imported(tables, tmp_path / "new.db")
    assert "tag without a file (no owner)" not in report.no_home
    owner = "SELECT profile_id FROM tags WHERE name = 'unused'"
    assert rows_of(tmp_path / "new.db", owner) == [("795b929e-9a9a-40fd-aa7b-5bf55eb561a4",)]


@pytest.mark.long
def test_tables_and_columns_of_later_versions_have_no_home(tables: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tables)) as native:
        native.executescript(
            """
            CREATE TABLE chat_message (id INTEGER, text TEXT);
            INSERT INTO chat_message VALUES (1, 'hello');
            ALTER TABLE media_file ADD COLUMN organization_id INTEGER;
            UPDATE media_file SET organization_id = 9 WHERE id = 1;
            ALTER TABLE user ADD COLUMN oidc_refresh_token TEXT;
            ALTER TABLE user ADD COLUMN new_session_token TEXT;
            UPDATE user SET oidc_refresh_token = 'sesame-1', new_session_token = 'sesame-2';
            DROP TABLE upload_session;
            """
        )
    report = imported(tables, tmp_path / "new.db")
    assert report.no_home["table chat_message"] == report.no_home["media_file.organization_id"] == 1
    assert b"sesame" not in Path(f"{tmp_path}/new.db.rejects.ndjson").read_bytes()
    assert read_back(tmp_path / "new.db")["files"] == 12


@pytest.mark.parametrize(
    ("encoding", "codec"), [("LATIN1", "latin-1"), ("WIN1252", "cp1252"), ("UTF8", "utf-8")]
)
def test_a_dump_is_read_in_its_encoding(encoding: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / "old.sql"
    text = (
        f"SET client_encoding = '{encoding}';\n"
        'CREATE TABLE public."user" (\n    id integer NOT NULL,\n    "a b" text,\n    flags boolean[],\n'
        "    data bytea,\n    ok boolean,\n    big numeric(20,0)\n);\n\n"
        'COPY public."user" (id, "a b", flags, data, ok, big) FROM stdin;\n'
        "1\té\\tb\\\\n\\x41\\101\\b\t{t,f}\t\\\\x00ff\tt\t12345678901234567890\n"
        "2\t\\N\t\\N\t\\N\tf\t\\N\n"
        "\\.\n"
        "COPY other.thing (id) FROM stdin;\n1\n\\.\n"
    )
    path.write_bytes(text.encode(codec))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as native:
        load_dump(path, native, lambda rows: None)
        assert native.execute('SELECT * FROM "user"').fetchall() == [
            (1, "é\tb\\nAA\b", "{t,f}", b"\x00\xff", 1, "12345678901234567890"),
            (2, None, None, None, 0, None),
        ]
        assert native.execute('SELECT id FROM "other.thing"').fetchall() == [("1",)]


def changed(tables: Path, script: str) -> None:
    with closing(sqlite3.connect(tables)) as native:
        native.executescript(script)


@pytest.mark.long
def test_people_collections_and_comments_come_along(dump: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.db"
    imported(dump, new)

    async def read() -> None:
        async with reelbase.connect(new) as database:
            ann, bob = await database.people.list_for_profile(
                "795b929e-9a9a-40fd-aa7b-5bf55eb561a4"
            )
            assert (ann.name, ann.description, ann.speaker_count) == ("Ann", "me", 1)
            suggested = await database.people.suggestions(bob.id)
            assert [speaker.suggested_name for speaker in suggested] == ["Bob"]
            collection = await database.collections.get(1)
            assert (collection.name, collection.prompt_id, collection.file_count) == ("Q1", 2, 1)
            (entry,) = await database.collections.page(1)
            assert entry.file.name == "standup.mp4"
            about_all, at_one = await database.comments.list_for_file(entry.file_id)
            assert (about_all.text, about_all.at_seconds) == ("general", None)
            assert (at_one.text, at_one.at_seconds) == ("check 👀 this", 65.5)
            assert (await database.people.add(ann.profile_id, "Cy")).id == 3

    asyncio.run(read())


@pytest.mark.long
def test_people_of_one_name_are_one_person(tables: Path, tmp_path: Path) -> None:
    changed(tables, "UPDATE speaker_profile SET name = 'Ann'; UPDATE speaker SET verified = 1;")
    report = imported(tables, tmp_path / "new.db")
    assert report.imported["known_people"] == 1
    assert report.adjusted["speaker profiles of one name: one person"] == 1
    tied = (
        "SELECT id, display_name, person_id FROM speakers WHERE person_id IS NOT NULL ORDER BY id"
    )
    assert rows_of(tmp_path / "new.db", tied) == [(1, "Ann", 1), (2, "Ann", 1)]


@pytest.mark.long
def test_a_tied_speaker_has_the_name_of_the_person(tables: Path, tmp_path: Path) -> None:
    changed(tables, "UPDATE speaker SET display_name = 'Annie' WHERE id = 1;")
    report = imported(tables, tmp_path / "new.db")
    rule = "speaker named otherwise than its profile → the profile's name"
    assert report.adjusted[rule] == 1
    tied = "SELECT display_name, person_id FROM speakers WHERE id = 1"
    assert rows_of(tmp_path / "new.db", tied) == [("Ann", 1)]


@pytest.mark.long
def test_a_speaker_is_not_tied_to_another_users_person(tables: Path, tmp_path: Path) -> None:
    changed(tables, "UPDATE speaker_profile SET user_id = 1 WHERE id = 1;")
    report = imported(tables, tmp_path / "new.db")
    assert report.adjusted["speaker's profile is another user's → its name only"] == 1
    tied = "SELECT display_name, person_id FROM speakers WHERE id = 1"
    assert rows_of(tmp_path / "new.db", tied) == [("Ann", None)]


@pytest.mark.long
def test_what_refers_to_nothing_is_rejected_or_cleared(tables: Path, tmp_path: Path) -> None:
    changed(
        tables,
        """
        UPDATE collection SET default_summary_prompt_id = 99;
        UPDATE collection_member SET collection_id = 9 WHERE id = 1;
        UPDATE collection_member SET media_file_id = 99 WHERE id = 2;
        UPDATE comment SET user_id = 99 WHERE id = 1;
        UPDATE comment SET media_file_id = 99 WHERE id = 2;
        """,
    )
    report = imported(tables, tmp_path / "new.db")
    assert report.adjusted["collection's prompt is gone or another user's → NULL"] == 1
    assert {
        what: number
        for what, number in report.rejected.items()
        if what.startswith(("collection", "comment"))
    } == {
        "collection_member: collection is gone": 1,
        "collection_member: file is gone": 1,
        "comment: FOREIGN KEY constraint failed": 1,
        "comment: file is gone": 1,
    }


@pytest.mark.long
def test_a_comment_before_the_beginning_is_at_the_beginning(tables: Path, tmp_path: Path) -> None:
    changed(tables, 'UPDATE comment SET "timestamp" = -3 WHERE id = 1;')
    report = imported(tables, tmp_path / "new.db")
    assert report.adjusted["comment.timestamp < 0 → 0"] == 1
    at = "SELECT at_seconds FROM file_comments WHERE id = 1"
    assert rows_of(tmp_path / "new.db", at) == [(0.0,)]


@pytest.mark.long
def test_a_database_without_these_tables_is_recognized(tables: Path, tmp_path: Path) -> None:
    changed(
        tables,
        "DROP TABLE collection_member; DROP TABLE collection; DROP TABLE comment;"
        "DROP TABLE speaker_profile;",
    )
    report = imported(tables, tmp_path / "new.db")
    assert report.application == "opentranscribe"
    assert "file_collections" not in report.imported
