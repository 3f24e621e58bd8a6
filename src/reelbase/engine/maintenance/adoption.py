"""Adoption: marks a reelbase database that has lost its marks, as after SQLite's .dump."""

from __future__ import annotations

import sqlite3

from reelbase.engine.file.commit import write_transaction
from reelbase.engine.maintenance.upgrade import refuse_broken_references
from reelbase.engine.native.header import application_id, user_version
from reelbase.engine.schema import chain, ledger
from reelbase.engine.schema.fingerprint import differences, in_one_sentence, left_over
from reelbase.engine.schema.source import APPLICATION_ID, SCHEMA_VERSION, has_ledger
from reelbase.errors import SchemaError


def adopt(native: sqlite3.Connection, path: str) -> int:
    """Marks the database with the version of the schema that it has exactly, and returns that version.

    A marked database is left as it is. Raises SchemaError and changes nothing: code foreign, newer,
    unknown_schema, edited or broken_reference.
    """
    with write_transaction(native, f"adopting {path}"):
        mark = application_id(native)
        claimed = user_version(native)
        if mark not in (0, APPLICATION_ID) or not has_ledger(native):
            raise SchemaError(
                f"{path} is a database of another program (application_id {mark}"
                f"{'' if mark else ', no ledger of migrations'})",
                code="foreign",
                details={"path": path, "application_id": mark},
            )
        version = _version_by_schema(native, path)
        if claimed not in (0, version):
            raise SchemaError(
                f"{path} says that it has version {claimed}, but has the schema of version {version};"
                " restore a backup",
                code="unknown_schema",
                details={"path": path, "claimed": claimed, "version": version},
            )
        shipped = chain.migrations()[:version]
        applied = ledger.ours(native)
        ledger.refuse_edited(applied, shipped, path)
        there = {line.version for line in applied}
        if max(there, default=0) > version:
            raise SchemaError(
                f"{path} has the schema of version {version}, but its ledger goes up to"
                f" {max(there)}; install the release that wrote it",
                code="newer",
                details={"path": path, "version": max(there)},
            )
        for migration in shipped:
            if migration.version not in there:
                ledger.record(native, migration)
        refuse_broken_references(native, f"adopting {path}")
        # A pragma takes no parameters.
        native.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        native.execute(f"PRAGMA user_version = {version}")
    return version


def _version_by_schema(native: sqlite3.Connection, path: str) -> int:
    found = {
        version: [*differences(native, version), *left_over(native, version, SCHEMA_VERSION)]
        for version in range(SCHEMA_VERSION, 0, -1)
    }
    nearest = min(found, key=lambda version: len(found[version]))
    if found[nearest]:
        raise SchemaError(
            f"{path} has the schema of no version; version {nearest} is the nearest, but:"
            f" {in_one_sentence(found[nearest])}. Undo that, or restore a backup",
            code="unknown_schema",
            details={"path": path, "nearest": nearest, "differences": found[nearest]},
        )
    return nearest
