"""What must hold while the gateway is attacked: it answers its operators, logs no bug and no secret, and stays small.

`Watch` looks at the process from outside (/proc, /livez, /metrics) every 200 ms, `LogReader` at all that it logs. What
must not be is a violation. Everything here reads; nothing asks the gateway for more than an operator would.
"""

import asyncio
import os
import re
import threading
import time
from collections import Counter
from pathlib import Path
from typing import IO

import msgspec
import orjson

LOOK_S = 0.2
_NAP_S = 0.01
MAX_SORTS = 30
MAX_TEXT = 3_000
_SAMPLE = re.compile(r"^(penstock_\w+?)(?:_total)?(\{[^}]*\})? (\S+)$", re.MULTILINE)
# An Ed25519 signature in base64, or 32 bytes in hex: nothing of that kind has any business in a log.
_SECRET = re.compile(rb"[A-Za-z0-9+/]{86}==|(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_NUMBER = re.compile(r"[0-9]+")
_FRAME = re.compile(r'File "[^"]*/((?:gateway|protocols|limits)/[^"]+)", line ([0-9]+)')
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Violation(msgspec.Struct):
    """One sort of violation: how often it happened, and the first of them in full."""

    first: str
    count: int = 0


class Violations:
    """What should not have happened, by sort."""

    def __init__(self) -> None:
        self.sorts: dict[str, Violation] = {}
        self.where = "quiet"  # the wave that is under way

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(sort.count for sort in self.sorts.values())

    def add(self, text: str, sort: str = "") -> None:
        """Note one violation; it is told with the wave that it first happened in. sort: what makes two the same."""
        key = sort or _NUMBER.sub("#", text)[:80]
        if key not in self.sorts and len(self.sorts) >= MAX_SORTS:
            key = "more"
        self.sorts.setdefault(key, Violation(f"[{self.where}] {text[:MAX_TEXT]}")).count += 1


class Latencies:
    """How long answers took, in seconds, for one stretch of time."""

    def __init__(self, seconds: list[float] | None = None) -> None:
        self.seconds = seconds or []

    def quantile_ms(self, q: float) -> float:
        """The time in ms that a share `q` of the answers did not exceed; nan when there were none."""
        if not self.seconds:
            return float("nan")
        ordered = sorted(self.seconds)
        return 1_000 * ordered[min(int(q * len(ordered)), len(ordered) - 1)]


class LogReader:
    """Reads the gateway's standard error on a thread of its own, so that it is never stuck, and judges each line."""

    def __init__(self, stream: IO[bytes], violations: Violations) -> None:
        self.lines = 0
        self.events: Counter[str] = Counter()
        self._stream = stream
        self._violations = violations
        self._thread = threading.Thread(target=self._run, name="log-reader", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for line in self._stream:
            self.lines += 1
            self._judge(line)

    def _judge(self, line: bytes) -> None:
        if _SECRET.search(line):
            self._violations.add(f"a secret in the log: {line.decode(errors='replace')}")
        try:
            told = orjson.loads(line)
            event, trace = str(told["event"]), str(told.get("exception", ""))
        except (ValueError, KeyError, TypeError):
            event, trace = "no JSON", ""
        self.events[event] += 1
        if trace or event in {"session.failed", "gateway.failed", "descriptors.used_up", "no JSON"}:
            places = [":".join(place) for place in _FRAME.findall(trace)]
            error = trace.strip().rpartition("\n")[2] or line.decode(errors="replace")
            sort = f"{event} at {places[-1] if places else '?'}: {_NUMBER.sub('#', error)[:60]}"
            self._violations.add(f"the log says {event}: {error}\n  by {' > '.join(places)}", sort)

    def join(self) -> None:
        """Wait for the rest, once the process has ended."""
        self._thread.join(5)


def _target(descriptor: Path) -> str:
    try:
        return os.readlink(descriptor)
    except FileNotFoundError:  # closed meanwhile
        return "/"


class Process:
    """The gateway's process, seen from outside."""

    def __init__(self, pid: int) -> None:
        self._proc = Path(f"/proc/{pid}")

    def rss_bytes(self) -> int:
        """Resident memory now."""
        return int((self._proc / "statm").read_text().split()[1]) * _PAGE_BYTES

    def fds(self) -> int:
        """Open file descriptors now, without files: segments of the journal come and go with what was recorded."""
        return sum(not target.startswith("/") for target in map(_target, (self._proc / "fd").iterdir()))

    def all_fds(self) -> tuple[int, int]:
        """Open file descriptors of any kind, and how many there may be."""
        limits = (self._proc / "limits").read_text().splitlines()
        most = next(row.split()[3] for row in limits if row.startswith("Max open files"))
        return len(os.listdir(self._proc / "fd")), int(most)

    def cpu_s(self) -> float:
        """Processor time used since its start."""
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


class Watch:
    """Looks at the process and its operators' door every 200 ms."""

    def __init__(self, pid: int, admin_port: int, violations: Violations, patience_s: float) -> None:
        self.process = Process(pid)
        self.metrics: dict[str, float] = {}
        self.peak_rss_bytes = 0
        self.peak_connections = 0
        self.peak_fds = 0
        self.lateness = Latencies()  # how late this process itself ran: what it measures is no better than that
        self.admin = Latencies()
        self._port = admin_port
        self._violations = violations
        self._patience_s = patience_s

    async def run(self) -> None:
        """Until cancelled, or until the process is gone."""
        while True:
            try:
                await self.look()
            except FileNotFoundError:
                self._violations.add("the process is gone")
                return
            await self._wait()

    async def _wait(self) -> None:
        """Until the next look, noting on the way how late we are woken: the machine's doing, not the gateway's."""
        for _ in range(int(LOOK_S / _NAP_S)):
            due = time.perf_counter() + _NAP_S
            await asyncio.sleep(_NAP_S)
            self.lateness.seconds.append(time.perf_counter() - due)

    async def look(self) -> None:
        """One look. Raises FileNotFoundError: there is no such process."""
        self.peak_rss_bytes = max(self.peak_rss_bytes, self.process.rss_bytes())
        fds, limit = self.process.all_fds()
        self.peak_fds = max(self.peak_fds, fds)
        if fds >= limit:
            self._violations.add(f"{fds} of {limit} file descriptors: none is left for the journal")
        began = time.perf_counter()
        for path in ("/livez", "/metrics"):
            try:
                async with asyncio.timeout(self._patience_s):
                    body = await self._get(path)
            except (TimeoutError, ConnectionError, ValueError) as error:
                self._violations.add(f"{path} does not answer: {error!r}")
                return
        self.admin.seconds.append(time.perf_counter() - began)
        self.metrics = {name + labels: float(value) for name, labels, value in _SAMPLE.findall(body)}
        self.peak_connections = max(self.peak_connections, int(self.total("penstock_connections")))

    async def _get(self, path: str) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        finally:
            writer.close()
        if " 200 " not in head[:16]:
            raise ValueError(head[:100])
        return body

    def total(self, name: str) -> float:
        """Sum of a metric over its labels."""
        return sum(value for key, value in self.metrics.items() if key == name or key.startswith(name + "{"))

    def by_label(self, name: str) -> dict[str, int]:
        """A metric with a door and a reason or cause, by `door reason`."""
        rows: dict[str, int] = {}
        for key, value in self.metrics.items():
            labels = dict(_LABEL.findall(key))
            if key.startswith(name + "{"):
                rows[f"{labels.pop('door')} {' '.join(labels.values())}"] = int(value)
        return rows
