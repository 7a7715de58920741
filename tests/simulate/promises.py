"""What must hold, as clients and a look behind the scenes can tell. Whatever does not hold raises `Broken`.

A `Ledger` is one client's own account of what it asked and what it was told; `check_*` compare ledgers and the engine.
Tokens have a check of their own (`tests.simulate.spending`).
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from gateway.core.engine import Engine
from gateway.journal import Journal, JournalSettings
from gateway.journal.end import read_end
from gateway.journal.record import JournalCorrupt, SegmentHeader
from gateway.server import Server
from protocols.fix.events import AppMessage
from tests.simulate.world import Broken, World

DUPLICATE, UNKNOWN_OUTCOME = 4003, 5004
SHED = frozenset((5001, 4011))
"""Refusals for load and for the venue's state: never of a cancel."""


class Asked:
    """One request that has no first answer. turn: of its desk, when it was last sent. is_unknown: told so (5004)."""

    __slots__ = ("is_unknown", "kind", "params", "sent_ns", "tries", "turn")

    def __init__(self, kind: str, params: dict[str, str], sent_ns: int, turn: int) -> None:
        self.kind = kind
        self.params = params
        self.sent_ns = sent_ns
        self.turn = turn
        self.tries = 0
        self.is_unknown = False


class Ledger:
    """One client's account of things. `book`: open orders of its account, by order id, as (client id, leaves)."""

    def __init__(self, world: World, name: str, account: int, session: int = 0) -> None:
        """session: of FIX, which hears of its own orders only; 0 = hears all of its account."""
        self.world = world
        self.session = session
        self.name = name
        self.account = account
        self.waiting: dict[str, Asked] = {}
        self.accepted: dict[str, str] = {}
        self.refused: set[str] = set()
        self.book: dict[str, tuple[str, float]] = {}
        self.last_seq: int | None = None
        self.counts: Counter[str] = Counter()
        self._events: dict[int, str] = {}
        self._retried: set[str] = set()
        self._swept: set[str] = set()
        self._answered: set[str] = set()
        self._number = 0

    def new_id(self) -> str:
        """A client id that nobody has used."""
        self._number += 1
        return f"{self.name}-{self._number}"

    def asked(self, id: str, asked: Asked) -> None:
        """A request leaves."""
        self.waiting[id] = asked
        self.counts[asked.kind] += 1

    def accept(self, id: str, order_id: str) -> None:
        """An order of ours was told accepted, by an event of the stream."""
        if id in self.accepted:
            raise Broken(f"e: {self.name} was told twice that {id} is accepted")
        self.check_not_refused(id)
        self.accepted[id] = order_id
        self.answered(id)

    def refuse(self, id: str, code: int) -> None:
        """A request of ours was told refused."""
        asked = self.waiting.get(id)
        self.counts[f"refused {code}"] += 1
        if asked is not None and asked.kind in ("cancel", "sweep") and code in SHED:
            raise Broken(f"9: a cancel of {self.name} was refused for load with {code}")
        if code == UNKNOWN_OUTCOME:
            if asked is not None:
                asked.is_unknown = True
            return
        is_own_doing = asked is not None and (asked.tries or asked.kind != "new")
        if asked is None and id in self._answered and id not in self._retried:
            raise Broken(f"3: {self.name} was told that {id} is refused ({code}) after it had its answer")
        if id in self.accepted and not (is_own_doing and code == DUPLICATE) and id not in self._retried:
            raise Broken(f"3: {self.name} was told that {id} is refused ({code}) after it was accepted")
        if asked is not None and code != DUPLICATE:
            self.refused.add(id)
        self.answered(id)

    def swept(self, id: str) -> None:
        """A mass cancel of ours was told done."""
        if id in self._swept:
            raise Broken(f"3: {self.name} was told twice that {id} is done")
        self._swept.add(id)
        self.answered(id)

    def check_not_refused(self, id: str) -> None:
        """An order that was refused is not accepted afterwards, unless it was asked for twice."""
        if id in self.refused and id not in self._retried:
            raise Broken(f"3: {self.name} was told that {id} is accepted after it was refused")

    def retried(self, id: str) -> None:
        """It was sent again as a possible repeat: it may be told both accepted and a duplicate."""
        self._retried.add(id)

    def answered(self, id: str) -> None:
        """Whatever the answer is."""
        self._answered.add(id)
        self.waiting.pop(id, None)

    def give_up(self, id: str) -> None:
        """It is not waited for any more. Its answer may come yet, once."""
        self.waiting.pop(id, None)

    def event(self, seq: int, content: str, is_dense: bool = True) -> bool:
        """One numbered event of the account; whether it is new. A number has one content, and numbers rise.

        is_dense: none is left out. A FIX session is not told what other sessions' cancels came to.
        """
        known = self._events.get(seq)
        if known is not None:
            if known != content:
                raise Broken(f"d: event {seq} of account {self.account} was {known!r} and is {content!r}")
            return False
        if self.last_seq is not None and (seq != self.last_seq + 1 if is_dense else seq < self.last_seq):
            raise Broken(f"b: {self.name} heard event {seq} after {self.last_seq}")
        self._events[seq] = content
        self.last_seq = max(seq, self.last_seq or 0)
        return True

    def changed(self, order_id: str, id: str, leaves: float) -> None:
        """An order of the account is now so large."""
        if leaves:
            self.book[order_id] = (id, leaves)
        else:
            self.book.pop(order_id, None)


