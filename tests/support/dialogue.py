"""One FIX session on a stage: the peer's lines in pipe notation, our lines expected to the byte, the clock set by hand.

A line names only what matters, `35=1|34=2|112=x`: CompIDs and SendingTime(52) are put behind MsgSeqNum(34), as both
sides write them; a line that has its own 49, 52 or 56 keeps it, and `49=-` leaves the field out.
"""

from typing import Any

from protocols.fix.events import AppMessage, Event
from protocols.fix.session.logon import AcceptAnyLogon, LogonRefusal
from protocols.fix.session.machine import FixSession
from protocols.fix.session.output import Output
from protocols.fix.session.settings import SessionSettings, SessionState
from protocols.fix.session.store import MemoryStore, MessageStore
from protocols.fix.times import format_ns, parse_ns
from protocols.units import NS_PER_S
from protocols.wall import WallClock
from tests.support.fix_text import fix, pipes

START_NS = parse_ns("20261122-12:00:00")
ORDER = "11=o-1|55=BTC-USDT|54=1|40=2|38=1|44=64250.50|59=1"


def expand(line: str, now_ns: int, sender: str, target: str, digits: int = 6) -> str:
    """The line with the header fields that it does not name, in their place after 34 (and 43)."""
    fields = line.strip("|").split("|")
    tags = [field.partition("=")[0] for field in fields]
    header = {"49": sender, "52": format_ns(now_ns, digits), "56": target}
    place = max([tags.index(tag) for tag in ("35", "34", "43") if tag in tags]) + 1
    added = [f"{tag}={value}" for tag, value in header.items() if tag not in tags]
    kept = fields[:place] + added + fields[place:]
    return "|".join(field for field in kept if not field.endswith("=-")) + "|"


class Dialogue:
    """Our session (GATE) and a peer (MM1) that is a script."""

    def __init__(
        self,
        version: str = "FIX.4.4",
        store: MessageStore | None = None,
        wall: WallClock | None = None,
        **settings: Any,
    ) -> None:
        plain = settings.setdefault("plain", True)
        settings.setdefault("time_digits", 3 if plain else 6)
        self.settings = SessionSettings(begin_string=version, sender_comp_id="GATE", target_comp_id="MM1", **settings)
        self.version = version
        self.wall = wall or WallClock()
        self.session = FixSession(self.settings, store or MemoryStore(), self.wall)
        self.now_ns = START_NS
        self.peer_ahead_ns = 0  # what the peer's clock says more than own time
        self.events: list[Event] = []

    @property
    def appl_ver_id(self) -> str:
        """`|1137=9` where a Logon(A) needs it."""
        return "|1137=9" if self.version == "FIXT.1.1" else ""

    def line(self, text: str) -> bytes:
        """A line of the peer as bytes."""
        if text.startswith("8="):
            return fix(text)
        return fix(expand(text, self.now_ns + self.peer_ahead_ns, "MM1", "GATE"), self.version)

    def hears(self, *lines: str) -> list[Event]:
        """Feed the peer's lines; returns the session's events."""
        return self.hears_bytes(b"".join(self.line(text) for text in lines))

    def hears_bytes(self, data: bytes) -> list[Event]:
        """Feed bytes as they are."""
        self.events = self.session.receive(data, self.now_ns)
        return self.events

    def says(self, *lines: str) -> None:
        """We have exactly these lines to write, to the byte; none = nothing."""
        output = self.output()
        digits = self.settings.time_digits
        utc_ns = self.wall.utc_ns(self.now_ns)
        expected = [fix(expand(text, utc_ns, "GATE", "MM1", digits), self.version) for text in lines]
        assert pipes(output) == pipes(b"".join(expected))
        assert output == b"".join(expected)

    def output(self) -> bytes:
        """All that is to be written now."""
        output = b""
        while self.session.has_output:
            output += self.session.take_output(65_536, self.now_ns)
        return output

    def log_on(self, seq_num: int = 1, more: str = "") -> None:
        """Connect and exchange Logons, whose text does not matter."""
        self.connect()
        self.hears(f"35=A|34={seq_num}|98=0|108=30{self.appl_ver_id}{more}")
        assert self.session.state is SessionState.LOGGED_ON, self.events
        self.output()

    def connect(self) -> None:
        """A new link."""
        self.session.connected(self.now_ns)

    def wait(self, seconds: float) -> list[Event]:
        """Let time pass, waking the session whenever it asked for it."""
        end_ns = self.now_ns + int(seconds * NS_PER_S)
        events: list[Event] = []
        for _ in range(10_000):
            deadline_ns = self.session.next_deadline_ns
            if deadline_ns is None or deadline_ns > end_ns:
                break
            self.now_ns = max(self.now_ns, deadline_ns)
            events += self.session.tick(self.now_ns)
        else:
            raise AssertionError("the session wants to be woken without end")
        self.now_ns = end_ns
        self.events = events
        return events

    @property
    def is_replaying(self) -> bool:
        """Whether stored messages are being written."""
        return is_replaying(self.session._output)

    @property
    def held_messages(self) -> int:
        """Early messages of the peer, which wait for those before them."""
        return len(self.session._core.gap._held)

    @property
    def held_bytes(self) -> int:
        """Bytes held of the peer's input: early messages, and an incomplete one."""
        return self.session._core.gap._bytes + self.session._framer.buffered_bytes

    @property
    def numbers(self) -> tuple[int, int]:
        """(NextIn, NextOut)."""
        return self.session.store.next_in, self.session.store.next_out

    @property
    def delivered(self) -> list[int]:
        """MsgSeqNums of the application messages that the last lines brought."""
        return [event.seq_num for event in self.events if isinstance(event, AppMessage)]


def is_replaying(output: Output) -> bool:
    """Whether stored messages wait to be written; new ones follow them."""
    return output._ranges > 0


class FixedPolicy(AcceptAnyLogon):
    """A policy with an objection or a body of its own. counts: `begins_count` of each accepted Logon."""

    def __init__(self, refusal: LogonRefusal | None = None, body: str = "") -> None:
        self.refusal, self.body = refusal, body
        self.counts: list[bool] = []

    def objection(self, logon: dict[int, str]) -> LogonRefusal | None:
        """The same for every Logon."""
        return self.refusal

    def logon_body(self, logon: dict[int, str], begins_count: bool) -> str:
        """The same body for every Logon."""
        self.counts.append(begins_count)
        return self.body
