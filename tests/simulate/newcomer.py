"""A Logon that cannot be, beside a session that lives: it is refused, and the session knows nothing of it.

Whoever sends it has the session's own credentials, so that only what it asks for is wrong.
"""

from protocols.fix.message import encode
from protocols.fix.times import format_ns
from tests.simulate.fix_desk import FixDesk
from tests.simulate.venue import Venue
from tests.simulate.world import SECOND, World

_FLAWS = ("108=9999\x01", "108=2\x01789=99999999\x01", "108=2\x01141=Y\x01", "98=1\x01108=2\x01", "")
"""HeartBtInt too long, 789 too high, 141=Y without 34=1, encryption; and "": a number that was used before."""


class Newcomer:
    """One such connection."""

    def __init__(self, world: World, venue: Venue, desk: FixDesk) -> None:
        pipe = venue.connect_fix(self)
        if pipe is None:
            return
        world.fault("a newcomer is refused")
        flaw = world.random.choice(_FLAWS)
        number = desk.machine.store.next_out if flaw else 1
        at = format_ns(world.time_ns(), 6)
        proof = desk.proof(number, at)
        header = f"35=A\x0134={number}\x0149={desk.ledger.name}\x0152={at}\x0156=GATE\x01"
        method = "" if "98=" in flaw else "98=0\x01"
        pipe.write(encode("FIX.4.4", f"{header}{method}{flaw or '108=2' + chr(1)}{proof}"))
        world.at(2 * SECOND, pipe.close)

    def received(self, data: bytes) -> None:
        """A Logout, perhaps, where it can use no number of somebody else's."""

    def disconnected(self) -> None:
        """As it must be."""
