"""The hand that kills."""

import subprocess
import threading
import time
from collections.abc import Iterable

from tests.faults.kill9.client import Desk
from tests.faults.kill9.ws import WsDesk


class Killer(threading.Thread):
    """SIGKILL after a delay, from a thread of its own: not at a moment that the clients' event loop has chosen."""

    def __init__(self, process: subprocess.Popen[bytes], delay_s: float, desks: Iterable[Desk | WsDesk]) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._delay_s = delay_s
        self._desks = desks

    def run(self) -> None:
        """Wait and kill."""
        time.sleep(self._delay_s)
        for desk in tuple(self._desks):  # those that are there now
            desk.may_lose_link = True
        self._process.kill()
