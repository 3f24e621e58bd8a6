"""Copies of a database: made, kept, put in its place."""
