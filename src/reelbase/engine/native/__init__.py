"""Functions of a sqlite3.Connection, called on its thread, for any database."""
