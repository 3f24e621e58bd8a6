"""What is done with a sqlite3.Connection in hand, on its thread, for any database."""
