"""A process of the demo's venue: started, killed as a machine would be lost, started again, ended in good order."""

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import SystemRandom

_PR_SET_PDEATHSIG = 1
_END_S = 20.0
_PORTS = range(10_000, 30_000)  # below those that outgoing connections get: a port must be ours after a restart
_TAIL_BYTES = 2_000

PENSTOCK = (sys.executable, "-c", "from gateway.cli import main; main()")


class ChildFailed(Exception):
    """A process ended by itself, or does not do what it should; the text has the end of its log."""


class Child:
    """One process by its name. Its output goes to `<name>.log` in the demo's directory."""

    def __init__(self, name: str, directory: Path, *command: str, env: dict[str, str] | None = None) -> None:
        self.name = name
        self._log = directory / f"{name}.log"
        self._command = command
        ours = {key: value for key, value in os.environ.items() if not key.startswith("PENSTOCK_")}  # of other venues
        self._env = {**ours, **(env or {})}
        self._process: asyncio.subprocess.Process | None = None
        self._began = 0  # how long the log was

    async def start(self) -> None:
        """Start it, in a session of its own: it does not get a terminal's Ctrl-C."""
        with self._log.open("ab") as log:
            self._began = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def has_logged(self, event: str) -> bool:
        """Whether the process has logged this event since it was started."""
        with self._log.open("rb") as log:
            log.seek(self._began)
            return f'"{event}"'.encode() in log.read()

    @property
    def runs(self) -> bool:
        """Whether there is such a process now."""
        return self._process is not None and self._process.returncode is None

    async def kill(self) -> None:
        """`kill -9`: it cannot say or write anything any more."""
        if self._process is not None and self.runs:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def end(self) -> None:
        """SIGTERM, and wait.

        Raises:
            ChildFailed: it does not end, or not with status 0.
        """
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_END_S):
                status = await self._process.wait()
        except TimeoutError:
            raise self.failed(f"does not end within {_END_S:g} s") from None
        if status != 0:
            raise self.failed(f"ended with status {status}")

    def failed(self, what: str) -> ChildFailed:
        """The error, with the end of what it said."""
        with suppress(OSError):
            said = self._log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
            if said:
                return ChildFailed(f"{self.name} {what}:\n{said}")
        return ChildFailed(f"{self.name} {what}")


def _die_with_parent() -> None:
    """In the new process: nothing of the demo outlives it, even if the demo itself is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_ports() -> Iterator[int]:
    """Ports of loopback that nobody listens at."""
    for port in SystemRandom().sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            yield port
