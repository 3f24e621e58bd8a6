"""How fast the library is, next to plain sqlite3 and to aiosqlite used by hand: ``python -m bench``."""
