"""A FIX client for a gateway whose disk fails: it says what a test tells it, keeps its numbers, and misses no byte.

What it hears is judged by `kill9.check.Heard` over all its connections: one content for each number, whatever happens
to the gateway. It answers a TestRequest(1), and a ResendRequest(2) by filling over: what the gateway has not recorded
it never gets.
"""

import asyncio
import re
import time
from typing import cast

from tests.faults.kill9.check import Heard, Message, Violations, parse
from tests.support.dialogue import expand
from tests.support.fix_text import fix

_PATIENCE_S = 10.0
_TOLD = 5  # messages shown when the one that was expected has not come
_WHOLE = re.compile(rb"8=FIX[^\x01]+\x019=([0-9]+)\x01")
_TRAILER_BYTES = len("10=000|")


class Client(asyncio.Protocol):
    """One session. messages: all that was heard, with `at`: when, on the monotonic clock."""

    def __init__(self, comp_id: str, violations: Violations) -> None:
        self.comp_id = comp_id
        self.heard = Heard(comp_id, violations)
        self.messages: list[Message] = []
        self.at: list[float] = []
        self.received_bytes = 0
        self.closed = asyncio.Event()
        self._next_out = 1
        self._buffer = b""
        self._more = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    async def log_on(self, port: int, heart_bt_int_s: int = 30) -> None:
        """Connect and log on where we stood."""
        self._buffer = b""
        self.closed.clear()
        self.heard.connected()
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)
        since = len(self.messages)
        self.say(f"35=A|98=0|108={heart_bt_int_s}|25036=2")
        await self.hear({35: "A"}, since)

    def leave(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def say(self, *lines: str) -> None:
        """Send these messages in one piece, each with the next number; `35=` comes first."""
        assert self._transport is not None
        texts = []
        for line in lines:
            msg_type, _, body = line.partition("|")
            texts.append(expand(f"{msg_type}|34={self._next_out}|{body}", time.time_ns(), self.comp_id, "GATE"))
            self._next_out += 1
        self._transport.write(b"".join(fix(text) for text in texts))

    def place(self, *cl_ord_ids: str, side: str = "1") -> None:
        """New orders for one BTC at 50000, in one piece."""
        self.say(*(f"35=D|11={name}|55=BTC-USDT|54={side}|38=1|40=2|44=50000" for name in cl_ord_ids))

    def cancel(self, cl_ord_id: str, orig_cl_ord_id: str) -> None:
        """OrderCancelRequest(F)."""
        self.say(f"35=F|11={cl_ord_id}|41={orig_cl_ord_id}|55=BTC-USDT|54=1")

    async def hear(self, wanted: dict[int, str], since: int = 0) -> Message:
        """The first message from place `since` on that has all these values; waits for it."""
        place = since
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while True:
                    while place < len(self.messages):
                        if wanted.items() <= self.messages[place].fields.items():
                            return self.messages[place]
                        place += 1
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            told = "\n".join(str(message.fields) for message in self.messages[-_TOLD:])
            raise AssertionError(f"{self.comp_id} expected {wanted}, heard at last:\n{told}") from None

    async def answer(self, cl_ord_id: str) -> Message:
        """The first message that names the request."""
        return await self.hear({11: cl_ord_id})

    async def recover(self) -> dict[int, bytes]:
        """Ask for everything again; the content of each application message, by number. Nothing may be missing."""
        since, last = len(self.messages), self.heard.highest
        self.say("35=2|7=1|16=0")
        again: dict[int, bytes] = {}
        covered = 0
        while covered < last:
            message = await self.hear({43: "Y"}, since)
            since = self.messages.index(message, since) + 1
            covered = int(message.fields[36]) - 1 if message.is_gap_fill else message.number
            if not message.is_gap_fill:
                again[message.number] = message.content
        return again

    async def open_orders(self, ask_id: str) -> set[str]:
        """Ids of the orders that the core has open."""
        self.say(f"35=AF|584={ask_id}|585=7")
        rows = [await self.hear({35: "8", 584: ask_id, 912: "Y"})]
        rows += [message for message in self.messages if message.fields.get(584) == ask_id]
        return {message.fields[11] for message in rows if message.fields[911] != "0"}

    def reports(self) -> dict[str, list[str]]:
        """ExecType(150) of every report, in order and once each, by ClOrdID(11)."""
        kinds: dict[str, list[str]] = {}
        for message in {message.number: message for message in self.messages}.values():
            if message.msg_type == "8":
                kinds.setdefault(message.fields[11], []).append(message.fields[150])
        return kinds

    # -- the connection ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The gateway ended it, or we did."""
        self._transport = None
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        """Take whole messages out of what came."""
        self.received_bytes += len(data)
        self._buffer += data
        while found := _WHOLE.match(self._buffer):
            end = found.end() + int(found[1]) + _TRAILER_BYTES
            if end > len(self._buffer):
                break
            raw, self._buffer = self._buffer[:end], self._buffer[end:]
            self._take(parse(raw))
        self._more.set()

    def _take(self, message: Message) -> None:
        self.messages.append(message)
        self.at.append(time.monotonic())
        self.heard.take(message)
        for _ in self.heard.in_turn():
            pass
        if message.msg_type == "1":
            self.say(f"35=0|112={message.fields[112]}")
        elif message.msg_type == "2":
            begin = int(message.fields[7])
            text = f"35=4|34={begin}|43=Y|122=20260101-00:00:00|123=Y|36={self._next_out}"
            assert self._transport is not None
            self._transport.write(fix(expand(text, time.time_ns(), self.comp_id, "GATE")))
