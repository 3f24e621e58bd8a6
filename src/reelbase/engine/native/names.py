"""Names of a file's own tables and columns, which cannot be bound."""


def quoted(name: str) -> str:
    """The name as an identifier of SQL; it may hold any character."""
    return '"' + name.replace('"', '""') + '"'
