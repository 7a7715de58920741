"""What Redis has of one session: all that another gateway needs to go on with it. Pure."""

from collections.abc import Sequence

import msgspec

from gateway.cluster.store import done_of
from gateway.recovery import records
from gateway.safety.cancel_on_disconnect import LinkState
from gateway.sessions.former_names import WsSessionRecord
from protocols.fix.session.store import Ranges
from protocols.messages import AnyCommand


class SessionRow(msgspec.Struct, frozen=True):
    """next_in, next_out, done: numbers of a FIX session. at, epoch: the latest event of its account that it has
    reported, and of which streams.

    link: what guards its orders, None = nothing ever did. ws: its name, of a WebSocket session. reset_ns: when its
    numbers were last reset by schedule, UTC, 0 = never. waiting: commands that its owner had not handed over, in order.
    """

    token: int
    owner: str
    next_in: int = 1
    next_out: int = 1
    done: Ranges = ()
    at: int = 0
    epoch: str = ""
    link: LinkState | None = None
    ws: WsSessionRecord | None = None
    reset_ns: int = 0
    waiting: tuple[AnyCommand, ...] = ()

    def reported(self, epoch: str) -> int:
        """The latest event of these streams that it has reported."""
        return self.at if self.epoch == epoch else 0


def row_of(token: int, owner: str, fields: Sequence[bytes]) -> SessionRow:
    """The row from its fields, name and value in turn. owner: the one before.

    Raises:
        msgspec.DecodeError, ValueError: another program wrote it.
    """
    told = dict(zip(fields[::2], fields[1::2], strict=True))
    waiting = [records.decode_waiting(value) for name, value in told.items() if name[:1] == b"w" and name != b"ws"]
    return SessionRow(
        token,
        owner,
        int(told.get(b"in", 1)),
        int(told.get(b"out", 1)),
        done_of(told.get(b"done", b"")),
        int(told.get(b"at", 0)),
        told.get(b"epoch", b"").decode(),
        records.decode_link(told[b"link"]) if b"link" in told else None,
        records.decode_session(told[b"ws"]) if b"ws" in told else None,
        records.decode_reset(told[b"reset"]).at_ns if b"reset" in told else 0,
        tuple(sorted(waiting, key=lambda command: command.cmd_id)),
    )
