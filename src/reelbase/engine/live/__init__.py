"""Who is told of a commit: of this process, of another one, of the sqlite3 program."""
