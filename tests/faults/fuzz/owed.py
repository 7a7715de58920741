"""What somebody is owed who asks and reads on: everything, or an end that says why. Beside it, readers for strangers.

A `Debt` is told by its attacker what was asked for, hears the answers, and complains when the conversation is over: an
answer never came, or the connection was cut for output that one request of its own had brought about.
"""

from collections.abc import Iterable
from typing import Any

from tests.faults.fuzz.replies import FixReplies, WsReplies
from tests.faults.fuzz.wire import BadReply

_TLS_TYPES, _TLS_HEAD_BYTES, _TLS_MOST = range(20, 24), 5, (1 << 14) + 256


class Debt:
    """What is still to come. `has_asked`: there will be no more questions."""

    def __init__(self, is_quick: bool) -> None:
        self.answers: set[str] = set()
        self.numbers: set[int] = set()
        self.word = ""  # why the gateway ended it, as it says
        self.has_asked = False
        self._is_quick = is_quick

    @property
    def is_paid(self) -> bool:
        """Everything that was asked for has come."""
        return self.has_asked and not self.answers and not self.numbers

    def complaint(self, is_ended: bool) -> str:
        """A quick reader gets everything; a slow one that reads on gets everything or a word."""
        if self.is_paid or (is_ended and self.word and not self._is_quick):
            return ""
        left = f"owed still: {sorted(self.answers)[:5]} and {len(self.numbers)} numbers"
        if not is_ended:
            return f"silence towards somebody who asked and reads on, {left}"
        whom = "a quick reader" if self._is_quick else "a slow but steady reader"
        return f"{whom} was cut, {'told ' + self.word if self.word else 'without a word'}, {left}"


class FixOwed(FixReplies):
    """Judges a session that asks much. placed: how many orders were answered."""

    def __init__(self, debt: Debt) -> None:
        super().__init__()
        self.debt = debt
        self.placed = 0

    @property
    def last(self) -> int:
        """The highest number heard."""
        return self._next - 1

    @property
    def is_done(self) -> bool:  # type: ignore[override]
        """Whether all has come."""
        return self.debt.is_paid

    def complaint(self, is_ended: bool) -> str:
        """What is owed."""
        return self.debt.complaint(is_ended)

    def _hear(self, fields: dict[bytes, bytes]) -> None:
        kind = fields[b"35"]
        if kind == b"8" and b"584" not in fields:
            self.placed += fields[b"150"] in (b"0", b"8")
        elif kind == b"8" and (fields.get(b"912") == b"Y" or fields.get(b"911") == b"0"):
            self.debt.answers.discard(fields[b"584"].decode())
        elif kind == b"r":
            self.debt.answers.discard(fields[b"11"].decode())
        elif kind == b"j":
            self.debt.answers.discard(fields.get(b"379", b"").decode())
        elif kind == b"5":
            self.debt.word = fields.get(b"58", b"").decode("latin-1")

    def _hear_again(self, begin: int, after: int) -> None:
        if after - begin == 1:
            self.debt.numbers.discard(begin)
        else:
            self.debt.numbers.difference_update(range(begin, after))


class WsOwed(WsReplies):
    """Judges a connection that asks much; its questions have ids that are texts, its orders have numbers."""

    def __init__(self, debt: Debt) -> None:
        super().__init__()
        self.debt = debt
        self.placed = 0

    @property
    def last(self) -> int:
        """The highest number of an event heard."""
        return self._last_seq

    @property
    def is_done(self) -> bool:  # type: ignore[override]
        """Whether all has come."""
        return self.debt.is_paid

    def complaint(self, is_ended: bool) -> str:
        """What is owed."""
        return self.debt.complaint(is_ended)

    def _judge_message(self, message: object) -> None:
        super()._judge_message(message)
        assert isinstance(message, dict)
        asked = message.get("id")
        if isinstance(asked, str):
            self.debt.answers.discard(asked)
            if message["status"] != 200:
                self.debt.numbers.clear()
        elif "ev" not in message:
            self.placed += 1
        elif message.get("replay"):
            self.debt.numbers.discard(message["seq"])

    def _judge_close(self, payload: bytes) -> None:
        super()._judge_close(payload)
        self.debt.word = f"{int.from_bytes(payload[:2], 'big')} {payload[2:].decode()}"


class GetsIn(WsReplies):
    """Judges a logon (id 1) that is right, with a logout (id 2) behind it: it must be let in.

    Only a key that signs more logons in a few seconds than are remembered may be told to wait, in so many words.
    """

    def _judge_message(self, message: object) -> None:
        super()._judge_message(message)
        assert isinstance(message, dict)
        if message.get("id") == 1 and message["status"] != 200 and not _is_told_to_wait(message):
            raise BadReply(f"a logon that is right was refused: {message!r}")
        self.is_done = message.get("id") == 2


def _is_told_to_wait(answer: dict[str, Any]) -> bool:
    error = answer.get("error", {})
    return error.get("code") == 1007 and error["msg"] == "too many logons, try later" and error["retry_after_ms"] > 0


class Unheard:
    """Judges whoever must not get one byte: what it sent is no header of a balancer."""

    is_done = False

    def __init__(self) -> None:
        self.count = 0

    def feed(self, data: bytes) -> None:
        """Raises BadReply."""
        raise BadReply(f"a broken PROXY header was passed on, and answered: {data[:200]!r}")

    def complaint(self, is_ended: bool) -> str:
        """Nothing more."""
        return ""


class TlsReplies:
    """Judges a TLS port towards somebody who cannot speak TLS: records, and nothing in plain text."""

    is_done = False

    def __init__(self) -> None:
        self.count = 0
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Raises BadReply."""
        self._buffer += data
        while len(self._buffer) >= _TLS_HEAD_BYTES:
            length = int.from_bytes(self._buffer[3:5], "big")
            if self._buffer[0] not in _TLS_TYPES or self._buffer[1] != 3 or length > _TLS_MOST:
                raise BadReply(f"no TLS record: {bytes(self._buffer[:200])!r}")
            if len(self._buffer) < _TLS_HEAD_BYTES + length:
                return
            del self._buffer[: _TLS_HEAD_BYTES + length]
            self.count += 1

    def complaint(self, is_ended: bool) -> str:
        """Nothing more."""
        return ""


def owe(debt: Debt, answer: str, numbers: Iterable[int] = ()) -> str:
    """Note a question; the name its answer will have."""
    debt.answers.add(answer)
    debt.numbers.update(numbers)
    return answer
