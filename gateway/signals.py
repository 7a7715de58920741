"""What SIGTERM, SIGINT and SIGHUP do, from the first moment of the process to its last: none of them ever kills it.

| phase | SIGTERM, SIGINT | SIGHUP |
| --- | --- | --- |
| starting | exit at once with status 0; nothing is open, and a crash here is safe, too | ignored |
| serving | drain | read the limits file |
| stopped | ignored | ignored |
"""

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_EARLY = b"penstock: stopped by a signal while it was starting\n"


class Signals:
    """One per process, made before anything else. As a context manager it restores the former handlers (for tests)."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[], object]
        self._reload: Callable[[], object]
        self._before = [signal.signal(number, self._on_signal) for number in _NUMBERS]

    def __enter__(self) -> "Signals":
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in zip(_NUMBERS, self._before, strict=True):
            signal.signal(number, handler)

    def serving(
        self, loop: "asyncio.AbstractEventLoop", stop: Callable[[], object], reload: Callable[[], object]
    ) -> None:
        """From now on, call `stop` for SIGTERM and SIGINT, `reload` for SIGHUP, both in the loop."""
        self._stop, self._reload = stop, reload
        self._loop = loop

    def ended(self) -> None:
        """The process is about to exit, and its status is decided."""
        for number in _NUMBERS:
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._reload if number == signal.SIGHUP else self._stop)
        elif number != signal.SIGHUP:  # a starting process reads its files anyway
            os.write(2, _EARLY)
            os._exit(0)
