"""A FIX client on a raw socket that survives its gateway: it keeps its numbers, and recovers all it has not seen.

It never resets and sends nothing again unless it is asked to. What it hears is judged by `kill9.check`, byte by byte.
`Style` says which of the two legal ways of recovery it uses, and whether it trades on before it has recovered.
"""

import asyncio
import random
import time
from typing import cast

import msgspec

from protocols.fix.times import format_ns, parse_ns
from tests.faults.kill9.check import SESSION_TYPES, Dealings, Heard, Message, Open, Progress, Report, Violations, parse
from tests.faults.kill9.flow import Flow, Order
from tests.support.order_load import fix_message

_PROBE_S = 0.3
_THINK_S = 0.003
_BURST = 24
_WAITING_MAX = 32
_HEAD_MAX_BYTES = 40


class Style(msgspec.Struct, frozen=True):
    """How a client recovers. expects: by NextExpectedMsgSeqNum(789), else by ResendRequest(2); open_end: with
    EndSeqNo(16)=0; eager: it trades as soon as it is logged on."""

    expects: bool = False
    open_end: bool = True
    eager: bool = False


class Desk(asyncio.Protocol):
    """One session over any number of connections, one at a time. `recovered`: both sides have all that was sent.

    may_wait: what it sends may wait for tokens in the gateway, and it asks behind each burst what was read.
    """

    def __init__(
        self, comp_id: str, style: Style, rng: random.Random, violations: Violations, may_wait: bool = False
    ) -> None:
        self.name = self.account = comp_id
        self.heard = Heard(comp_id, violations)
        self.progress = Progress(comp_id, violations)
        self.dealings = Dealings(comp_id, violations)
        self.is_quiet = False  # no new requests
        self.may_lose_link = False  # the gateway is being killed
        self.recoveries = 0
        self.resent = 0  # orders of ours that the gateway asked for again
        self.closed = asyncio.Event()
        self.closed.set()
        self.recovered = asyncio.Event()
        self._style = style
        self._may_wait = may_wait
        self._rng = rng
        self._flow = Flow(comp_id, rng)
        self._violations = violations
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._sent: list[tuple[str, str, str] | None] = [None]  # by number: type, SendingTime(52), body; None = session
        self._waiting: set[str] = set()  # requests of this connection without an answer
        self._probes: dict[str, int] = {}  # TestReqID(112) of this connection to its number
        self._is_on = False
        self._thinking: asyncio.TimerHandle | None = None
        self._probing: asyncio.TimerHandle | None = None
        self._listing: dict[str, Open] = {}

    # -- the connection ------------------------------------------------------------------------------------------

    async def connect(self, port: int) -> None:
        """Log on where we stood; a gateway that is dead already is not there, and no fault."""
        try:
            await self._loop.create_connection(lambda: self, "127.0.0.1", port)
        except OSError:
            if not self.may_lose_link:
                raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing of the last connection is left but numbers and stored messages."""
        self._transport = cast(asyncio.Transport, transport)
        self._buffer = b""
        self._waiting.clear()
        self._probes.clear()
        self._is_on = False
        self.recovered.clear()
        self.closed.clear()
        self.heard.connected()
        expected = f"789={self.heard.next_in}|" if self._style.expects else ""
        self._write([self._new("A", f"98=0|108=30|{expected}25036=2|")])

    def connection_lost(self, exc: Exception | None) -> None:
        """The gateway was killed; anything else that ends a connection is a violation."""
        self._transport = None
        for timer in (self._thinking, self._probing):
            if timer is not None:
                timer.cancel()
        self._thinking = self._probing = None
        if not self.may_lose_link:
            self._add("the link was lost while the gateway lived")
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        """Judge what came, answer what asks, and go on trading."""
        self._buffer += data
        while (raw := self._next_raw()) is not None:
            message = parse(raw)
            self._judge_processed(message)
            self.heard.take(message)
            if not message.poss_dup:
                self._act_at_once(message)
            for each in self.heard.in_turn():
                self._act_in_turn(each)
        self._think()

    def _next_raw(self) -> bytes | None:
        """The next whole message; bytes that are none are a violation, and end the connection."""
        buffer = self._buffer
        start = buffer.find(b"\x019=") + 3
        stop = buffer.find(b"\x01", start)
        if start < 3 or stop < 0:
            if len(buffer) > _HEAD_MAX_BYTES:
                self._drop(f"not a message: {buffer[:80]!r}")
            return None
        end = stop + 1 + int(buffer[start:stop]) + 7
        if len(buffer) < end:
            return None
        raw, self._buffer = buffer[:end], buffer[end:]
        if raw[-7:] != b"10=%03d\x01" % (sum(raw[:-7]) % 256):
            self._drop(f"a wrong CheckSum(10): {raw!r}")
            return None
        return raw

    def _drop(self, text: str) -> None:
        self._add(text)
        self._buffer = b""
        if self._transport is not None:
            self._transport.abort()

    # -- what the gateway says -----------------------------------------------------------------------------------

    def _judge_processed(self, message: Message) -> None:
        """LastMsgSeqNumProcessed(369): in a Logon(A) what stands after the restart, else at least so much."""
        processed = message.fields.get(369)
        if processed is None:
            return
        if message.msg_type == "A":
            self.progress.expects(int(processed) + 1)
        else:
            self.progress.shows(int(processed))

    def _act_at_once(self, message: Message) -> None:
        """What cannot wait for its turn: Logon, ResendRequest, Logout."""
        fields = message.fields
        if message.msg_type == "A":
            self._logged_on(message)
        elif message.msg_type == "2":
            self.progress.expects(int(fields[7]))
            self._send_again(int(fields[7]), int(fields[16]) or len(self._sent) - 1)
        elif message.msg_type == "5":
            self._add(f"the gateway logged out: {fields.get(58, '')}")
        elif message.msg_type == "3":
            self._add(f"the gateway rejected message {fields.get(45, '')}: {fields.get(58, '')}")

    def _logged_on(self, logon: Message) -> None:
        self._is_on = True
        if self._style.expects:
            expected, ours = int(logon.fields[789]), len(self._sent) - 1
            self.progress.expects(expected)
            if expected < ours:
                self._send_again(expected, ours - 1)
        elif self.heard.next_in < logon.number:
            end = 0 if self._style.open_end else logon.number - 1
            self._write([self._new("2", f"7={self.heard.next_in}|16={end}|")])
        self._probe()

    def _probe(self) -> None:
        """Ask for a sign that all is read on both sides, until there is one."""
        self._write([self._test_request()])
        self._probing = self._loop.call_later(_PROBE_S, self._probe)

    def _test_request(self) -> bytes:
        probe_id = f"{self.name}-{len(self._sent)}"
        self._probes[probe_id] = len(self._sent)
        return self._new("1", f"112={probe_id}|")

    def _act_in_turn(self, message: Message) -> None:
        fields = message.fields
        match message.msg_type:
            case "0" if 112 in fields:
                self._sign_of_life(fields[112])
            case "1":
                self._write([self._new("0", f"112={fields[112]}|")])
            case "8" if fields[150] == "I":
                self._take_status(fields)
            case "8":
                self._settle(self.dealings.report(_report(fields)), fields[11])
            case "9":
                self._settle(self.dealings.answered(fields[11]), fields[11])
            case "j":
                self._add(f"BusinessMessageReject(j): {fields}")

    def _sign_of_life(self, probe_id: str) -> None:
        number = self._probes.pop(probe_id, 0)
        if not number:
            return
        if self._may_wait:
            self.progress.sees(number)
        else:
            self.progress.shows(number)
        if self.heard.has_gap:
            return  # a later number has been seen; its turn comes when the gap is closed
        if self._probing is not None:
            self._probing.cancel()
        self.recoveries += not self.recovered.is_set()
        self.recovered.set()

    def _settle(self, answered: object, cl_ord_id: str) -> None:
        request = self.dealings.requests.get(cl_ord_id)
        if answered is not None and request is not None:
            self._waiting.discard(cl_ord_id)
            if self._may_wait:  # a question that came before may still be open
                self.progress.sees(request.number)
            else:
                self.progress.shows(request.number)

    def _take_status(self, fields: dict[int, str]) -> None:
        if 584 not in fields:
            self._settle(self.dealings.answered(fields[790]), fields[790])
            return
        if fields[39] != "8":
            self._listing[fields[37]] = (fields[11], fields[14], fields[151])
        if fields.get(912) == "Y" or fields.get(911) == "0":
            self.dealings.listed, self._listing = self._listing, {}

    # -- what the client says ------------------------------------------------------------------------------------

    def _new(self, msg_type: str, body: str) -> bytes:
        """The next message of ours, numbered and kept."""
        number, now = len(self._sent), format_ns(time.time_ns(), 6)
        self._sent.append(None if msg_type in SESSION_TYPES else (msg_type, now, body))
        self.progress.sent = number
        return fix_message(f"35={msg_type}|34={number}|49={self.name}|52={now}|56=GATE|{body}")

    def _write(self, messages: list[bytes]) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(messages))

    def _send_again(self, begin: int, end: int) -> None:
        """Orders as possible duplicates, gap fills over session messages.

        Source: FIX.4.4 volume 2, message recovery.
        """
        now = format_ns(time.time_ns(), 6)
        again: list[bytes] = []
        filled = begin  # first number of a run without an order
        for number in range(begin, end + 1):
            kept = self._sent[number]
            if kept is None:
                continue
            if filled < number:
                again.append(self._gap_fill(filled, number, now))
            msg_type, sent_at, body = kept
            head = f"35={msg_type}|34={number}|43=Y|49={self.name}|52={now}|56=GATE|122={sent_at}|"
            again.append(fix_message(head + body))
            filled = number + 1
            self.resent += 1
        if filled <= end:
            again.append(self._gap_fill(filled, end + 1, now))
        self._write(again)

    def _gap_fill(self, begin: int, next_number: int, now: str) -> bytes:
        head = f"35=4|34={begin}|43=Y|49={self.name}|52={now}|56=GATE|122={now}|"
        return fix_message(f"{head}123=Y|36={next_number}|")

    def _think(self) -> None:
        may_trade = self._is_on and (self._style.eager or self.recovered.is_set()) and not self.is_quiet
        if may_trade and self._thinking is None and self._transport is not None:
            self._thinking = self._loop.call_later(self._rng.random() * _THINK_S, self._trade)

    def _trade(self) -> None:
        """One burst of requests, in one write; then wait for answers."""
        self._thinking = None
        room = _WAITING_MAX - len(self._waiting)
        if self.is_quiet or room <= 0:
            return
        burst: list[bytes] = []
        for _ in range(min(self._rng.randint(1, _BURST), room)):
            order = self._flow.next(self.dealings.open)
            self._ask(order)
            burst.append(self._new(order.msg_type, order.body))
        if self._may_wait:
            burst.append(self._test_request())
        self._write(burst)
        self._think()

    def _ask(self, order: Order) -> None:
        self.dealings.ask(order.cl_ord_id, order.msg_type, len(self._sent))
        self._waiting.add(order.cl_ord_id)

    async def settled(self, timeout_s: float) -> None:
        """No more requests; wait until both sides have read all, and all that was asked here is answered.

        Raises:
            TimeoutError: it does not come to that.
        """
        self.is_quiet = True
        async with asyncio.timeout(timeout_s):
            await self.recovered.wait()
            while self._waiting or self.heard.has_gap:
                await asyncio.sleep(0.01)
            self.recovered.clear()
            self._probe()
            await self.recovered.wait()

    async def list_open(self, timeout_s: float) -> None:
        """Ask the core what is open.

        Raises:
            TimeoutError: no answer.
        """
        self._write([self._new("AF", f"584=end-{len(self._sent)}|585=7|")])
        async with asyncio.timeout(timeout_s):
            while self.dealings.listed is None:
                await asyncio.sleep(0.01)

    @property
    def read(self) -> int:
        """The highest of our numbers that the gateway has shown to have read."""
        return self.progress.read

    @property
    def standing(self) -> str:
        """What is not yet as it should be, for people."""
        return (
            f"expects {self.heard.next_in}, the gateway has sent {self.heard.highest}; the gateway has read"
            f" {self.progress.read} of {self.progress.sent}; {len(self._waiting)} requests are not answered"
            f" ({', '.join(sorted(self._waiting)[:3])} ...)"
        )

    def leave(self) -> None:
        """End the connection, which is our own doing."""
        self.may_lose_link = True
        if self._transport is not None:
            self._transport.abort()

    def _add(self, text: str) -> None:
        self._violations.add(f"{self.name}: {text}")


def _report(fields: dict[int, str]) -> Report:
    trade = (fields[1003], fields[31], fields[32]) if fields[150] == "F" else ()
    return Report(
        fields[150],
        fields[17],
        fields[37],
        fields[11],
        fields[14],
        fields[151],
        fields.get(41, ""),
        trade,
        fields[54],
        parse_ns(fields[60]),
    )
