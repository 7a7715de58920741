"""A FIX client based on simplefix, for simulators, tests and users. It shares no protocol code with the gateway.

One `FixClient` is one session: it keeps both sequence numbers over any number of connections, sends heartbeats,
requests gaps, and answers a ResendRequest(2) with a gap fill, because sending an old order again is dangerous.
Everything is a callback on the event loop; messages sent in one turn of the loop leave in one write.
"""

import asyncio
import base64
import ssl
import time
from collections.abc import Callable, Iterable
from typing import cast

import msgspec
import simplefix
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from simplefix.errors import ParsingError

Fields = dict[int, str]
Pairs = Iterable[tuple[int, object]]
OnMessage = Callable[[str, Fields], None]

_SLICE_BYTES = 4_096  # simplefix copies its buffer once per field: with short slices a long read stays linear
_SESSION_TYPES = frozenset("012345A")


class LogonRefused(ConnectionError):
    """The gateway closed the connection, or sent Logout(5), instead of a Logon(A)."""


class FixIdentity(msgspec.Struct, frozen=True):
    """The identity of a session. seed: the 32 bytes of its Ed25519 key; empty = no credentials."""

    sender_comp_id: str
    key_id: str = ""
    seed: bytes = b""
    target_comp_id: str = "GATE"
    begin_string: str = "FIX.4.4"
    heart_bt_int_s: int = 30


class FixCounts(msgspec.Struct):
    """Messages of the session since the client was made."""

    sent: int = 0
    received: int = 0
    heartbeats: int = 0
    test_requests: int = 0
    gaps: int = 0  # ResendRequest(2) sent
    gap_fills: int = 0  # ResendRequest(2) answered
    duplicates: int = 0  # PossDupFlag(43)=Y with a number already seen


def sending_time(now_ns: int) -> str:
    """`now_ns` as a UTCTimestamp with microseconds."""
    seconds, rest = divmod(now_ns, 1_000_000_000)
    return time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1000:06d}"


def signature(seed: bytes, parts: Iterable[str]) -> str:
    """Base64 of the Ed25519 signature over `A`, 49, 56, 34 and 52 joined by SOH (RULES A.2)."""
    return base64.b64encode(Ed25519PrivateKey.from_private_bytes(seed).sign("\x01".join(parts).encode())).decode()


