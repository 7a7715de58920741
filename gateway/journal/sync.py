"""Group fdatasync in one thread: everything written while one sync runs shares the next.

The owner's thread calls `advance` and never waits; the result comes through `notify`, called in *this* thread. Before
editing: a failed sync is never tried again, because the kernel may have dropped the pages that it could not write and
report the next sync as a success.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress


class Syncer:
    """Makes what was written durable, in the order in which it was written.

    `durable` is the position below which everything is on disk; `failure` is set once that can never move again.
    """

    def __init__(self, durable: int, notify: Callable[[int], None]) -> None:
        self.durable = durable
        self.failure: Exception | None = None
        self._notify = notify
        self._changed = threading.Condition()
        self._steps: list[Callable[[], None]] = []
        self._fd = -1
        self._wanted = durable
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def advance(self, fd: int, position: int) -> None:
        """Everything below `position` is written, the last part to `fd`: make it durable."""
        with self._changed:
            self._fd, self._wanted = fd, position
            self._changed.notify()

    def add_step(self, step: Callable[[], None]) -> None:
        """Run this after everything requested before, and before everything requested later."""
        with self._changed:
            self._steps.append(step)
            self._changed.notify()

    def close(self) -> None:
        """Finish what was requested, then end. Returns when that is done or has failed."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._run_once():
                pass
        except Exception as error:  # a thread that died unnoticed would hold back every answer forever
            self.failure = error
            with suppress(RuntimeError):  # the owner's loop may be closed by now
                self._notify(self.durable)

    def _run_once(self) -> bool:
        """One group; False if nothing is left to do and the end was requested."""
        with self._changed:
            while not self._steps and self._wanted == self.durable:
                if self._closing:
                    return False
                self._changed.wait()
            steps, self._steps = self._steps, []
            fd, wanted = self._fd, self._wanted
        for step in steps:
            step()
        if wanted != self.durable:
            os.fdatasync(fd)
            self.durable = wanted
            self._notify(wanted)
        return True
