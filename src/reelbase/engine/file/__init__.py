"""The database file: where it lies, what lies beside it, and which processes have it open."""
