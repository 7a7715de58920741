"""A FIX acceptor as one would write it with simplefix on uvloop: it decodes an order and reports it as new.

It checks nothing but MsgType(35): no sequence numbers, limits, book or journal.
"""

import asyncio
import time

import simplefix

from protocols.fix.times import format_ns
from tests.bench.peers.listening import serve

_COPIED = (11, 55, 54, 38, 40, 44, 59, 526)


class Acceptor(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = simplefix.FixParser()
        self._next_out = 1

    def data_received(self, data: bytes) -> None:
        self._parser.append_buffer(data)
        answers = []
        while (message := self._parser.get_message()) is not None:
            kind = message.get(35)
            if kind == b"D":
                answers.append(self._report(message))
            elif kind == b"A":
                answers.append(self._start("A", message, ((98, 0), (108, 60), (141, "Y"))))
        self._transport.write(b"".join(answers))  # type: ignore[attr-defined]

    def _report(self, order: simplefix.FixMessage) -> bytes:
        number = self._next_out
        copied = [(tag, order.get(tag)) for tag in _COPIED]
        stamp = format_ns(time.time_ns())
        own = [(37, number), (17, number), (150, 0), (39, 0), (14, 0), (151, order.get(38)), (6, 0), (60, stamp)]
        return self._start("8", order, own + copied)

    def _start(self, kind: str, message: simplefix.FixMessage, pairs: object) -> bytes:
        answer = simplefix.FixMessage()
        answer.append_pair(8, "FIX.4.4")
        answer.append_pair(35, kind)
        answer.append_pair(34, self._next_out)
        answer.append_pair(49, message.get(56))
        answer.append_pair(52, format_ns(time.time_ns()))
        answer.append_pair(56, message.get(49))
        for tag, value in pairs:  # type: ignore[attr-defined]
            answer.append_pair(tag, value)
        self._next_out += 1
        return answer.encode()


if __name__ == "__main__":
    serve(Acceptor)