class FixClient(asyncio.Protocol):
    """One FIX session as its initiator.

    on_message is called with MsgType(35) and the fields of each application message and Reject(3), in sequence and
    once each; of a repeating group, each field keeps its first value. `closed` is set while there is no connection.
    on_asked_again is called with the first and the last of the numbers that the gateway asks for again, before they are
    gap-filled: what was sent under them did not get there, and never will.
    """

    def __init__(self, identity: FixIdentity, on_message: OnMessage | None = None) -> None:
        self.identity = identity
        self.on_message = on_message
        self.on_asked_again: Callable[[int, int], None] | None = None
        self.next_out = 1
        self.next_in = 1
        self.counts = FixCounts()
        self.closed = asyncio.Event()
        self.closed.set()
        self.logout_text = ""  # Text(58) of the gateway's last Logout(5)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = simplefix.FixParser()
        self._out: list[bytes] = []
        self._logon: asyncio.Future[Fields] | None = None
        self._asked_up_to = 0  # a ResendRequest(2) is being served until NextIn has passed this number
        self._timer: asyncio.TimerHandle | None = None
        self._received_at = self._sent_at = 0.0
        self._probed = False
        self._sent_logout = False

    async def logon(  # one call carries what a Logon(A) may ask for
        self,
        host: str,
        port: int,
        *,
        reset: bool = False,
        fields: Pairs = (),
        timeout_s: float = 5.0,
        tls: ssl.SSLContext | None = None,
    ) -> Fields:
        """Connect and log on; the fields of the gateway's Logon(A).

        reset: send ResetSeqNumFlag(141)=Y, both numbers go back to 1. fields: more pairs for the Logon, such as
        `(8013, "S")`.

        Raises:
            LogonRefused: the gateway closed or logged out instead; the numbers stay, except that of the Logon.
            TimeoutError: no answer in time; the connection is cut.
        """
        if self._transport is not None:
            raise RuntimeError("this session is already connected")
        self._logon = self._loop.create_future()
        await self._loop.create_connection(lambda: self, host, port, ssl=tls)
        if reset:
            self.next_out = self.next_in = 1
        self._send_logon(reset, fields)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._logon
        except BaseException:
            self.abort()
            raise

    def _send_logon(self, reset: bool, fields: Pairs) -> None:
        me = self.identity
        now = sending_time(time.time_ns())
        pairs: list[tuple[int, object]] = [(98, 0), (108, me.heart_bt_int_s)]
        if reset:
            pairs.append((141, "Y"))
        if me.begin_string == "FIXT.1.1":
            pairs.append((1137, 9))
        if me.seed:
            if me.begin_string != "FIX.4.2":
                pairs.append((553, me.key_id))
            signed = signature(me.seed, ("A", me.sender_comp_id, me.target_comp_id, str(self.next_out), now))
            pairs += [(95, len(signed)), (96, signed)]
        self.send("A", [*pairs, *fields], at=now)

    async def logout(self, *, fields: Pairs = (), timeout_s: float = 5.0) -> None:
        """Exchange Logout(5) and wait until the gateway closes; cut the connection if it does not in time."""
        if self._transport is None:
            return
        self._sent_logout = True
        self.send("5", fields)
        try:
            async with asyncio.timeout(timeout_s):
                await self.closed.wait()
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """Cut the connection without a Logout, as a crash would."""
        if self._transport is not None:
            self._transport.abort()

    def place(
        self,
        cl_ord_id: str,
        symbol: str,
        side: str,
        qty: str,
        price: str | None = None,
        *,
        tif: str | None = None,
        fields: Pairs = (),
    ) -> int:
        """Send NewOrderSingle(D), a market order when price is None; its MsgSeqNum. side is "1" buy or "2" sell."""
        pairs = [(11, cl_ord_id), (55, symbol), (54, side), (60, sending_time(time.time_ns())), (38, qty)]
        pairs += [(40, "1")] if price is None else [(40, "2"), (44, price)]
        if tif is not None:
            pairs.append((59, tif))
        return self.send("D", [*pairs, *fields])

    def cancel(self, cl_ord_id: str, orig_cl_ord_id: str, symbol: str, side: str) -> int:
        """Send OrderCancelRequest(F); its MsgSeqNum."""
        now = sending_time(time.time_ns())
        return self.send("F", [(11, cl_ord_id), (41, orig_cl_ord_id), (55, symbol), (54, side), (60, now)])

    def replace(
        self, cl_ord_id: str, orig_cl_ord_id: str, symbol: str, side: str, qty: str, price: str, *, fields: Pairs = ()
    ) -> int:
        """Send OrderCancelReplaceRequest(G) for a limit order, qty being the new total; its MsgSeqNum."""
        now = sending_time(time.time_ns())
        pairs = [(11, cl_ord_id), (41, orig_cl_ord_id), (55, symbol), (54, side), (60, now)]
        return self.send("G", [*pairs, (38, qty), (40, "2"), (44, price), *fields])

    def mass_cancel(self, cl_ord_id: str, symbol: str | None = None) -> int:
        """Send OrderMassCancelRequest(q), for all of the account or of one symbol; its MsgSeqNum."""
        scope: list[tuple[int, object]] = [(530, "7")] if symbol is None else [(530, "1"), (55, symbol)]
        return self.send("q", [(11, cl_ord_id), *scope, (60, sending_time(time.time_ns()))])

    def status(self, cl_ord_id: str, symbol: str, side: str) -> int:
        """Send OrderStatusRequest(H); its MsgSeqNum."""
        return self.send("H", [(11, cl_ord_id), (55, symbol), (54, side)])

    def send(self, msg_type: str, pairs: Pairs, *, seq_num: int | None = None, at: str | None = None) -> int:
        """Send any message; its MsgSeqNum(34).

        seq_num, if given, is sent instead of the next number, and none is used.

        Raises:
            ConnectionError: there is no connection; no number was used.
        """
        if self._transport is None:
            raise ConnectionError("not connected")
        number = self.next_out if seq_num is None else seq_num
        message, me = simplefix.FixMessage(), self.identity
        head = ((8, me.begin_string), (35, msg_type), (34, number), (49, me.sender_comp_id))
        for tag, value in (*head, (52, at or sending_time(time.time_ns())), (56, me.target_comp_id), *pairs):
            message.append_pair(tag, value)
        if seq_num is None:
            self.next_out += 1
        self.counts.sent += 1
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(message.encode())
        return number

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._sent_at = self._loop.time()
        self._out.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A new connection: input and output of the old one are dropped, the numbers stay."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._parser.reset()
        self._out.clear()
        self._asked_up_to = 0
        self._probed = self._sent_logout = False
        self._received_at = self._sent_at = self._loop.time()
        self.logout_text = ""
        self.closed.clear()
        self._timer = self._loop.call_later(self.identity.heart_bt_int_s / 4, self._beat)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ended; a Logon that still waits is refused."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._logon is not None and not self._logon.done():
            self._logon.set_exception(LogonRefused(self.logout_text or "closed without an answer"))
        self.closed.set()

    def _beat(self) -> None:
        """Send a heartbeat after our own silence, a TestRequest after 1.2 intervals of the peer's; cut after 2.4."""
        now, interval = self._loop.time(), self.identity.heart_bt_int_s
        silence = now - self._received_at
        if silence >= 2.4 * interval:
            self.abort()
            return
        if silence >= 1.2 * interval and not self._probed:
            self._probed = True
            self.send("1", [(112, f"T{self.next_out}")])
        elif now - self._sent_at >= 0.75 * interval:
            self.send("0", ())
        self._timer = self._loop.call_later(interval / 4, self._beat)

    def data_received(self, data: bytes) -> None:
        """Process received bytes; if simplefix cannot read them, end the connection."""
        self._received_at, self._probed = self._loop.time(), False
        try:
            for start in range(0, len(data), _SLICE_BYTES):
                self._parser.append_buffer(data[start : start + _SLICE_BYTES])
                while (message := self._parser.get_message()) is not None:
                    self._receive({int(tag): value.decode() for tag, value in reversed(message.pairs)})
        except ParsingError:
            self.abort()

    def _receive(self, fields: Fields) -> None:
        self.counts.received += 1
        msg_type, number = fields[35], int(fields[34])
        if msg_type == "A":
            self.next_in = 1 if fields.get(141) == "Y" else self.next_in
            if self._logon is not None and not self._logon.done():
                self._logon.set_result(fields)
        if msg_type == "4" and fields.get(123) != "Y":
            self.next_in = int(fields[36])
            return
        if number > self.next_in:
            self._take_early(msg_type, number, fields)
        elif number < self.next_in:
            self._take_late(fields)
        else:
            self.next_in = int(fields[36]) if msg_type == "4" else number + 1
            self._take(msg_type, fields)

    def _take_early(self, msg_type: str, number: int, fields: Fields) -> None:
        """Request the gap once; early messages are not kept, because the resend includes them.

        A ResendRequest and a Logout are processed all the same; otherwise both sides could wait for each other's gap
        forever.
        """
        if self._asked_up_to < self.next_in:
            self.counts.gaps += 1
            self.send("2", [(7, self.next_in), (16, 0)])
        self._asked_up_to = max(self._asked_up_to, number)
        if msg_type in "25":
            self._take(msg_type, fields)

    def _take_late(self, fields: Fields) -> None:
        if fields.get(43) == "Y":
            self.counts.duplicates += 1
            return
        self._sent_logout = True
        self.send("5", [(58, f"MsgSeqNum too low, expecting {self.next_in} but received {fields[34]}")])
        self._loop.call_soon(self.abort)

    def _take(self, msg_type: str, fields: Fields) -> None:
        if msg_type not in _SESSION_TYPES or msg_type == "3":
            if self.on_message is not None:
                self.on_message(msg_type, fields)
        elif msg_type == "1":
            self.counts.test_requests += 1
            self.send("0", [(112, fields[112])])
        elif msg_type == "0":
            self.counts.heartbeats += 1
        elif msg_type == "2":
            self._fill(fields)
        elif msg_type == "5":
            self._take_logout(fields)

    def _fill(self, fields: Fields) -> None:
        self.counts.gap_fills += 1
        begin, end = int(fields[7]), int(fields[16])
        upto = self.next_out if end in {0, 999_999} else min(end + 1, self.next_out)
        if begin < upto:
            if self.on_asked_again is not None:
                self.on_asked_again(begin, upto - 1)
            origin = sending_time(time.time_ns())
            self.send("4", [(43, "Y"), (122, origin), (123, "Y"), (36, upto)], seq_num=begin, at=origin)

    def _take_logout(self, fields: Fields) -> None:
        self.logout_text = fields.get(58, "")
        if not self._sent_logout:
            self._sent_logout = True
            self.send("5", ())  # the gateway closes after our answer
        elif self._transport is not None:
            self._transport.close()
