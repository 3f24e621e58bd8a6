"""The types of the synchronous door: ``python tests/laws/sync_stub.py`` writes synchronous.pyi from the async
classes, method by method, with the signatures that their authors wrote."""

from __future__ import annotations

import ast
import builtins
import inspect
import subprocess
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import reelbase
from reelbase import Database, Repository, UnitOfWork, connector, views
from reelbase.catalogue import Catalogue, _Attribute
from reelbase.engine.raw_sql import RawReads, RawSql

FILE = Path(reelbase.__file__).with_name("synchronous.pyi")
HEAD = '''"""The types of the synchronous door. Written by tests/laws/sync_stub.py from the async classes."""
'''
ROWS_AND_CONTEXT = """
T_co = TypeVar("T_co", covariant=True)

class SyncRows(Generic[T]):
    def __iter__(self) -> Self: ...
    def __next__(self) -> T: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def close(self) -> None: ...

class SyncContext(Generic[T_co]):
    def __enter__(self) -> T_co: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
"""
WITH_DATABASE = """
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
"""
# The types of a repository of the application's own are not known without await.
REPOSITORY = "    def repository(self, repository_class: type[Repository]) -> Any: ...\n"
RETURNS = {
    "UnitOfWorkContext": "SyncContext[SyncUnitOfWork]",
    "SnapshotContext": "SyncContext[SyncSnapshot]",
    "Connecting": "SyncDatabase",
    "ChangeStream": "SyncRows[Changes]",
}


