"""A program that knows sqlite3 and nothing of the package: what others see of a database.

look PATH SQL: one value as JSON.  hold PATH SQL…: runs the statements, says "held" or why not, and
keeps what they took until its input ends.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys

_PATIENCE_SECONDS = 30.0


def main() -> None:
    command, path, *statements = sys.argv[1:]
    native = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None)
    with contextlib.closing(native):
        if command == "look":
            print(json.dumps(native.execute(statements[0]).fetchone()[0]))
            return
        try:
            cursors = [native.execute(statement) for statement in statements]
            for cursor in cursors:
                cursor.fetchone()
        except sqlite3.Error as error:
            print(error, flush=True)
            return
        print("held", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
