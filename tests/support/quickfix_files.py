"""The files that the package quickfix-py ships: its FIX dictionaries."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest


def quickfix_file(name: str) -> Path:
    """The file of this name; skips the test where the package has no wheel for this Python."""
    try:
        shipped = files("quickfix-py") or []
    except PackageNotFoundError:
        pytest.skip("quickfix-py is not installed")
    return Path(str(next(file for file in shipped if file.name == name).locate()))
