"""Copies of a database: backups, their retention, and the safety copies of migrations."""
