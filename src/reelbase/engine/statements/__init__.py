"""Statements as data: SQL, parameters, rows. Nothing here runs, and nothing knows a connection."""
