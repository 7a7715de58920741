"""The kill switch: mass cancels in the operator's name, which take out what is already in the book.

They take the order path on the control lane, like cancel-on-disconnect: never limited, never shed, and waiting orders
of their scope are withdrawn first. Pure. They are sent under a session of the gateway's own, number 0, whatever session
they are about. Before editing: its command numbers must rise across restarts, or the core takes a new kill for an old.
"""

from collections.abc import Iterable

import msgspec

from gateway.auth.authenticator import Client
from gateway.orders.path import OrderPath
from gateway.sessions.reply import Endpoint, Reply
from gateway.sessions.session import Session
from limits.paths import Paths
from protocols.errors import Refusal
from protocols.messages import AnyEvent, MassCancel, MassCancelDone, Origin, Sender

HOUSE_SESSION = 0
"""Sessions of clients start at 1."""
_NO_BUCKETS = Paths().open("", "")  # a mass cancel is never charged


class CancelScope(msgspec.Struct, frozen=True):
    """Whose orders: all of an account; of one session and one instrument where these are not 0."""

    account_id: int
    session_id: int = 0
    instrument: int = 0


class Sweep(msgspec.Struct, eq=False):
    """What became of one kill. waiting: mass cancels that are not answered; failure: why one of them is in doubt."""

    asked: int = 0
    waiting: int = 0
    canceled: int = 0
    failure: str = ""


class _Asked(msgspec.Struct, eq=False):
    """One mass cancel of a kill. is_counted: "outcome unknown" was counted; what comes after it is no second answer."""

    sweep: Sweep
    is_counted: bool = False


class KillSwitch:
    """Starts sweeps; each reports into its own `Sweep` as the core answers."""

    def __init__(self, orders: OrderPath, now_ns: int) -> None:
        self._orders = orders
        self._operator = Session(HOUSE_SESSION, "operator", Client(0, "house"), Origin.OPERATOR, _NO_BUCKETS)
        self._operator.endpoint = _OperatorEndpoint()
        # For a core that does not say: steps of 8 ms are above what an earlier process used, but for a kill just now.
        self.resume(now_ns >> 23)

    def use(self, session: int) -> None:
        """Number the gateway's own commands under a session that no other gateway has."""
        self._operator.sender = Sender(session, 0, Origin.OPERATOR)

    def resume(self, highest: int) -> None:
        """The core has seen the gateway's own command numbers up to this one, on the control lane."""
        self._operator.sender.control_n = max(self._operator.sender.control_n, highest)

    def start(self, targets: Iterable[CancelScope], now_ns: int) -> Sweep:
        """Cancel all open orders of the targets, also those that survive a disconnect. Answers come now or later."""
        sweep = Sweep()
        for target in targets:
            self._ask(sweep, target, Origin.OPERATOR, now_ns)
        return sweep

    def cancel_for_disconnected(self, target: CancelScope, now_ns: int) -> None:
        """What cancel-on-disconnect does, for a session that is no longer there to do it itself."""
        self._ask(Sweep(), target, Origin.COD, now_ns)

    def _ask(self, sweep: Sweep, target: CancelScope, origin: Origin, now_ns: int) -> None:
        command = MassCancel(
            self._operator.sender.next_control_id(),
            target.account_id,
            target.session_id or HOUSE_SESSION,
            origin,
            self._orders.wall.utc_ns(now_ns),
            0,
            cl_ord_id="",
            instrument=target.instrument,
            only_session=target.session_id != 0,
            keep_exempt=origin is Origin.COD,
        )
        sweep.asked += 1
        sweep.waiting += 1
        self._orders.admission.submit(self._operator, command, "q", _Asked(sweep), 0, now_ns)


class _OperatorEndpoint(Endpoint):
    """The endpoint of the gateway's own session: receives what became of each mass cancel, and ignores the rest."""

    def answer(self, reply: Reply, event: AnyEvent, now_ns: int) -> None:
        sweep = self._answered(reply.source)
        if isinstance(event, MassCancelDone):
            sweep.canceled += event.affected

    def refuse(self, source: object, refusal: Refusal, now_ns: int) -> None:
        """No answer in time, or the core is away: the orders may still be there."""
        self._answered(source).failure = refusal.text

    def _answered(self, asked: object) -> Sweep:
        assert isinstance(asked, _Asked)
        asked.sweep.waiting -= not asked.is_counted
        asked.is_counted = True
        return asked.sweep
