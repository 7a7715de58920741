"""A FIX session with a long journal, and a peer that requests all of it: what comes, in what order, at what cost.

What comes is judged at once and not kept, or the test would measure itself. Memory is what the kernel says the process
has taken: tracemalloc makes a replay fifteen times slower.
"""

import re
import time
from pathlib import Path

import msgspec

from gateway.journal import Journal, JournalSettings
from protocols.fix.session.machine import FixSession
from protocols.fix.session.settings import SessionSettings
from tests.support.dialogue import START_NS, expand
from tests.support.fix_text import fix

SLICE_BYTES = 65_536
_LINE = "37={n}|17={n}|150=0|39=0|11=mm-{n}|55=BTC-USDT|54=1|38=0.01250000|40=2|44=64250.50|14=0|151=0.0125|6=0|"
_REPORT = _LINE.replace("|", "\x01")
_COMMIT_EVERY = 256
_LIVE_EVERY = 5  # slices
_HEAD = re.compile(rb"\x0135=([^\x01]+)\x0134=([0-9]+)\x01(43=Y)?")
_NEW_SEQ_NO = re.compile(rb"\x0136=([0-9]+)\x01")


class Replayed(msgspec.Struct):
    """What one replay brought. peak_bytes: of resident memory, above what there was before it."""

    again: int = 0
    live: int = 0
    slices: int = 0
    largest_slice_bytes: int = 0
    slowest_slice_ms: float = 0.0
    peak_bytes: int = 0


class LongSession:
    """Our side, logged on, with `count` reports sent and kept: numbers 2 to count + 1; number 1 is the Logon(A)."""

    def __init__(self, directory: Path, count: int) -> None:
        settings = SessionSettings(begin_string="FIX.4.4", sender_comp_id="GATE", target_comp_id="MM1")
        self.journal = Journal(directory, JournalSettings(durability="process", retain_messages=count + 1))
        self.session = FixSession(settings, self.journal.store(1))
        self._count = count
        self._now_ns = START_NS
        self._peer_number = 0
        self.session.connected(self._now_ns)
        self._hear("35=A|34={}|98=0|108=30")
        self._drain()
        for n in range(count):
            self._send()
            if n % _COMMIT_EVERY == 0:
                self.journal.commit(self._now_ns)
                self._drain()
        self.journal.commit(self._now_ns)
        self._drain()

    def replay(self) -> Replayed:
        """Serve ResendRequest(2) for everything while new reports are sent: each must come once, in its turn."""
        result, expected = Replayed(), 1
        self._hear("35=2|34={}|7=1|16=0")
        _forget_peak()
        before = _peak_bytes()
        while self.session.has_output:
            began = time.perf_counter()
            data = self.session.take_output(SLICE_BYTES, self._now_ns)
            result.slowest_slice_ms = max(result.slowest_slice_ms, 1e3 * (time.perf_counter() - began))
            result.largest_slice_bytes = max(result.largest_slice_bytes, len(data))
            expected = self._judge(data, expected, result)
            result.slices += 1
            if result.again < self._count and result.slices % _LIVE_EVERY == 0:
                self._send()
                self.journal.commit(self._now_ns)
        result.peak_bytes = _peak_bytes() - before
        assert expected == self.session.store.next_out
        return result

    def _judge(self, data: bytes, expected: int, result: Replayed) -> int:
        """Judge one slice, whose first message must have the number `expected`; the number that follows its last."""
        for found in _HEAD.finditer(data):
            msg_type, number, is_again = found[1], int(found[2]), found[3] is not None
            assert number == expected
            assert is_again == (number <= self._count + 1)
            expected = number + 1
            if msg_type == b"4":
                fill = _NEW_SEQ_NO.search(data, found.end())
                assert fill
                expected = int(fill[1])
            elif is_again:
                result.again += 1
            else:
                result.live += 1
        return expected

    def _send(self) -> None:
        body = _REPORT.format(n=self.session.store.next_out)
        self.session.send("8", body, self._now_ns)

    def _hear(self, line: str) -> None:
        self._peer_number += 1
        self.session.receive(fix(expand(line.format(self._peer_number), self._now_ns, "MM1", "GATE")), self._now_ns)

    def _drain(self) -> None:
        while self.session.has_output:
            self.session.take_output(SLICE_BYTES, self._now_ns)


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_bytes() -> int:
    """The most resident memory since `_forget_peak`."""
    found = re.search(r"VmHWM:\s*([0-9]+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found
    return int(found[1]) * 1_024
