"""Promises about databases of any other application, which a mapping describes."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from commands import run
from old_databases import digest, read_back, rejects, rows_of

import reelbase
from reelbase import InvalidArgumentError, SchemaError
from reelbase.importers.map_file import import_mapped

README = Path(reelbase.__file__).parent / "importers" / "README.md"
SHELF = """
CREATE TABLE person (login TEXT PRIMARY KEY, password TEXT, joined TEXT, shoe_size INTEGER);
CREATE TABLE film (
  number INTEGER PRIMARY KEY, owner TEXT, title TEXT, file TEXT, kind TEXT, original INTEGER, bytes INTEGER,
  added TEXT, changed TEXT, seconds REAL
);
CREATE TABLE review (film INTEGER, text TEXT);
INSERT INTO person VALUES ('ann', 'x', '2020-01-01 10:00:00+02', 38), ('bob', 'y', NULL, NULL);
INSERT INTO film VALUES
  (1, 'ann', 'short', 's.mkv', 'movie', 2, -5, NULL, '2021-01-01', 60),
  (2, 'ann', 'long', 'l.mkv', 'movie', NULL, 10, '2020-05-05T05:05:05Z', NULL, 3600.5),
  (3, 'bob', NULL, 'b.mp3', 'song', NULL, NULL, 'soon', NULL, -1),
  (4, 'cleo', 'gone', 'g.mkv', 'text', NULL, 1, NULL, NULL, NULL);
INSERT INTO review VALUES (1, 'good');
"""


def example() -> str:
    found = re.search(r"```toml\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    path = tmp_path / "shelf.db"
    with closing(sqlite3.connect(path)) as native:
        native.executescript(SHELF)
    return path


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    path = tmp_path / "mapping.toml"
    path.write_text(example(), "utf-8")
    return path


@pytest.mark.long
def test_the_example_of_the_readme_imports_a_shelf(
    shelf: Path, mapping: Path, tmp_path: Path
) -> None:
    before = shelf.read_bytes()
    report = asyncio.run(import_mapped(mapping, shelf, tmp_path / "new.db"))
    assert shelf.read_bytes() == before
    assert report.read == {"person": 2, "film": 4}
    assert report.imported == {"profiles": 2, "files": 3, "media_info": 3, "job_references": 0}
    assert report.rejected == {"film: FOREIGN KEY constraint failed": 1}
    assert report.no_home == {"person.shoe_size": 1, "table review": 1}
    assert report.adjusted == {
        "film.number is no UUID: a new one (uuid5)": 4,
        "film: type movie → video": 2,
        "film: type song → audio": 1,
        "film: name missing → untitled": 1,
        "film: size_bytes < 0 → NULL": 1,
        "film: duration < 0 → NULL": 1,
        "film.added is no time: dropped": 1,
    }
    found = read_back(tmp_path / "new.db")
    assert (found["profiles"], found["files"], found["media_info"]) == (2, 3, 3)
    sql = """
        SELECT files.name, files.type, files.origin, source.name, files.size_bytes, files.created_at
        FROM files LEFT JOIN files AS source ON source.id = files.source_file_id
        WHERE files.profile_id = 'ann' ORDER BY files.name
    """
    assert rows_of(tmp_path / "new.db", sql) == [
        ("long", "video", "shelf", None, 10, "2020-05-05T05:05:05.000Z"),
        ("short", "video", "shelf", "long", None, "2021-01-01T00:00:00.000Z"),
    ]


@pytest.mark.long
def test_credentials_and_ignored_values_are_written_nowhere(
    shelf: Path, mapping: Path, tmp_path: Path
) -> None:
    asyncio.run(import_mapped(mapping, shelf, tmp_path / "new.db"))
    lines = rejects(tmp_path / "new.db")
    assert [line["row"]["password"] for line in lines if line["table"] == "person"] == [
        "(not written)"
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('to = "files"', 'to = "fils"', "there is no such table; there are audit_log"),
        ('profile_id = "owner"', 'profil = "owner"', "no columns profil; there are id, profile_id"),
        ('profile_id = "owner"', "", "the columns profile_id need a rule"),
        ('rule = "integer"', 'rule = "whole"', "whole"),
        ('{ value = "shelf" }', "{}", 'column origin needs "from" or "value"'),
        ('name = "shelf"', 'nam = "shelf"', "nam"),
        ('name = "shelf"', "name =", "mapping.toml"),
    ],
)
def test_a_mapping_that_is_wrong_is_refused_before_anything_is_made(
    old: str, new: str, problem: str, shelf: Path, mapping: Path, tmp_path: Path
) -> None:
    mapping.write_text(example().replace(old, new, 1), "utf-8")
    with pytest.raises(InvalidArgumentError, match=problem):
        asyncio.run(import_mapped(mapping, shelf, tmp_path / "new.db"))
    assert sorted(digest(tmp_path)) == ["mapping.toml", "shelf.db"]


def test_a_database_that_lacks_what_the_mapping_names_is_refused(
    shelf: Path, mapping: Path, tmp_path: Path
) -> None:
    mapping.write_text(example().replace('"seconds"', '"length"'), "utf-8")
    with pytest.raises(SchemaError, match=r"of shelf: film\.length"):
        asyncio.run(import_mapped(mapping, shelf, tmp_path / "new.db"))


@pytest.mark.long
def test_the_command_imports_by_a_mapping(
    shelf: Path, mapping: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.db"
    assert run("import", "--from-sqlite", shelf, "--map", mapping, new) == 1
    assert f"see {new}.rejects.ndjson" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ("--from-sqlite", "old.db", "new.db"),
        ("--map", "mapping.toml", "new.db"),
        ("--from-sqlite", "old.db", "--map", "mapping.toml", "new.db", "further.db"),
    ],
)
def test_the_command_says_what_it_needs(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("import", *arguments) == 2
    assert "write --from-sqlite OLD --map FILE NEW" in capsys.readouterr().err
