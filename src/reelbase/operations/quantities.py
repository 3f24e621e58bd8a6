"""Quantities as reports and commands show them."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 row``, ``1,234 rows``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
