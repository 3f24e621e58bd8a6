"""Names for statements in which they cannot be bound: those of tables, triggers and pragmas."""


def quoted(name: str) -> str:
    """The name as an identifier of SQL; it may hold any character."""
    return '"' + name.replace('"', '""') + '"'


def literal(name: str) -> str:
    """The name as a string literal of SQL; it may hold any character."""
    return "'" + name.replace("'", "''") + "'"
