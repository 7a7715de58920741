"""Keeps the modes on disk, so that a kill switch survives a restart: one small JSON file, replaced as a whole.

`save` returns when the change survives a loss of power: the new file is written and synced under another name, renamed
over the old one, and the directory is synced. If the file cannot be read, the gateway does not start: without it, it
would open what an operator had closed.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from gateway.journal.segment import sync_directory
from gateway.orders.trading_modes import ModeChange, Modes

_FORMAT = 1


class ModesBroken(Exception):
    """The file of the modes cannot be used; the text says why and what to do. Nothing was started."""


class _Image(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    modes: tuple[ModeChange, ...]


class ModesFile:
    """The modes of one gateway at `path`; the directory is created if needed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Modes:
        """The modes saved last; none if nothing was saved yet.

        Raises:
            ModesBroken: the file cannot be read, or has mistakes.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return Modes()
        except OSError as error:
            raise self._broken(error.strerror or str(error)) from error
        try:
            image = msgspec.json.decode(data, type=_Image)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._broken(str(error)) from error
        if image.format != _FORMAT:
            raise self._broken(f"its format is {image.format}; this version of Penstock reads {_FORMAT}")
        if why := _why_unsound(image.modes):
            raise self._broken(why)
        return Modes({change.place: change for change in image.modes})

    def save(self, modes: Modes) -> None:
        """Make these modes durable. It waits for the disk: call it outside the event loop, one call at a time.

        Raises:
            OSError: it failed; the modes saved before are still there.
        """
        image = _Image(_FORMAT, tuple(modes.in_force.values()))
        text = msgspec.json.format(msgspec.json.encode(image), indent=2) + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f"{self.path.name}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(self.path)
        sync_directory(self.path.parent)

    def _broken(self, why: str) -> ModesBroken:
        return ModesBroken(
            f"{self.path}: {why}\nIt holds the cancel-only and halted modes that operators have set, so the gateway "
            "does not start without it. Correct it. Or move it away to start with everything open, and set them again."
        )


def _why_unsound(changes: Iterable[ModeChange]) -> str:
    """Something that no gateway would have written, "" if there is nothing."""
    seen = set()
    for change in changes:
        where = f"{change.scope} {change.name}".rstrip()
        if change.mode == "normal":
            return f"{where} is normal, which is never written"
        if (change.scope == "venue") != (change.name == ""):
            return f"{where!r}: the venue has no name, and every other scope has one"
        if (change.scope == "instrument") != (change.instrument > 0):
            return f"{where}: an instrument has its id in `instrument`, and nothing else has"
        if change.place in seen:
            return f"{where} occurs twice"
        if change.at_ns < 0 or change.ttl_s < 0:
            return f"{where}: a time is below zero"
        seen.add(change.place)
    return ""
