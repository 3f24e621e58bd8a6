"""The database file: its place and filesystem, its side files, and the processes that have it open."""