def check_recovered(ledgers: Iterable[Ledger], engine: Engine) -> None:
    """After a crash: whatever a client saw accepted is known to the engine."""
    for ledger in ledgers:
        account = engine._ledger.accounts.get(ledger.account)
        known = account.by_cl_ord_id if account is not None else {}
        for id in ledger.accepted:
            if id not in known:
                raise Broken(f"a: {ledger.name} saw {id} accepted, and after the crash nobody knows it")
        latest = engine.latest_seq(ledger.account)
        if ledger.last_seq is not None and ledger.last_seq > latest:
            raise Broken(f"b: {ledger.name} heard event {ledger.last_seq}, and after the crash there are {latest}")


def parked(server: Server) -> list[tuple[int, int]]:
    """Session and MsgSeqNum(34) of each message over FIX that waits for its tokens."""
    rows = server.orders.token_wait.rows.items()
    sources = [(session.id, each.request.source) for session, row in rows for each in row if each.request is not None]
    return [(session_id, source.seq_num) for session_id, source in sources if isinstance(source, AppMessage)]


def check_asked_for_again(waiting: Iterable[tuple[int, int]], server: Server) -> None:
    """After a crash: what waited in memory has no record, so it is still expected."""
    for session_id, number in waiting:
        expected = server.journal.store(session_id).next_in
        if number < expected:
            raise Broken(f"3: message {number} of session {session_id} waited for tokens, and {expected} is expected")


def check_end(copy: Path, world: World) -> None:
    """A journal that lost what was safe is not taken for a whole one. copy: of its directory, to be cut."""
    safe = read_end(copy)
    if safe is None:
        raise Broken("14: nothing says up to where the journal is safe")
    for path in sorted(copy.glob("*.seg")):
        data = path.read_bytes()
        offset = safe - SegmentHeader.unpack(data).first_position
        if 0 < offset <= len(data):
            path.write_bytes(data[: world.random.randrange(offset)])
        elif offset <= 0:
            path.unlink()
    try:
        Journal(copy, JournalSettings(durability="process")).close()
    except JournalCorrupt:
        return
    raise Broken(f"14: a journal without what was before position {safe} is taken for whole")


def check_idle(server: Server) -> None:
    """Nothing is under way in this gateway any more."""
    orders = server.orders
    if not orders.is_idle or orders.queue.size_bytes:
        rows = sorted(
            (type(each.command).__name__, each.session.name, each.command.cmd_id)
            for each in orders.core_link.requests()
        )
        raise Broken(
            f"7: left over: {rows} unanswered, {orders.queue.commands} waiting, {len(orders.token_wait)} parked"
        )


def check_quiet(ledgers: Iterable[Ledger], engine: Engine) -> None:
    """Everybody has answers, and all books are the same."""
    for ledger in ledgers:
        for id, asked in ledger.waiting.items():
            raise Broken(f"3: {asked.kind} {id} of {ledger.name} never had an answer (sent {asked.tries + 1} times)")
        orders = engine.open_orders(ledger.account)
        heard = [order for order in orders if order.session == ledger.session or not ledger.session]
        book = {str(order.order_id): (order.cl_ord_id, order.leaves_qty / 10**8) for order in heard}
        if book != ledger.book:
            raise Broken(f"2: {ledger.name} has the book {ledger.book}, the engine {book}")
