"""Several gateways on one machine, at the same ports: one process that starts them, and starts again those that die.

Each worker is a gateway of the cluster with a name of its own, `NODE-1`, `NODE-2`, ...; the kernel deals out the
connections. The supervisor serves nobody.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import click
import msgspec

from gateway.config import schema
from gateway.config.load import node_of
from gateway.signals import Signals

_PAUSE_S = 1.0  # before a worker that has died is started again
_READY_ENV = "PENSTOCK_READY_FD"


def why_not_several(settings: schema.Config) -> str:
    """Why this configuration cannot have several processes, "" if it can."""
    if settings.cluster is None:
        return (
            "--workers needs [cluster]: a session must be able to move between processes. That in turn needs"
            ' core.link = "redis" with `penstock core`, and limits.redis'
        )
    doors = [("fix.listeners", row.port) for row in settings.fix.listeners]
    doors += [(name, door.port) for name, door in (("ws", settings.ws), ("admin", settings.admin)) if door is not None]
    free = [name for name, port in doors if port == 0]
    return f"--workers needs a fixed port: {free[0]}.port is 0, and each worker would get another one" if free else ""


def worker_settings(settings: schema.Config, worker: int) -> schema.Config:
    """The configuration of one worker, from 1: its name, and its admin port, which is the configured one plus n - 1."""
    assert settings.cluster is not None
    admin = settings.admin
    return msgspec.structs.replace(
        settings,
        core=msgspec.structs.replace(settings.core, node=f"{node_of(settings)}-{worker}"),
        cluster=msgspec.structs.replace(settings.cluster, shares_ports=True),
        admin=None if admin is None else msgspec.structs.replace(admin, port=admin.port + worker - 1),
    )


def tell_ready() -> None:
    """Tell the supervisor, if there is one, that this worker serves."""
    if (name := os.environ.pop(_READY_ENV, "")).isdigit():
        with suppress(OSError):
            os.write(int(name), b"1")
            os.close(int(name))


def supervise(path: Path, count: int, signals: Signals) -> int:
    """Run so many workers until SIGTERM; the exit status: 0 after a drain, 2 if they refuse to start."""
    return asyncio.run(_Supervisor(path, count).run(signals))


class _Supervisor:
    """The workers, by number."""

    def __init__(self, path: Path, count: int) -> None:
        self._path = path
        self._count = count
        self._workers: dict[int, asyncio.subprocess.Process] = {}
        self._is_ending = False
        self._status = 0
        self._ended = asyncio.Event()
        self._turns: asyncio.Task[None] | None = None
        self._ready: dict[int, asyncio.Future[None]] = {}  # who waits for a worker to serve

    async def run(self, signals: Signals) -> int:
        loop = asyncio.get_running_loop()
        signals.serving(loop, self._end, lambda: self._send_all(signal.SIGHUP))
        loop.add_signal_handler(signal.SIGUSR1, self._replace_all)
        async with asyncio.TaskGroup() as group:
            for number in range(1, self._count + 1):
                group.create_task(self._keep(number))
        signals.ended()
        return self._status

    async def _keep(self, number: int) -> None:
        """Have worker `number` run until all shall end."""
        while not self._is_ending:
            worker = await self._start(number)
            status = await worker.wait()
            del self._workers[number]
            if status == 2:  # refused, and nothing will have changed
                self._status = 2
                self._end()
            elif not self._is_ending and status != 0:
                click.echo(f"penstock: worker {number} ended with {status} and is started again", err=True)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PAUSE_S):
                        await self._ended.wait()

    async def _start(self, number: int) -> asyncio.subprocess.Process:
        told, tells = os.pipe()
        command = (sys.executable, "-c", "from gateway.cli import main; main()", "run", "-c", str(self._path))
        environment = {**os.environ, _READY_ENV: str(tells)}
        try:
            worker = await asyncio.create_subprocess_exec(
                *command, "--worker", str(number), env=environment, pass_fds=(tells,)
            )
        finally:
            os.close(tells)
        self._workers[number] = worker
        asyncio.get_running_loop().add_reader(told, self._on_ready, told, number)
        return worker

    def _on_ready(self, told: int, number: int) -> None:
        """It serves, or has ended before it did."""
        asyncio.get_running_loop().remove_reader(told)
        is_ready = os.read(told, 1) == b"1"
        os.close(told)
        if is_ready and (waiting := self._ready.pop(number, None)) is not None and not waiting.done():
            waiting.set_result(None)

    def _end(self) -> None:
        self._is_ending = True
        self._ended.set()
        if self._turns is not None:
            self._turns.cancel()
        self._send_all(signal.SIGTERM)

    def _send_all(self, number: int) -> None:
        for worker in self._workers.values():
            with suppress(ProcessLookupError):
                worker.send_signal(number)

    def _replace_all(self) -> None:
        """SIGUSR1: one worker after the other drains, and a new one takes its place."""
        if self._turns is None or self._turns.done():
            self._turns = asyncio.get_running_loop().create_task(self._take_turns())

    async def _take_turns(self) -> None:
        for number in range(1, self._count + 1):
            worker = self._workers.get(number)
            if worker is not None:
                ready = self._ready[number] = asyncio.get_running_loop().create_future()
                with suppress(ProcessLookupError):
                    worker.send_signal(signal.SIGTERM)
                await ready
