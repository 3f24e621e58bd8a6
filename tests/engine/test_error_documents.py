"""Promises about what is written about errors: documented codes and kinds are those that occur, a method
that fails is called by its public name, and what a web answer may hold has no path in it."""

from __future__ import annotations

import ast
import contextlib
import inspect
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints
from uuid import uuid4

import msgspec
import pytest
from samples import Owner, make_owner

import reelbase
from reelbase import Database, DatabaseError, DatabaseReadOnlyError, Repository, errors
from reelbase.catalogue import Catalogue
from reelbase.engine.file.open_files import Loss
from reelbase.engine.native import run as run_module
from reelbase.engine.native.errors import translate
from reelbase.engine.statements.step import Step
from reelbase.engine.threads import readers, writer
from reelbase.testing.factories import make_expendable, make_job

PACKAGE = Path(reelbase.__file__).parent
ERRORS = {
    name: error
    for name, error in vars(errors).items()
    if isinstance(error, type) and issubclass(error, DatabaseError)
}
KINDS = ("unique", "foreign_key", "check", "not_null")
# The codes that are no literals where the error is made.
VARIABLE = {"self.code": get_args(get_type_hints(Loss)["code"])}
NEW_GENERATION = reelbase.NewGeneration("p", "m", 1.0, 44_100, 2, "f")
NEW_VIDEO = reelbase.NewVideo("a", "b", 1.0, 25, 1, 2, 2)
TREES = {path: ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}


def constructions() -> Iterator[tuple[str, ast.Call]]:
    """Every place of the package that makes an error: the name of its class and the call."""
    for tree in TREES.values():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id in ERRORS:
                yield node.func.id, node


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((each.value for each in call.keywords if each.arg == name), None)


