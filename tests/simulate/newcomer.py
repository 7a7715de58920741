"""A logon that cannot be, beside a session that lives: it is refused, and the session knows nothing of it.

Whoever sends it has the session's own credentials, but where they are what is wrong.
"""

import json

from protocols.fix.message import encode
from protocols.fix.times import format_ns
from tests.simulate.fix_desk import FixDesk
from tests.simulate.venue import Venue
from tests.simulate.world import SECOND, World
from tests.simulate.ws_desk import WsDesk, cut
from tests.support.ws_frames import request

_REJECTED = "98=1\x01108=2\x01"
_FLAWS = ("108=9999\x01", "108=2\x01789=99999999\x01", "108=2\x01141=Y\x01", _REJECTED, "")
"""HeartBtInt too long, 789 too high, 141=Y without 34=1, encryption; and "": a number that was used before."""
_WS_FLAWS: tuple[dict[str, object], ...] = (
    {"sig": "AAAA"},
    {"challenge": "of-another-connection"},
    {"challenge": "", "ts": 1},
    {"api_key": "key-nobody"},
    {"heartbeat_ms": 1},
    {"streams": ["all"]},
    {"surprise": 1},
)
"""What its parameters say instead."""


class Newcomer:
    """One such connection over FIX."""

    def __init__(self, world: World, venue: Venue, desk: FixDesk) -> None:
        pipe = venue.connect_fix(self)
        if pipe is None:
            return
        world.fault("a newcomer is refused")
        flaw = world.random.choice(_FLAWS if desk.is_logged_on else (_REJECTED, _REJECTED, *_FLAWS))
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


class WsNewcomer:
    """One such connection over WebSocket."""

    def __init__(self, world: World, venue: Venue, desk: WsDesk) -> None:
        self._desk = desk
        self._flaw = world.random.choice(_WS_FLAWS)
        self._buffer = bytearray()
        self._pipe = venue.connect_ws(self)
        if self._pipe is not None:
            world.fault("a newcomer is refused")
            world.at(2 * SECOND, self._pipe.close)

    def received(self, data: bytes) -> None:
        """`hello`, which has the challenge, and then its refusal."""
        self._buffer += data
        taken = cut(self._buffer)
        if taken is None or self._pipe is None or b"challenge" not in taken[1]:
            return
        params = self._desk.credentials(json.loads(taken[1])["data"]["challenge"])
        self._pipe.write(request("session.logon", params | self._flaw))

    def disconnected(self) -> None:
        """As it must be."""
        self._pipe = None