class Stub:
    """The text of the stub, and the imports that its annotations need."""

    def __init__(self) -> None:
        self.plain_imports: set[str] = set()
        self.imports: set[tuple[str, str]] = {
            ("types", "TracebackType"),
            ("typing", "Any"),
            ("typing", "Generic"),
            ("typing", "Self"),
            ("typing", "TypeVar"),
            ("reelbase.engine.repository", "Repository"),
            ("reelbase.engine.live.changes", "Changes"),
        }
        self.type_variables: set[str] = {"T"}
        self._known: dict[str, dict[str, tuple[str, str | None]]] = {}

    def text(self) -> str:
        """The whole stub, as ruff formats it."""
        classes = [ROWS_AND_CONTEXT, *self._repositories(), *self._holders()]
        function = self._function(connector.connect, set()).replace(
            "def connect(", "def connect_sync("
        )
        parts = [HEAD, *sorted(f"import {name}" for name in self.plain_imports)]
        parts += [f"from {module} import {name}" for module, name in sorted(self.imports)]
        parts += [f'{name} = TypeVar("{name}")' for name in sorted(self.type_variables)]
        return formatted("\n".join([*parts, *classes, textwrap.dedent(function)]))

    def _repositories(self) -> Iterator[str]:
        for name, repository in repositories().items():
            view = view_of(name)
            public = [method for method in dir(repository) if not method.startswith("_")]
            methods = [name for name in public if inspect.isfunction(getattr(repository, name))]
            reading = [name for name in methods if name in vars(view)]
            writing = [name for name in methods if name not in vars(view)]
            yield self._class(f"_Sync{view.__name__}", "", repository, reading)
            yield self._class(
                f"_Sync{repository.__name__}", f"(_Sync{view.__name__})", repository, writing
            )

    def _holders(self) -> Iterator[str]:
        reads, raw = public_methods(RawReads), public_methods(RawSql)
        own_database = [
            name for name in public_methods(Database) if name not in (*raw, "repository")
        ]
        own_unit = [name for name in public_methods(UnitOfWork) if name not in (*raw, "repository")]
        yield self._class("_RawReads", "", RawReads, reads)
        yield self._class("_RawSql", "(_RawReads)", RawSql, [n for n in raw if n not in reads])
        entities = repositories()
        yield (
            "class SyncSnapshot(_RawReads):\n"
            + "".join(f"    {name}: _Sync{view_of(name).__name__}\n" for name in entities)
            + REPOSITORY
        )
        yield (
            "class _Catalogue(_RawSql):\n"
            + "".join(
                f"    {name}: _Sync{repository.__name__}\n" for name, repository in entities.items()
            )
            + REPOSITORY
        )
        yield self._class("SyncUnitOfWork", "(_Catalogue)", UnitOfWork, own_unit)
        yield self._class("SyncDatabase", "(_Catalogue)", Database, own_database) + WITH_DATABASE

    def _class(self, name: str, bases: str, source: type, members: list[str]) -> str:
        lines = [f"class {name}{bases}:"]
        for member in members:
            found = inspect.getattr_static(source, member)
            if isinstance(found, property):
                assert found.fget is not None
                lines += ["    @property", self._function(found.fget, set(members))]
                continue
            overloads = typing.get_overloads(found)
            for function in overloads:
                self.imports.add(("typing", "overload"))
                lines += ["    @overload", self._function(function, set(members))]
            if not overloads:
                lines.append(self._function(found, set(members)))
        return "\n".join(lines if members else [*lines, "    ..."]) + "\n"

    def _function(self, function: Callable[..., Any], shadowing: set[str]) -> str:
        """The signature without async. shadowing: the names of the class, which hide those of builtins."""
        inner = inspect.unwrap(function)
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(inner))).body
        assert isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)
        returns = node.returns
        assert returns is not None, function
        of_decorators = {d.id for d in node.decorator_list if isinstance(d, ast.Name)}
        if "asynccontextmanager" in of_decorators:
            returns = replaced(returns, "AsyncIterator", "SyncContext")
        else:
            for name in ("AsyncIterator", "AsyncGenerator", "RowStream", "Observation"):
                returns = replaced(returns, name, "SyncRows")
        if isinstance(returns, ast.Name) and returns.id in RETURNS:
            returns = ast.parse(RETURNS[returns.id], mode="eval").body
        node.args.defaults = [shown(default) for default in node.args.defaults]
        node.args.kw_defaults = [default and shown(default) for default in node.args.kw_defaults]
        stub = ast.FunctionDef(
            name=node.name,
            args=node.args,
            body=[ast.Expr(ast.Constant(...))],
            decorator_list=[],
            returns=returns,
        )
        Qualified(shadowing).visit(stub)
        self._import_for(stub, inner)
        return textwrap.indent(ast.unparse(ast.fix_missing_locations(stub)), "    ")

    def _import_for(self, stub: ast.FunctionDef, function: Callable[..., Any]) -> None:
        module = sys.modules[function.__module__]
        known = self._names_of(module.__name__)
        annotations: list[ast.expr | None] = [stub.returns]
        annotations += [
            argument.annotation for argument in ast.walk(stub) if isinstance(argument, ast.arg)
        ]
        for annotation in annotations:
            for node in ast.walk(annotation) if annotation is not None else ():
                if not isinstance(node, ast.Name) or node.id.startswith("Sync"):
                    continue
                if any(node.id == name for _, name in self.imports):
                    continue
                value = getattr(module, node.id, None)
                if isinstance(value, TypeVar):
                    self.type_variables.add(node.id)
                elif node.id in known:
                    origin, name = known[node.id]
                    if name is None:
                        self.plain_imports.add(origin)
                    else:
                        self.imports.add((origin, name))
                elif node.id == "builtins":
                    self.plain_imports.add("builtins")
                elif not hasattr(builtins, node.id):
                    self.imports.add((module.__name__, node.id))

    def _names_of(self, module: str) -> dict[str, tuple[str, str | None]]:
        """The imported names of a module: its module, and its name there unless it is a module itself."""
        if module not in self._known:
            known: dict[str, tuple[str, str | None]] = {}
            for node in ast.walk(ast.parse(inspect.getsource(sys.modules[module]))):
                if isinstance(node, ast.Import):
                    known |= {alias.name: (alias.name, None) for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    known |= {alias.name: (node.module, alias.name) for alias in node.names}
            self._known[module] = known
        return self._known[module]


class Qualified(ast.NodeTransformer):
    """Names of builtins that the class hides, as builtins.list."""

    def __init__(self, shadowing: set[str]) -> None:
        self._shadowing = {name for name in shadowing if hasattr(builtins, name)}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self._shadowing:
            return node
        return ast.Attribute(ast.Name("builtins", ast.Load()), node.id, ast.Load())


def shown(default: ast.expr) -> ast.expr:
    """A default as it is, if it is a plain value, or else an ellipsis."""
    return default if isinstance(default, ast.Constant) else ast.Constant(...)


def replaced(annotation: ast.expr, name: str, other: str) -> ast.expr:
    """name[X] as other[X]; further annotations as they are."""
    if (
        isinstance(annotation, ast.Subscript)
        and isinstance(annotation.value, ast.Name)
        and annotation.value.id == name
    ):
        return ast.Subscript(ast.Name(other, ast.Load()), annotation.slice, ast.Load())
    return annotation


def repositories() -> dict[str, type[Repository]]:
    return {
        name: attribute._repository_class
        for name, attribute in vars(Catalogue).items()
        if isinstance(attribute, _Attribute)
    }


def view_of(attribute: str) -> type:
    view: type = getattr(views, typing.get_type_hints(views.ReadingCatalogue)[attribute].__name__)
    return view


def public_methods(holder: type) -> list[str]:
    return [
        name
        for name in dir(holder)
        if not name.startswith("_")
        and not isinstance(inspect.getattr_static(holder, name), _Attribute)
    ]


def formatted(text: str) -> str:
    for command in (["check", "--quiet", "--fix", "--select=I"], ["format", "--quiet"]):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", FILE, "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return text


if __name__ == "__main__":
    FILE.write_text(Stub().text(), "utf-8")
    print(f"{FILE}: {len(FILE.read_text('utf-8').splitlines())} lines", file=sys.stderr)
