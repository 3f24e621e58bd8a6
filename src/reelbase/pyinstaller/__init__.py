"""The hook for PyInstaller, which finds it by its entry point: programs have the package's files of data."""

from __future__ import annotations

import os


def get_hook_dirs() -> list[str]:
    """The folders of hooks, as PyInstaller asks for them."""
    return [os.path.dirname(__file__)]