def codes_that_occur() -> dict[str, set[str]]:
    """By class, the codes that it is made with and that are not its own."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, call in constructions():
        code = keyword(call, "code")
        if code is not None:
            if isinstance(code, ast.Constant):
                found[name].add(str(code.value))
            else:
                found[name].update(VARIABLE[ast.unparse(code)])
    found["DatabaseReadOnlyError"].add("read_only_file")  # translate() sets it
    return found


# Codes and kinds.


@pytest.mark.long
@pytest.mark.parametrize("name", ERRORS)
def test_the_codes_in_a_docstring_are_those_that_occur(name: str) -> None:
    documented = re.findall(r"``([a-z][a-z_]*)``", inspect.getdoc(ERRORS[name]) or "")
    assert len(documented) == len(set(documented))
    assert set(documented) == codes_that_occur()[name]


def test_every_class_has_a_code_of_its_own() -> None:
    codes = [error.code for error in ERRORS.values()]
    assert len(set(codes)) == len(codes)
    assert set(codes).isdisjoint({code for found in codes_that_occur().values() for code in found})


def test_the_tree_of_errors_shows_each_class_with_its_status() -> None:
    drawn = dict(re.findall(r"── (\w+) +(\d+)", errors.__doc__ or ""))
    assert drawn == {
        name: str(error.http_status) for name, error in ERRORS.items() if error is not DatabaseError
    }


def docstrings() -> Iterator[tuple[str, str]]:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text and path.name != "errors.py":
                    where = f"{path.relative_to(PACKAGE)}: {getattr(node, 'name', '')}"
                    yield where, re.sub(r"\s+", " ", text)


@pytest.mark.long
def test_docstrings_call_a_kind_a_kind_and_a_code_a_code() -> None:
    """``kind`` stands before each kind, ``code`` or ``codes`` before a list of codes; all of them occur."""
    occurring = {error.code for error in ERRORS.values()}.union(*codes_that_occur().values())
    several = "|".join(sorted(code for code in occurring if "_" in code))
    a_list = r"\bcodes? (?:\w+(?:,? and |,? or |, )?)+"
    wrong = []
    for where, text in docstrings():
        found = [
            *re.findall(r"(?<!kind )\bforeign_key (?:when|for|while)\b", text),
            *re.findall(r"ConstraintError[:, (]+(?:unique|check)\b", text),
            *re.findall(rf"Error\b[^.]*?\b({several})\b", re.sub(a_list, "", text)),
        ]
        for said in re.findall(rf"Error:? \(?({a_list})", text):
            codes = re.split(r",? and |,? or |, | ", said.partition(" ")[2])
            found += [code for code in codes[:1] if code not in occurring]
        if found:
            wrong.append((where, found))
    assert wrong == [], "\n".join(map(str, wrong))


# Names.


async def arguments_of(method: Any, owner: Owner) -> dict[str, Any]:
    """Something of the right type for every parameter that has to be given."""
    known: dict[str, Any] = {
        **{name: getattr(owner, name) for name in ("profile_id", "file_id", "project_id")},
        **{"video_id": owner.video_id, "session_id": owner.session_id, "entity_id": 1},
        **{"status": "failed", "content_type": "general", "framerate_num": 25, "speaker_id": 1},
        **{"url": "https://example.org/a", "urls": ["https://example.org/a"], "entity_type": "x"},
        **{
            "names": ("a",),
            "keys": ("a",),
            "files": [reelbase.NewFile("a", "b")],
            "videos": [NEW_VIDEO],
            "generations": [NEW_GENERATION],
            "results": [(make_job(), None)],
            "expendable": [make_expendable()],
            "parts": [(0, 1)],
        },
        **{"segments": [reelbase.NewSegment(0, 1, "x")], "children": [{}], "time": 1.0},
        **{"older_than": timedelta(days=1), "transcript_id": uuid4(), "values": {"a": 1}},
        **{"type": "general", "frame": 3, "in_point": 0, "out_point": 5, "start_time": 0.0},
        **{"end_time": 1.0, "duration": 400, "framerate_den": 1, "width": 2, "height": 2},
        **{
            "at": datetime.now(UTC),
            "ids": (1,),
            "retry_in": 1.0,
        },
        "cron": "@daily",
        "time_zone": "UTC",
        **{
            "params": {},
            "content": {},
            "changes": {},
            "metadata": {},
            "llm_breakdown_response": {},
        },
        **{
            "duration_seconds": 1.0,
            "seconds": 1.0,
            "sample_rate": 1,
            "channels": 1,
            "generation_time": 1.0,
        },
        **{"progress": 0.5, "percent": 5.0, "confidence": 0.5, "window": timedelta(days=1)},
    }
    given = {}
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            given[name] = known[name]
        elif parameter.default is parameter.empty:
            is_key = name.endswith("_id") and name not in known
            annotation = str(parameter.annotation)
            if name.endswith("_ids") and name not in known:
                given[name] = [uuid4() if "UUID" in annotation else 1]
                continue
            is_number = "int" in annotation.split(" | ")
            value = 1 if is_number else uuid4() if "UUID" in annotation else "a"
            value = value if is_key else known.get(name, value)
            given[name] = value
    return given


async def call(method: Any, given: dict[str, Any]) -> None:
    positional = []
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional = list(given.pop(name))
            before = [given.pop(each) for each in list(given)]
            positional = before + positional
    with contextlib.suppress(DatabaseError, msgspec.ValidationError):
        await method(*positional, **given)


async def test_every_statement_runs_in_the_name_of_the_public_method_that_was_called(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await make_owner(database)
    ran: list[Step[Any]] = []
    run = run_module.run

    def recorded(native: sqlite3.Connection, step: Step[Any], *arguments: Any) -> Any:
        ran.append(step)
        return run(native, step, *arguments)

    for module in (run_module, readers, writer):
        monkeypatch.setattr(module, "run", recorded)
    silent, wrong, called = [], [], 0
    for attribute in vars(Catalogue):
        repository = getattr(database, attribute, None)
        if not isinstance(repository, Repository):
            continue
        for name in sorted(dir(repository)):
            method = getattr(repository, name)
            if name.startswith("_") or not callable(method):
                continue
            ran.clear()
            await call(method, await arguments_of(method, owner))
            called += 1
            names = {step.name for step in ran}
            if not names:
                silent.append(f"{type(repository).__name__}.{name}")
            if names - {f"{type(repository).__name__}.{name}"}:
                wrong.append((name, names))
    assert wrong == [], "\n".join(map(str, wrong))
    assert silent == []
    assert called > 150


async def test_an_error_names_the_method_that_was_called_not_the_statement_or_a_helper(
    database: Database,
) -> None:
    owner = await make_owner(database)
    transcript = await database.transcripts.add(owner.profile_id, owner.file_id, "x")
    config = await database.llm_configs.add(owner.profile_id, "n", "p", "m")
    calls = {
        "JobRepository.add": database.jobs.add(owner.profile_id, "t", {}, total=-1),
        "SegmentRepository.replace_all": database.segments.replace_all(
            transcript.id, [reelbase.NewSegment(5.0, 1.0, "x")]
        ),
        "LlmConfigRepository.record_test": database.llm_configs.record_test(config.id, "odd"),  # type: ignore[arg-type]
        "AuditRepository.log_update": database.audit.log_update(None, 1, {}),  # type: ignore[arg-type]
    }
    for says, call in calls.items():
        with pytest.raises(reelbase.ConstraintError, match=f"^{says}: "):
            await call


async def test_the_outermost_of_several_public_methods_is_named(database: Database) -> None:
    class NoteRepository(Repository):
        _broken = reelbase.Query(int, "SELECT json('{')")

        async def first(self) -> int:
            return await self._run(self._broken.one())

        async def second(self) -> int:
            return await self._third()

        async def _third(self) -> int:
            return await self.first()

        async def both(self) -> int:
            await self._batch(self._broken.one(), self._broken.one())
            return 0

    async def first(notes: NoteRepository) -> int:
        return await notes.second()

    notes = database.repository(NoteRepository)
    for says, call in {
        "first": notes.first(),
        "second": first(notes),
        "both": notes.both(),
    }.items():
        with pytest.raises(DatabaseError, match=f"^NoteRepository.{says}: malformed JSON"):
            await call


async def test_a_snapshot_refuses_a_write_by_the_name_of_its_method(database: Database) -> None:
    async with database.snapshot() as view:
        with pytest.raises(DatabaseReadOnlyError, match=r"^JobRepository.progress writes"):
            await view.jobs.progress(uuid4(), 0.5)  # type: ignore[attr-defined]


# What a web answer may hold.


def test_details_that_may_be_answered_hold_no_path() -> None:
    """Only errors of 500 and more are made with paths, which public_details then leaves out."""
    private = {"path", "target", "folder", "backup_dir", "opened_at", "log", "leftover"}
    for name, call in constructions():
        details = keyword(call, "details")
        keys = (
            {each.value for each in details.keys if isinstance(each, ast.Constant)}
            if isinstance(details, ast.Dict)
            else set()
        )
        if keys & private:
            assert ERRORS[name].http_status >= 500, (name, call.lineno)


async def test_public_details_are_those_of_errors_that_a_visitor_can_act_on(
    database: Database, tmp_path: Path
) -> None:
    with pytest.raises(reelbase.ConstraintError) as refused:
        await database.files.add("nobody", "a", "b")
    assert refused.value.public_details["column"] == "profile_id"
    missing = tmp_path / "missing.db"
    with pytest.raises(reelbase.DatabaseIOError) as lost:
        await reelbase.connect(missing, create=False)
    assert str(missing) in str(lost.value)
    assert lost.value.details == {"path": str(missing)}
    assert lost.value.public_details == {}


async def test_a_file_that_is_read_only_is_the_servers_fault_and_a_snapshot_the_callers(
    database: Database,
) -> None:
    sql = "WITH a (x) AS (SELECT 'ann') INSERT INTO profiles (id, created_at) SELECT x, x FROM a RETURNING 1"
    async with database.snapshot() as view:
        with pytest.raises(DatabaseReadOnlyError) as caught:
            await view.fetch_all(int, sql)
    assert (caught.value.code, caught.value.http_status) == ("read_only", 403)
    error = sqlite3.OperationalError("attempt to write a readonly database")
    error.sqlite_errorcode = sqlite3.SQLITE_READONLY
    with contextlib.closing(sqlite3.connect(":memory:")) as native:
        translated = translate(error, "ProfileRepository.ensure", native=native)
    assert isinstance(translated, DatabaseReadOnlyError)
    assert (translated.code, translated.http_status) == ("read_only_file", 500)
    assert DatabaseReadOnlyError.http_status == 403
