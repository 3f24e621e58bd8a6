"""The table of features in the README of this room names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOM = Path(__file__).parent


def test_every_test_that_the_table_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOM / "README.md").read_text("utf-8")))
    found = {
        name
        for path in ROOM.parent.rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    assert len(named) > 20
    assert named - found == set()
