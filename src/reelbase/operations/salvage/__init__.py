"""Reading a damaged file page by page, and building a database from the readable rows."""
