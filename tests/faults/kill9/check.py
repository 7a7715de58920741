"""What must hold for one client, whatever happens to the gateway: judged message by message, over all its connections.

Pure bookkeeping, fed by the clients and by tests with planted faults. It shares no code with the gateway. A number that
the gateway has sent has one content for ever: what differs between a message and its resend is `_VARIES` and no more.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

SOH = b"\x01"
SESSION_TYPES = frozenset("012345A")
_VARIES = frozenset({b"9", b"10", b"43", b"52", b"122", b"369"})
_KEPT = 40  # violations told in full; one fault often brings a thousand more


class Violations:
    """What was found, the first of them in words. `where`: told with each, such as the round."""

    def __init__(self) -> None:
        self.where = ""
        self.count = 0
        self.texts: list[str] = []

    def add(self, text: str) -> None:
        """One more."""
        self.count += 1
        if len(self.texts) < _KEPT:
            self.texts.append(f"{self.where}: {text}" if self.where else text)


class Message(msgspec.Struct, frozen=True):
    """One message of the gateway. fields: the first of each tag; content: the bytes that a resend must repeat."""

    msg_type: str
    number: int
    poss_dup: bool
    fields: dict[int, str]
    content: bytes

    @property
    def is_gap_fill(self) -> bool:
        """SequenceReset(4) with GapFillFlag(123)=Y."""
        return self.msg_type == "4" and self.fields.get(123) == "Y"


def parse(raw: bytes) -> Message:
    """A whole message, whose framing has been checked."""
    parts = raw[:-1].split(SOH)
    fields: dict[int, str] = {}
    for part in reversed(parts):
        tag, _, value = part.partition(b"=")
        fields[int(tag)] = value.decode("latin-1")
    content = SOH.join([part for part in parts if part.partition(b"=")[0] not in _VARIES])
    return Message(fields[35], int(fields[34]), fields.get(43) == "Y", fields, content)


class Heard:
    """All that the gateway has sent in one session. Everything in it outlives connections, but for `connected`."""

    def __init__(self, name: str, violations: Violations) -> None:
        self.next_in = 1  # of the client: the first number it has not taken in turn
        self.highest = 0  # sent as new
        self.recovered = 0  # messages first seen as a resend
        self._name = name
        self._violations = violations
        self._known: dict[int, tuple[bytes, str]] = {}  # content and SendingTime(52); b"": nothing to be sent again
        self._waiting: dict[int, Message | None] = {}  # seen, and not yet taken in turn
        self._latest = 0  # new on this connection

    def connected(self) -> None:
        """A new connection: its first message goes on behind all numbers before it."""
        self._latest = 0

    @property
    def has_gap(self) -> bool:
        """Whether a number that was used is still unknown."""
        return self.next_in <= self.highest

    def take(self, message: Message) -> None:
        """Judge one message and keep it."""
        if not message.poss_dup:
            self._judge_new(message.number)
        elif message.number > self.highest:
            self._add(f"MsgSeqNum(34)={message.number} is a possible duplicate of nothing sent before")
        if message.is_gap_fill:
            self._take_gap_fill(message)
        else:
            self._take(message)

    def in_turn(self) -> Iterator[Message]:
        """The messages whose turn has come, in the order of their numbers, once each."""
        while self.next_in in self._waiting:
            message = self._waiting.pop(self.next_in)
            self.next_in += 1
            if message is not None:
                yield message

    def _judge_new(self, number: int) -> None:
        if number in self._known:
            self._add(f"MsgSeqNum(34)={number} was sent a second time without PossDupFlag(43)=Y")
        elif number <= self.highest:
            self._add(f"MsgSeqNum(34) went back to {number} behind {self.highest}")
        elif self._latest and number != self._latest + 1:
            self._add(f"MsgSeqNum(34)={number} follows {self._latest}")
        self._latest = number
        self.highest = max(self.highest, number)

    def _take(self, message: Message) -> None:
        number, sent_at = message.number, message.fields.get(52, "")
        content = b"" if message.msg_type in SESSION_TYPES else message.content
        if message.poss_dup:
            sent_at = self._original_time(message)
            if not content:
                self._add(f"MsgSeqNum(34)={number}, a session message, was sent again")
        known = self._known.setdefault(number, (content, sent_at))
        if known[0] != content:
            self._add(f"MsgSeqNum(34)={number} has two contents: {known[0]!r}, then {content!r}")
        elif message.poss_dup and content and known[1] != sent_at:
            self._add(f"MsgSeqNum(34)={number} was sent at {known[1]}, says OrigSendingTime(122)={sent_at}")
        if number >= self.next_in and number not in self._waiting:
            self._waiting[number] = message
            self.recovered += message.poss_dup

    def _original_time(self, message: Message) -> str:
        original, again = message.fields.get(122, ""), message.fields.get(52, "")
        if not original or original > again:
            self._add(f"MsgSeqNum(34)={message.number} sent again at {again} has OrigSendingTime(122)={original}")
        return original

    def _take_gap_fill(self, message: Message) -> None:
        end = int(message.fields[36])
        if not message.number < end <= self.highest + 1:
            self._add(f"gap fill from {message.number} to {end}, the highest number sent is {self.highest}")
            return
        for number in range(message.number, end):
            content, _ = self._known.setdefault(number, (b"", ""))
            if content:
                self._add(f"MsgSeqNum(34)={number} was {content!r} and is filled over now")
            if number >= self.next_in:
                self._waiting.setdefault(number, None)

    def _add(self, text: str) -> None:
        self._violations.add(f"{self._name}: {text}")


class Progress:
    """How far the gateway has read what one client sent: never above it, and never back over what it has dealt with.

    It may go back over what it had read and was still waiting for tokens with, which has no record: see `waited`.
    """

    def __init__(self, name: str, violations: Violations) -> None:
        self.sent = 0  # highest number of the client's
        self.read = 0  # highest number that the gateway has shown to have read
        self.waited = 0  # how often the gateway went back to what it had read
        self._done = 0  # highest number up to which it has shown to have dealt with everything
        self._name = name
        self._violations = violations

    def shows(self, number: int) -> None:
        """A message of the gateway shows that it has dealt with everything up to here."""
        self.sees(number)
        self._done = max(self._done, number)

    def sees(self, number: int) -> None:
        """A message of the gateway shows that it has read up to here; what it waits with may be below."""
        if number > self.sent:
            self._violations.add(f"{self._name}: the gateway has read {number}, the client has sent {self.sent}")
        self.read = max(self.read, number)

    def expects(self, number: int) -> None:
        """The gateway says what it expects next."""
        if number <= self._done:
            self._violations.add(f"{self._name}: NextIn went back: {number} is expected, {self._done} was dealt with")
        elif number <= self.read:
            self.waited += 1
            self.read = number - 1
        self.shows(number - 1)


class Report(msgspec.Struct, frozen=True):
    """What one ExecutionReport(8) or order event tells. exec: FIX's ExecType(150)."""

    exec: str
    exec_id: str
    order_id: str
    cl_ord_id: str
    cum_qty: str
    leaves_qty: str
    orig_cl_ord_id: str = ""
    trade: tuple[str, ...] = ()  # id, price, quantity
    side: str = ""
    at_ns: int = 0  # of the core


