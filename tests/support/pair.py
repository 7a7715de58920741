"""Two FIX sessions wired back to back: an acceptor and an initiator, a link that can be cut at any byte, one clock.

Bytes travel only when `carry` is called, so a test decides what is in flight when the link goes down; what is in flight
then is lost, as it is in a socket buffer.
"""

from typing import Any

from protocols.fix.events import AppMessage, Disconnect, Event, LoggedOut
from protocols.fix.session.machine import FixSession
from protocols.fix.session.settings import SessionSettings, SessionState
from protocols.fix.session.store import MemoryStore
from tests.support.dialogue import START_NS

STEP_NS = 1_000_000


class Side:
    """One end: its session, what it reported, and the application messages it got, in order."""

    def __init__(self, sender: str, target: str, role: Any, **settings: Any) -> None:
        chosen = SessionSettings(
            begin_string="FIX.4.4", sender_comp_id=sender, target_comp_id=target, role=role, **settings
        )
        self.session = FixSession(chosen, MemoryStore())
        self.sent: list[str] = []
        self.got: list[str] = []
        self.events: list[Event] = []
        self.wire = b""  # written by this side, not yet read by the other

    def note(self, events: list[Event]) -> None:
        """Store what the session reported."""
        self.events += events
        self.got += [event.fields[148] for event in events if isinstance(event, AppMessage)]

    @property
    def has_ended(self) -> bool:
        """Whether this side wants the link closed."""
        return any(isinstance(event, LoggedOut | Disconnect) for event in self.events)


class Pair:
    """An acceptor GATE and an initiator MM1."""

    def __init__(self, **settings: Any) -> None:
        self.acceptor = Side("GATE", "MM1", "acceptor", **settings)
        self.initiator = Side("MM1", "GATE", "initiator", **settings)
        self.now_ns = START_NS
        self.is_linked = False

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both ends, the initiator first."""
        return self.initiator, self.acceptor

    def link(self) -> None:
        """A new connection, and the initiator's Logon on its way."""
        for side in self.sides:
            side.session.connected(self.now_ns)
            side.events.clear()
            side.wire = b""
        self.initiator.session.logon(self.now_ns)
        self.is_linked = True

    def cut(self) -> None:
        """The link goes down with all that is in flight."""
        for side in self.sides:
            side.session.disconnected(self.now_ns)
            side.wire = b""
        self.is_linked = False

    def send(self, side: Side, text: str) -> None:
        """An application message: News(B) with its Headline(148)."""
        side.sent.append(text)
        side.session.send("B", f"148={text}\x0133=1\x0158=-\x01", self.now_ns)

    def write(self, side: Side, limit_bytes: int = 65_536) -> None:
        """Let a side write what it has, up to a limit."""
        side.wire += side.session.take_output(limit_bytes, self.now_ns)

    def carry(self, side: Side, count: int) -> None:
        """Bring `count` bytes that `side` wrote to the other end."""
        other = self.acceptor if side is self.initiator else self.initiator
        data, side.wire = side.wire[:count], side.wire[count:]
        other.note(other.session.receive(data, self.now_ns))

    def settle(self, rounds: int = 200) -> None:
        """Carry everything both ways until neither side has output."""
        for _ in range(rounds):
            self.now_ns += STEP_NS
            for side in self.sides:
                self.write(side)
                self.carry(side, len(side.wire))
            if not any(side.session.has_output for side in self.sides):
                return
        raise AssertionError("the two never stop talking")

    def log_on(self) -> None:
        """Link and settle."""
        self.link()
        self.settle()
        assert all(side.session.state is SessionState.LOGGED_ON for side in self.sides), [
            side.events for side in self.sides
        ]
