"""``reelbase docs``: the documents that travel with the package."""

from __future__ import annotations

import argparse
import os
import re
from importlib import resources
from pathlib import Path

import msgspec

from reelbase.cli.arguments import add_json
from reelbase.cli.output import print_facts
from reelbase.cli.process import UsageError
from reelbase.operations.diagram import schema_diagram


class Documents(msgspec.Struct, frozen=True):
    """documents: the subject of each, by name."""

    documents: dict[str, str]


class Document(msgspec.Struct, frozen=True):
    """One document. text: Markdown."""

    name: str
    text: str


# The READMEs that travel, and what each is about; and the diagram.
_DOCUMENTS = {
    "readme": "the library as a whole: what it is for, how it is used, what it promises",
    "house": "its structure, monitoring, journal modes, and how to change it",
    "repositories": "the repositories, one by one",
    "migrations": "upgrades, and migrations of your own",
    "importers": "databases of other applications",
    "examples": "the cookbook: FastAPI, Litestar, workers, events; examples/FILE prints one of its files",
    "testing": "fixtures, records and rules for the tests of an application",
    "cli": "this command: backups, repairs, several processes, reading only",
    "diagram": "the tables and their references, for Mermaid (mermaid.live, GitHub, mmdc)",
}
_DIAGRAM = "diagram"

# Where a README is in the repository, unless in src/reelbase/NAME.
_FOLDERS = {"readme": ".", "house": "src", "examples": "tests/examples"}

# A link to a file of the repository, not to the web. Its place in the document is not kept.
_LINK = re.compile(r"\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(?:#[^)]*)?\)")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command, with its arguments."""
    parser = subparsers.add_parser(
        "docs",
        help="print a document that comes with the package",
        description="Prints a document that comes with this version, or lists them all.",
    )
    parser.add_argument("document", metavar="NAME", nargs="?", help=", ".join(_DOCUMENTS))
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    name = arguments.document
    if name is None:
        listed = [f"{document:<13} {subject}" for document, subject in _DOCUMENTS.items()]
        print_facts(Documents(_DOCUMENTS), arguments, listed)
        return 0
    if name.partition("/")[0] not in _DOCUMENTS:
        raise UsageError(f"there is no document {name!r}; choose one of {', '.join(_DOCUMENTS)}")
    text = schema_diagram() if name == _DIAGRAM else _with_commands_for_links(_text_of(name), name)
    print_facts(Document(name, text), arguments, text.splitlines())
    return 0


def _folder_of(name: str) -> str:
    """The folder of a document in the repository."""
    return _FOLDERS.get(name, f"src/reelbase/{name}")


def _text_of(name: str) -> str:
    """The README of a folder of the package, or the file that is named behind a slash."""
    folder, _, file = name.partition("/")
    path = resources.files("reelbase").joinpath(folder, file or "README.md")
    if not path.is_file():  # an editable install: what the wheel copies is where it belongs
        path = Path(__file__).parents[3] / _folder_of(folder) / (file or "README.md")
    if not path.is_file():
        raise UsageError(f"there is no document {name!r}; `reelbase docs {folder}` names its files")
    return path.read_text("utf-8")


def _with_commands_for_links(text: str, name: str) -> str:
    """The README with the command that prints it instead of each link to another document; a file that does
    not travel is named with its place in the repository."""
    if "/" in name:  # a file of the cookbook is code
        return text
    documents = {
        os.path.normpath(os.path.join(_folder_of(other), "README.md")): other
        for other in _DOCUMENTS
    }

    def replaced(link: re.Match[str]) -> str:
        label, target = link[1], os.path.normpath(os.path.join(_folder_of(name), link[2]))
        folder, file = os.path.split(target)
        if target in documents:
            return f"{label} (`reelbase docs {documents[target]}`)"
        if folder == _FOLDERS["examples"]:
            return f"{label} (`reelbase docs examples/{file}`)"
        return f"{label} (in the repository: {target})"

    return _LINK.sub(replaced, text)
