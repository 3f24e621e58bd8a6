"""Promises about the SQLite library that the package runs on."""

from __future__ import annotations

import subprocess
import sys

import pytest

_IMPORT = """
import sqlite3, sys
sqlite3.sqlite_version = sys.argv[1]
sqlite3.sqlite_version_info = tuple(map(int, sys.argv[1].split(".")))
try:
    import {module}
except ImportError as error:
    print(error)
print([name for name in sys.modules if name.startswith("reelbase.errors")])
"""


def imported(module: str, version: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT.format(module=module), version],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize(
    "module", ["reelbase", "reelbase.cli.main", "reelbase.engine.file.journal"]
)
@pytest.mark.parametrize("version", ["3.34.1", "3.39.4", "3.7.17"])
def test_an_old_sqlite_is_refused_at_import_with_a_way_to_a_newer_one(
    version: str, module: str
) -> None:
    refused = imported(module, version)
    assert "needs SQLite 3.40 or newer" in refused
    assert f"({sys.executable}) has {version}." in refused
    assert "Debian 12" in refused
    assert "pysqlite3-binary" in refused
    assert refused.endswith("\n[]\n")  # nothing else was imported


@pytest.mark.long
@pytest.mark.parametrize("version", ["3.40.0", "3.51.3", "4.0.0"])
def test_a_newer_sqlite_is_not(version: str) -> None:
    assert imported("reelbase", version) == "['reelbase.errors']\n"
