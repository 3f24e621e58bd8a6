"""The notice of commits to listeners: commits of this process, of another one, of the sqlite3 program."""
