"""A core in the test's own process, on a real Redis, and commands for it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.config.load import build_instruments, load
from gateway.remote.core_process import CoreProcess, CoreTerms
from gateway.remote.keys import Keys
from gateway.remote.pipe import address_of
from gateway.remote.wire import encode_commands
from tests.support.redis_server import RedisServer
from tests.support.server import venue_toml, write_venue
from tests.support.venue import Venue

LINK = '\n[core]\nlink = "redis"\nredis = "{url}"\n'
Logged = list[tuple[str, Mapping[str, Any]]]


def core_of(store: RedisServer, directory: Path, toml: str | None = None) -> tuple[CoreProcess, Logged]:
    """A core in this process, and what it logs."""
    directory.mkdir(exist_ok=True)
    config = load(write_venue(directory, toml or venue_toml(more=LINK.format(url=store.unix_url))))
    logged: Logged = []
    instruments = tuple(build_instruments(config).by_id.values())
    terms = CoreTerms(Keys("penstock"), address_of(store.unix_url), instruments, 1_024, 1_000, directory)
    return CoreProcess(terms, lambda name, **fields: logged.append((name, fields))), logged


def hand_over(store: RedisServer, *lines: str, venue: Venue) -> bytes:
    """Commands of a gateway that has said no hello; the id of their entry."""
    commands = encode_commands([venue.command(line) for line in lines], "msgpack")
    entry = store.client().xadd(Keys("penstock").commands, {"node": "g1", "m": commands})
    assert isinstance(entry, bytes)
    return entry