class Request(msgspec.Struct):
    """One request of a client. kind: its MsgType(35)."""

    kind: str
    number: int
    answers: int = 0
    accepted: int = 0


Open = tuple[str, str, str]
"""ClOrdID(11), CumQty(14), LeavesQty(151) of an open order."""


class Dealings:
    """What one client asked, was answered, and must believe to be open: by its own record, from reports alone."""

    def __init__(self, name: str, violations: Violations) -> None:
        self.requests: dict[str, Request] = {}
        self.open: dict[str, Open] = {}  # by OrderID(37)
        self.trades: list[tuple[tuple[str, ...], str]] = []  # and side
        self.listed: dict[str, Open] | None = None  # what the core says is open, at the end
        self.spent_ns: list[int] = []  # when the core took an order, or a change of one: each has cost a token
        self._name = name
        self._violations = violations
        self._exec_ids: set[str] = set()

    def ask(self, cl_ord_id: str, kind: str, number: int) -> None:
        """A request left."""
        self.requests[cl_ord_id] = Request(kind, number)

    def answered(self, cl_ord_id: str) -> Request | None:
        """The first answer to a request; a second one is a violation. None: it is no request of ours."""
        request = self.requests.get(cl_ord_id)
        if request is not None:
            request.answers += 1
            if request.answers > 1:
                self._violations.add(f"{self._name}: {request.kind} {cl_ord_id} was answered {request.answers} times")
        return request

    def report(self, report: Report) -> Request | None:
        """Take in a report about an order; the request it answers, if it does."""
        if report.exec_id in self._exec_ids:
            self._violations.add(f"{self._name}: ExecID(17)={report.exec_id} was told twice")
        self._exec_ids.add(report.exec_id)
        request = self._answered_by(report)
        if report.exec == "8":
            return request
        if report.exec == "0" and request is not None:
            request.accepted += 1
            if request.accepted > 1:
                self._violations.add(f"{self._name}: order {report.cl_ord_id} was accepted twice")
        if report.exec in "05":
            self.spent_ns.append(report.at_ns)
        if report.exec == "F":
            self.trades.append((report.trade, report.side))
        if report.leaves_qty.strip("0.") and report.exec != "4":
            self.open[report.order_id] = (report.cl_ord_id, report.cum_qty, report.leaves_qty)
        else:
            self.open.pop(report.order_id, None)
        return request

    def _answered_by(self, report: Report) -> Request | None:
        asked = self.requests.get(report.cl_ord_id)
        if asked is None:
            return None
        answers = {"D": "08", "F": "4", "G": "5"}.get(asked.kind, "")
        return self.answered(report.cl_ord_id) if report.exec in answers else None

    def unanswered(self, read: int) -> list[str]:
        """Requests that the gateway has read and never answered."""
        return [name for name, each in self.requests.items() if each.number <= read and not each.answers]

    def judge_core(self, read: int) -> None:
        """Every request has its answer, and the core has open what the client believes to be open."""
        for cl_ord_id in self.unanswered(read):
            self._violations.add(f"{self._name}: {self.requests[cl_ord_id]} {cl_ord_id} was read and never answered")
        if self.listed is None:
            self._violations.add(f"{self._name}: the core has not said what is open")
            return
        for order_id in self.open.keys() | self.listed.keys():
            ours, theirs = self.open.get(order_id), self.listed.get(order_id)
            if ours != theirs:
                self._violations.add(f"{self._name}: order {order_id} is {ours} to the client, {theirs} in the core")


def judge_trades(all_dealings: Iterable[Dealings], violations: Violations) -> int:
    """Each trade was told to both of its sides, once each, in the same words; how many trades there were."""
    sides: Counter[tuple[tuple[str, ...], str]] = Counter()
    for dealings in all_dealings:
        sides.update(dealings.trades)
    for (trade, side), times in sides.items():
        other = "2" if side == "1" else "1"
        if times > 1:
            violations.add(f"trade {trade} was told {times} times to side {side}")
        if not sides[trade, other]:
            violations.add(f"trade {trade} was told to side {side} only")
    return len({trade for trade, _ in sides})
