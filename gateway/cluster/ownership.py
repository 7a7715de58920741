"""How a session comes to this gateway, and how it leaves. Pure: answers of Redis and of the core come as calls.

    claim.lua   the row is ours, under a higher token: the last owner writes nothing from here on
    join        the core has executed all that the last owner handed over, and says how far it has counted the session
    sent, events    what the session had sent; what its account's stream has beyond what it had reported
    token       nobody else has claimed it meanwhile, so all that was read belongs together
    adopt       it is as it was there, reports what was not reported, and its client may log on

Before editing: between `claim` and `adopt` the session is nobody's. Whatever fails there must end the wait of those who
asked, or a client hangs until its logon times out.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import msgspec

from gateway.cluster.row import SessionRow, row_of
from gateway.remote.keys import EntryId, entry_id
from protocols.messages import AnyEvent

Run = tuple[int, list[bytes]]
Asked = Callable[[str, int], None]
"""Takes why it is not ours, "" if it is, and the time."""

ANY = "any"
IDLE = "idle"
DEAD = "dead"
_AFTER_MS = 20  # the end of a lease


class Desk(Protocol):
    """Asks Redis. Each call is answered once, with the time; or, if the connection is lost, with None."""

    def claim(self, session: int, when: str, then: Callable[[list[bytes] | None, int], None]) -> None:
        """See `claim.lua`."""

    def token(self, session: int, then: Callable[[int | None, int], None]) -> None:
        """The token of the session's row, 0 = it has none."""

    def leave(self, account: int) -> None:
        """Host this account no longer."""

    def join(self, account: int, then: Callable[[EntryId | None, int], None]) -> None:
        """Host this account; the id of the `join`."""

    def sent(self, session: int, then: Callable[[list[Run] | None, int], None]) -> None:
        """All messages that a FIX session has sent and that are kept."""

    def events(self, account: int, after: int, then: Callable[[list[AnyEvent] | None, int], None]) -> None:
        """The account's events after this number."""

    def wait(self, ms: int, then: Callable[[], None]) -> None:
        """Call `then` after this time, whatever becomes of the connection."""

    def tail(self, account: int, then: Callable[[list[AnyEvent] | None, int], None]) -> None:
        """The latest events of the account, as many as a client may ask for."""


class Core(Protocol):
    """The gateway's end of the link to the core."""

    epoch: str

    def when_joined(self, entry: EntryId, then: Callable[[int], None], now_ns: int) -> None:
        """Call `then` when the `join` is answered."""


class Adopted(msgspec.Struct, frozen=True):
    """A session that is ours now. runs, events: of a FIX session; events has some that were reported, too. was_asked:
    its client was asked to go elsewhere.
    """

    session: int
    row: SessionRow
    account: int
    runs: Sequence[Run] = ()
    events: Sequence[AnyEvent] = ()
    was_asked: bool = False


class House(Protocol):
    """The gateway's own parts."""

    def token_of(self, session: int) -> int:
        """Under which token the session is ours, as far as we know; 0 = it is not."""

    def lose(self, sessions: Mapping[int, bool], cmd_ids: Sequence[int]) -> None:
        """These sessions are another gateway's; True: its client is there. cmd_ids: commands that will never reach the
        core.
        """

    def account_of(self, session: int) -> int:
        """The account of a configured FIX session, 0 = it is none."""

    def opened(self, account: int, now_ns: int) -> None:
        """From here on all events of the account come to this gateway."""

    def is_needed(self, account: int) -> bool:
        """Whether a session of the account is here."""

    def closed(self, account: int) -> None:
        """Its events do not come here any more."""

    def remember(self, account: int, events: Sequence[AnyEvent]) -> None:
        """Its latest events from before, for clients that resume."""

    def adopt(self, adopted: Adopted, now_ns: int) -> None:
        """The session goes on here."""


