"""One load session: logs on, sends orders, counts answers. Orders of one session are accepted in the order sent.

An order's time begins when it was due. In a closed loop that is when it is sent; in an open loop it is its place in the
schedule, whatever kept the client from sending it then.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from time import perf_counter_ns

from gateway.bench.failed import BenchFailed
from gateway.bench.flow import Flow
from gateway.bench.histogram import Latencies
from gateway.bench.wires import Wire

_TAKEN = -1  # the due time of an order that was refused while earlier ones still wait


class Tally:
    """What all sessions of a run count. Answers count while `is_open`, latencies of orders due from begin to end."""

    def __init__(self) -> None:
        self.is_open = False
        self.begin_ns = self.end_ns = 0
        self.accepted = self.messages = 0
        self.refusals: Counter[str] = Counter()
        self.latencies = Latencies()
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, text: str) -> None:
        """End the run; the first failure counts."""
        if not self.failure.done():
            self.failure.set_exception(BenchFailed(text))


class LoadSession(asyncio.Protocol):
    """Session n of a run. `on_answers` is called with the number of orders that one read has answered."""

    def __init__(self, wire: Wire, number: int, flow: Flow, tally: Tally, where: str) -> None:
        self.ready = asyncio.get_running_loop().create_future()
        self.on_answers: Callable[[LoadSession, int], None] | None = None
        self._wire, self._number, self._tally, self._where = wire, number, tally, where
        self._orders = wire.orders(number, flow)
        self._due: deque[int] = deque()  # of the orders without an answer, as they were sent
        self._answered = 0  # how many orders have left `_due`: the number of its first is one more
        self._tail = b""
        self._last = b""
        self._needs_head = wire.has_http_head
        self._is_over = False
        self._transport: asyncio.Transport
        self._is_connected = False

    @property
    def unanswered(self) -> int:
        """Orders that were sent and not answered."""
        return len(self._due) - self._due.count(_TAKEN)

    def send(self, due_ns: list[int]) -> None:
        """Send an order for each of these times at which one was due, in ns of `perf_counter_ns`; 0 = now."""
        orders = self._orders.take(len(due_ns))
        self._due.extend(due_ns)
        self._transport.write(orders)

    def send_now(self, count: int) -> None:
        """Send `count` orders that are due now."""
        orders = self._orders.take(count)
        now_ns = perf_counter_ns()
        self._due.extend([now_ns] * count)
        self._transport.write(orders)

    def close(self) -> None:
        """Cut the connection; that is the end of the session's part in the run."""
        self._is_over = True
        if self._is_connected:
            self._transport.abort()

    # -- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log on."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no asyncio.Transport
        self._is_connected = True
        self._transport.write(self._wire.greeting(self._number))

    def data_received(self, data: bytes) -> None:
        """Count the answers in what has come whole."""
        if self._tail:
            data = self._tail + data
        if self._needs_head:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._tail = head
                return
            self._needs_head = False
            if b" 101 " not in head[:15]:
                self._last = head
                self._transport.abort()
                return
            if self._wire.welcome in head:
                self.ready.set_result(None)
        cut = self._wire.whole(data)
        self._tail, messages = (data[cut:], data[:cut]) if cut < len(data) else (b"", data)
        if messages:
            self._last = messages
            self._count(messages)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody but this client may end a connection."""
        if self._is_over:
            return
        error = BenchFailed(self._loss())
        if self.ready.done():
            self._tally.fail(str(error))
        else:
            self.ready.set_exception(error)

    # -- counting

    def _count(self, messages: bytes) -> None:
        wire, tally = self._wire, self._tally
        if not self.ready.done():
            if wire.welcome in messages:
                self.ready.set_result(None)
            return
        answers, count = messages.count(wire.accepted), messages.count(wire.message)
        if answers != count and any(mark in messages for mark in wire.refused):
            answers = self._count_each(messages)
        elif answers:
            self._accept(answers)
        if tally.is_open:
            tally.messages += count
        if reply := wire.reply(messages):
            self._transport.write(reply)
        if answers and self.on_answers is not None:
            self.on_answers(self, answers)

    def _accept(self, count: int) -> None:
        tally, due_ns, now_ns = self._tally, self._due, perf_counter_ns()
        begin_ns, end_ns, record = tally.begin_ns, tally.end_ns, tally.latencies.record
        left = count
        while left and due_ns:
            due = due_ns.popleft()
            self._answered += 1
            if due != _TAKEN:
                left -= 1
                if begin_ns <= due < end_ns:
                    record(now_ns - due)
        while due_ns and due_ns[0] == _TAKEN:
            due_ns.popleft()
            self._answered += 1
        if tally.is_open:
            tally.accepted += count

    def _count_each(self, messages: bytes) -> int:
        """Refusals among the answers name their order, because they may overtake earlier orders."""
        accepted, refusals = self._wire.refusals(messages)
        tally = self._tally
        for refusal in refusals:
            place = refusal.number - self._answered - 1
            if 0 <= place < len(self._due):
                self._due[place] = _TAKEN
            if tally.is_open:
                tally.refusals[refusal.code] += 1
        self._accept(accepted)
        return accepted + len(refusals)

    def _loss(self) -> str:
        who = f"session {self._number}"
        if self._last.startswith(b"HTTP/"):
            status = self._last.partition(b"\r\n")[0].decode("latin-1")
            return f"{self._where}: {who}: the upgrade was refused: {status}. {_CHECK_WS}"
        why = self._wire.farewell(self._last) or "without a word"
        if not self.ready.done():
            check = _CHECK_FIX if self._wire.name == "fix" else _CHECK_WS
            return f"{self._where}: {who}: the gateway closed the connection before the logon: {why}. {check}"
        return f"{self._where}: {who}: the gateway closed the connection during the run: {why}. See its log."


_CHECK_FIX = "Check --comp-id, --target-comp-id and --key; TLS is not supported."
_CHECK_WS = "Check --key-id and --key, the path /v1/ws and max_connections; TLS is not supported."
