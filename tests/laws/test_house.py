"""The house: which room may know which, and what every module keeps to. Arrows point downward only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import reelbase
from reelbase.catalogue import Catalogue, _Attribute

PACKAGE = Path(reelbase.__file__).parent

# Each room, and the rooms that it may import from.  src/README.md says what each is for.
DATA = {"errors", "file_names", "record", "statements"}
SEAM = DATA | {"secrets", "executor"}
ON_THE_THREAD = DATA | {"events", "native"}
ON_THE_FILE = ON_THE_THREAD | {"file"}
ARROWS: dict[str, set[str]] = {
    "file_names": set(),
    "record_schema": {"file_names"},
    "record": {"record_schema"},  # when pydantic asks
    "errors": {"file_names"},
    "statements": {"errors", "file_names"},
    "events": {"record"},
    "ids": DATA,
    "secrets": DATA,
    "executor": DATA | {"secrets"},
    "repository": SEAM,
    "native": DATA | {"events"},
    "file": ON_THE_THREAD,
    "schema": ON_THE_FILE,
    "copies": ON_THE_FILE | {"schema"},
    "maintenance": ON_THE_FILE | {"schema", "copies"},
    "threads": ON_THE_FILE | SEAM | {"schema", "copies", "maintenance"},
    "raw_sql": SEAM | {"threads"},
    "live": ON_THE_FILE | {"threads", "schema"},
}
# They know statements and no connection, so that another engine could run them.
KNOW_NO_SQLITE = {
    "file_names",
    "record",
    "errors",
    "events",
    "statements",
    "ids",
    "secrets",
    "executor",
    "repository",
}


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Full names: of a module, or of what is taken out of it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path: Path) -> str:
    """The room of a module of the engine, or of errors."""
    inside = path.relative_to(PACKAGE / "engine" if "engine" in path.parts else PACKAGE)
    return inside.parts[0].removesuffix(".py")


def room_imported(name: str) -> str | None:
    found = re.match(r"reelbase\.(?:engine\.)?(\w+)", name)
    return found[1] if found else None


ENGINE = [*modules(PACKAGE / "engine"), PACKAGE / "errors.py"]


def against_the_arrows(paths: list[Path], arrows: dict[str, set[str]]) -> list[str]:
    found = []
    for path in paths:
        room = room_of(path)
        if room == "__init__":
            continue
        for name in imports(path):
            imported = room_imported(name)
            if imported is not None and imported != room and imported not in arrows[room]:
                found.append(f"{path.relative_to(PACKAGE)} imports {name}")
    return found


def test_every_room_of_the_engine_is_on_the_plan() -> None:
    assert {room_of(path) for path in ENGINE} - {"__init__"} == set(ARROWS)


def test_arrows_point_downward() -> None:
    assert against_the_arrows(ENGINE, ARROWS) == []


def test_the_plan_has_no_circle() -> None:
    rooms, order = dict(ARROWS), []
    while rooms:
        free = [room for room, below in rooms.items() if not below & rooms.keys()]
        assert free, f"a circle among {sorted(rooms)}"
        order += free
        for room in free:
            del rooms[room]


def test_no_two_modules_import_each_other() -> None:
    known = {
        ".".join(("reelbase", *path.relative_to(PACKAGE).with_suffix("").parts)): path
        for path in modules(PACKAGE)
    }
    edges = {
        module: {
            name if name in known else name.rpartition(".")[0]
            for name in at_import(path)
            if name in known or name.rpartition(".")[0] in known
        }
        - {module}
        for module, path in known.items()
    }
    while leaves := [module for module, below in edges.items() if not below & edges.keys()]:
        for module in leaves:
            del edges[module]
    assert sorted(edges) == []


def at_import(path: Path) -> Iterator[str]:
    """What a module imports when it is imported: not what is for type checkers, nor inside functions."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", sorted(KNOW_NO_SQLITE))
def test_data_and_seam_know_no_sqlite(room: str) -> None:
    for path in ENGINE:
        if room_of(path) == room:
            for name in imports(path):
                assert not re.match(r"(sqlite3|aiosqlite)\b", name), path


def test_only_one_module_executes_statements() -> None:
    """SQL of a repository runs nowhere else. The cursor of a stream stays open between two batches."""
    executing = [
        path.relative_to(PACKAGE / "engine").as_posix()
        for path in ENGINE
        if re.search(r"\bexecute(?:many)?\([\w.]*statement\.sql\b", path.read_text("utf-8"))
    ]
    assert executing == ["native/run.py", "threads/stream.py"]


def test_the_command_line_imports_no_engine() -> None:
    for path in modules(PACKAGE / "cli"):
        for name in imports(path):
            assert not name.startswith("reelbase.engine"), (path, name)


def test_every_attribute_of_the_catalogue_has_a_module_of_its_name() -> None:
    folder = PACKAGE / "repositories"
    entities = [name for name, value in vars(Catalogue).items() if isinstance(value, _Attribute)]
    assert entities
    assert [
        name
        for name in entities
        if not (folder / f"{name}.py").exists() and not (folder / name / "__init__.py").exists()
    ] == []


def test_a_wrong_arrow_is_found() -> None:
    """What these tests are worth."""
    native = PACKAGE / "engine" / "native" / "run.py"
    arrows = ARROWS | {"native": ARROWS["native"] - {"statements"}}
    assert any("engine.statements" in line for line in against_the_arrows([native], arrows))


# The modules for web frameworks and what they share: each, and the modules that may import it.
DOORS: dict[str, set[str]] = {
    "web": {"fastapi", "litestar", "starlette"},
    "starlette": {"fastapi"},
    "fastapi": set(),
    "litestar": set(),
}


def test_a_framework_is_known_to_its_module_alone() -> None:
    """So that nothing is imported, and nothing need be installed, but what an application asks for."""
    for path in modules(PACKAGE):
        module = path.relative_to(PACKAGE).with_suffix("").as_posix()
        for name in imports(path):
            top, _, rest = name.partition(".")
            if top in DOORS:
                assert module == top, (path, name)
            elif top == "opentelemetry":
                assert module == "telemetry", (path, name)
            elif top.startswith("pydantic"):
                assert module == "engine/record_schema", (path, name)
            elif top == "reelbase" and (door := rest.partition(".")[0]) in DOORS:
                assert module in DOORS[door], (path, name)


def test_the_modules_for_web_frameworks_import_no_engine() -> None:
    for door in (*DOORS, "telemetry"):
        names = list(imports(PACKAGE / f"{door}.py"))
        assert names
        assert not [name for name in names if name.startswith("reelbase.engine")]