class _Claim(msgspec.Struct, eq=False):
    """A session on its way to us. asked: who waits for it. when: see `claim.lua`."""

    session: int
    asked: list[Asked]
    was_asked: bool
    when: str
    has_waited: bool = False
    row: SessionRow | None = None
    account: int = 0
    runs: list[Run] = []
    events: list[AnyEvent] = []


class Ownership:
    """The sessions and accounts of one gateway among several."""

    def __init__(self, desk: Desk, core: Core, house: House) -> None:
        self._desk = desk
        self._core = core
        self._house = house
        self._claims: dict[int, _Claim] = {}
        self._hosted: set[int] = set()
        self._hosting: dict[int, list[Asked]] = {}
        self._opened: set[int] = set()  # of these, accounts that are delivered here already
        self._idle: set[int] = set()  # hosted, and without a session at the last look

    # -- accounts ------------------------------------------------------------------------------------------------------

    def host(self, account: int, asked: Asked, now_ns: int) -> None:
        """Have the core deliver the account's events to this gateway."""
        if account in self._hosted:
            asked("", now_ns)
        elif account in self._hosting:
            self._hosting[account].append(asked)
        else:
            self._hosting[account] = [asked]
            self._ask_to_host(account)

    def _ask_to_host(self, account: int) -> None:
        self._desk.join(account, lambda entry, at_ns: self._join_sent(account, entry, at_ns))

    def leave_idle(self) -> None:
        """Give up the accounts that had no session here since the last call: their events cost the core and us."""
        idle = {account for account in self._hosted if not self._house.is_needed(account)}
        for account in idle & self._idle:
            self._hosted.discard(account)
            self._desk.leave(account)
            self._house.closed(account)
        self._idle = idle

    def _join_sent(self, account: int, entry: EntryId | None, now_ns: int) -> None:
        if entry is None:
            self._end_hosting(account, "the core cannot be reached", now_ns)
        else:
            self._core.when_joined(entry, lambda at_ns: self._joined(account, at_ns), now_ns)

    def _joined(self, account: int, now_ns: int) -> None:
        if account not in self._hosting or account in self._opened:
            return  # it was asked twice
        self._opened.add(account)
        self._house.opened(account, now_ns)
        self._desk.tail(account, lambda events, at_ns: self._tail_came(account, events, at_ns))

    def _tail_came(self, account: int, events: list[AnyEvent] | None, now_ns: int) -> None:
        self._house.remember(account, events or ())  # without them a client that resumes gets a snapshot
        self._hosted.add(account)
        self._end_hosting(account, "", now_ns)

    def _end_hosting(self, account: int, why: str, now_ns: int) -> None:
        self._opened.discard(account)
        for asked in self._hosting.pop(account, ()):
            asked(why, now_ns)

    def ask_again(self) -> None:
        """It is another Redis, which may lack what was asked last: then its answer would never come."""
        for account in list(self._hosting):
            self._ask_to_host(account)
        for claim in list(self._claims.values()):
            again = self._claims[claim.session] = _Claim(claim.session, claim.asked, claim.was_asked, claim.when)
            self._ask_for(again)

    # -- sessions ------------------------------------------------------------------------------------------------------

    def claim(self, session: int, when: str, asked: Asked, now_ns: int, was_asked: bool = False) -> None:
        """Make a session ours. when: see `claim.lua`. was_asked: see `Adopted`.

        That it is ours is only believed until Redis has said so: its client may have been elsewhere just now.
        """
        if session in self._claims:
            self._claims[session].asked.append(asked)
            return
        claim = self._claims[session] = _Claim(session, [asked], was_asked, when)
        if self._house.token_of(session):
            self._desk.token(session, lambda token, at_ns: self._seen(claim, token, at_ns))
        else:
            self._ask_for(claim)

    def _seen(self, claim: _Claim, token: int | None, now_ns: int) -> None:
        ours = self._house.token_of(claim.session)
        if token is None:
            self._end(claim, "Redis cannot be reached", now_ns)
        elif token == ours:
            self._end(claim, "", now_ns)
        else:
            if ours:
                self._house.lose({claim.session: True}, ())
            self._ask_for(claim)

    def _ask_for(self, claim: _Claim) -> None:
        if self._is_on_its_way(claim):
            self._desk.claim(claim.session, claim.when, lambda told, at_ns: self._claimed(claim, told, at_ns))

    def _is_on_its_way(self, claim: _Claim) -> bool:
        """Whether it has not ended, and was not asked for again."""
        return self._claims.get(claim.session) is claim

    def _claimed(self, claim: _Claim, told: list[bytes] | None, now_ns: int) -> None:
        if told is not None and told[0] == b"busy" and claim.when == IDLE and not claim.has_waited:
            claim.has_waited = True  # its owner may have died just now: then it is not heard of again
            self._desk.wait(int(told[2]) + _AFTER_MS, partial(self._ask_for, claim))
            return
        if told is None or told[0] != b"ok":
            busy = told is not None and told[0] == b"busy"
            self._end(claim, f"its owner is {told[1].decode()}" if busy and told else "Redis cannot be reached", now_ns)
            return
        try:
            claim.row = row_of(int(told[1]), told[3].decode(), told[4:])
        except (msgspec.DecodeError, ValueError) as error:
            self._end(claim, f"its row cannot be read: {error}", now_ns)
            return
        link = claim.row.link
        claim.account = self._house.account_of(claim.session) or (link.account if link is not None else 0)
        self._core.when_joined(entry_id(told[2]), lambda at_ns: self._counted(claim, at_ns), now_ns)

    def _counted(self, claim: _Claim, now_ns: int) -> None:
        """All that the last owner handed over is executed."""
        if not self._is_on_its_way(claim):
            return
        if claim.account:
            self.host(claim.account, lambda why, at_ns: self._hosts(claim, why, at_ns), now_ns)
        else:
            self._confirm(claim, now_ns)

    def _hosts(self, claim: _Claim, why: str, now_ns: int) -> None:
        if why or not self._is_on_its_way(claim):
            self._end(claim, why, now_ns)
        elif self._house.account_of(claim.session):
            self._desk.sent(claim.session, lambda runs, at_ns: self._sent_came(claim, runs, at_ns))
        else:
            self._confirm(claim, now_ns)

    def _sent_came(self, claim: _Claim, runs: list[Run] | None, now_ns: int) -> None:
        if runs is None:
            self._end(claim, "Redis cannot be reached", now_ns)
            return
        claim.runs = runs
        row = claim.row
        assert row is not None
        if row.at or row.owner:
            after = row.reported(self._core.epoch)
            self._desk.events(claim.account, after, lambda events, at_ns: self._events_came(claim, events, at_ns))
        else:  # nobody has ever had it
            self._confirm(claim, now_ns)

    def _events_came(self, claim: _Claim, events: list[AnyEvent] | None, now_ns: int) -> None:
        if events is None:
            self._end(claim, "Redis cannot be reached", now_ns)
            return
        claim.events = events
        self._confirm(claim, now_ns)

    def _confirm(self, claim: _Claim, now_ns: int) -> None:
        """All that was read is of one piece if nobody has claimed the session since: its row was read first."""
        self._desk.token(claim.session, lambda token, at_ns: self._confirmed(claim, token, at_ns))

    def _confirmed(self, claim: _Claim, token: int | None, now_ns: int) -> None:
        if not self._is_on_its_way(claim):
            return
        assert claim.row is not None
        if token != claim.row.token:
            why = "Redis cannot be reached" if token is None else "another gateway has it by now"
            self._end(claim, why, now_ns)
            return
        found = Adopted(claim.session, claim.row, claim.account, claim.runs, claim.events, claim.was_asked)
        self._house.adopt(found, now_ns)
        self._end(claim, "", now_ns)

    def _end(self, claim: _Claim, why: str, now_ns: int) -> None:
        if not self._is_on_its_way(claim):
            return
        del self._claims[claim.session]
        for asked in claim.asked:
            asked(why, now_ns)
