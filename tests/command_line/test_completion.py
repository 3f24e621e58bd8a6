"""What holds for all commands: completion by the shell, and --json."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import run

from reelbase.cli.main import command_parser

# These print no facts.
WITHOUT_JSON = {"worker": "a log", "completion": "a script"}


def commands(parser: argparse.ArgumentParser, *names: str) -> Iterator[tuple[str, Any]]:
    """Each command by its words, those of `jobs` included."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        yield " ".join(names), parser
    for action in inner:
        for name, subparser in action.choices.items():
            yield from commands(subparser, *names, name)


def test_every_command_that_prints_facts_prints_json() -> None:
    without = {
        name
        for name, parser in commands(command_parser())
        if "--json" not in parser._option_string_actions
    }
    assert without == WITHOUT_JSON.keys()


def test_the_documents_are_listed_and_printed_as_json(facts: Callable[..., Any]) -> None:
    listed = facts("docs")["documents"]
    assert "repositories" in listed
    document = facts("docs", "repositories")
    assert document["name"] == "repositories"
    assert document["text"].startswith("# ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_the_script_knows_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("completion", shell) == 0
    script = capsys.readouterr().out
    for name, _ in commands(command_parser()):
        assert name.split()[0] in script


def test_bash_completes_commands_options_and_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    assert run("completion", "bash") == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    (tmp_path / "media.db").touch()

    def completed(*words: str) -> set[str]:
        lines = (
            f"source {script}",
            f"COMP_WORDS=(reelbase {' '.join(words)}) COMP_CWORD={len(words)}",
            "_shtab_reelbase",
            'printf "%s\\n" "${COMPREPLY[@]}"',
        )
        shell = subprocess.run(
            [bash, "-c", "\n".join(lines)], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return set(shell.stdout.split())

    assert completed("rebuild") == {"rebuild-search"}
    assert "--full" in completed("check", "--f")
    assert "media.db" in completed("check", "me")
    assert completed("jobs", "rel") == {"release"}


def test_a_shell_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("completion", "dash") == 2
    assert "bash" in capsys.readouterr().err


def test_without_the_extra_the_error_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert run("completion", "bash") == 2
    assert "pip install 'reelbase[cli]'" in capsys.readouterr().err
