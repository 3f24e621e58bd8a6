"""Writes what follows from other files: the ledger and the version in schema.sql and in the package from
the migrations, the diagram of the tables, the text of the public surface, and the types of the
synchronous door."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "schema.sql"
SOURCE = ROOT / "src/reelbase/engine/schema/source.py"


def replace(path: Path, pattern: str, text: str) -> None:
    """Replaces the one match of a pattern in a file."""
    written, count = re.subn(pattern, lambda _: text, path.read_text("utf-8"), flags=re.DOTALL)
    if count != 1:
        sys.exit(f"{path}: {count} places match {pattern}")
    path.write_text(written, "utf-8")


def main() -> None:
    """Writes all of it."""
    rows = []
    for script in sorted((ROOT / "src/reelbase/migrations").glob("[0-9]*.sql")):
        number, _, name = script.stem.partition("_")
        checksum = hashlib.sha256(script.read_bytes()).hexdigest()
        rows.append(f"  ({int(number)}, '{name}', '{checksum}')")
    ledger = "INSERT INTO schema_migrations (version, name, checksum)\nVALUES\n"
    replace(SCHEMA, re.escape(ledger) + "[^;]*;", ledger + ",\n".join(rows) + ";")
    replace(SCHEMA, r"PRAGMA user_version = \d+;", f"PRAGMA user_version = {len(rows)};")
    replace(SOURCE, r"\nSCHEMA_VERSION = \d+\n", f"\nSCHEMA_VERSION = {len(rows)}\n")
    sys.path.insert(0, str(ROOT / "src"))
    from reelbase.operations.diagram import schema_diagram  # noqa: PLC0415 - after SCHEMA was written

    diagram = f"```mermaid\n{schema_diagram(all_columns=False)}```"
    replace(ROOT / "src/README.md", r"```mermaid\n.*?```", diagram)
    for script in ("api.py", "sync_stub.py"):
        subprocess.run([sys.executable, ROOT / "tests/laws" / script], check=True)


if __name__ == "__main__":
    main()
