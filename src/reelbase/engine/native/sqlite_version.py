"""Imported before the rest of the package: refuses an SQLite library that is too old for it.

An older one gives misleading errors for a sound file: it takes a STRICT table for a damaged schema.
"""

import sqlite3
import sys

MINIMUM = (3, 40)

if sqlite3.sqlite_version_info < MINIMUM:
    raise ImportError(
        f"reelbase needs SQLite {MINIMUM[0]}.{MINIMUM[1]} or newer, and the module sqlite3 of this Python "
        f"({sys.executable or sys.version}) has {sqlite3.sqlite_version}. Use a base image or a Python "
        "with a newer one: Debian 12, Ubuntu 24.04, Alpine 3.17 and later have it. Or `pip install "
        "pysqlite3-binary` and run this before anything else imports sqlite3: `import sys, pysqlite3; "
        'sys.modules["sqlite3"] = pysqlite3`'
    )
