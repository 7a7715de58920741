"""What a command costs its session: a message token, tokens of its class, and a place among the open orders. Pure.

A limit that is kept in a shared store sometimes has to ask it first. Then the answer is WAITS: nothing of the class was
debited, and the same request is charged again when the tokens have come.
"""

from collections.abc import Sequence

import msgspec

from gateway.sessions.request import Request, RequestRun
from gateway.sessions.session import Session
from limits.bucket import MILLI
from limits.limiter import BucketView, Decision, Limiter, RunCosts
from limits.open_orders import OpenOrders
from limits.policy import OpenOrderLimit
from protocols import errors
from protocols.errors import Refusal
from protocols.messages import AnyCommand, AnyEvent, CancelOrder, ExecType, MassCancel, NewOrder, OrderEvent, OrdStatus

WAITS = Refusal(errors.ENGINE_BUSY, "tokens are being fetched, ask again", 1)
"""Not a refusal: tokens are on their way. Its text is for those who cannot wait."""

_LIMIT_CODES = {
    "orders": errors.RATE_LIMITED,
    "cancels": errors.CANCEL_RATE_LIMITED,
    "msgs": errors.MESSAGE_RATE_LIMITED,
    "queries": errors.QUERY_RATE_LIMITED,
}
_PENALTY_CODES = {"cooling_down": errors.COOLING_DOWN, "disconnect": errors.LIMIT_ABUSE}
_A_MESSAGE = ("msgs", MILLI, 0)
_DONE = (OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.REJECTED, OrdStatus.EXPIRED)  # no set: a hash is a call
_ORDER_STATUS, _NEW, _REJECTED = ExecType.ORDER_STATUS, ExecType.NEW, ExecType.REJECTED


class _RunTerms(msgspec.Struct, frozen=True):
    """What the policy in force says of one kind of message from one account.

    costs: of each message of a run, by bucket. is_by_instrument: each instrument has a bucket of its own, too.
    """

    open_orders: OpenOrderLimit
    bucket: str
    cost_milli: int
    costs: RunCosts
    is_by_instrument: bool


class Charging:
    """Takes tokens for requests and gives them back, and counts who has how many orders open."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._open = OpenOrders()
        self._policy = limiter.policy  # of `_terms`
        self._terms: dict[tuple[str, str], _RunTerms] = {}
        self._owned: dict[int, int] = {}  # the same by session that placed them, without zeros

    def charge(self, request: Request, now_ns: int) -> Refusal | None:
        """Take what the request costs; WAITS when tokens are fetched. Cancels cost no message, mass cancels nothing."""
        command, session = request.command, request.session
        kind = type(command)
        if kind is MassCancel:
            return None
        if not (request.is_counted or kind is CancelOrder):
            refusal = self.take(session, "msgs", MILLI, now_ns)
            if refusal is not None:
                return refusal
            request.is_counted = True
        if kind is NewOrder and (refusal := self._why_full(session, command)) is not None:
            return refusal
        charged = self._limiter.policy.cost(request.kind)
        if charged is None or charged[0] == "msgs":
            return None
        name, cost_milli = charged
        decision = self._limiter.take(session.path, name, cost_milli, now_ns, command.instrument)
        if not decision.allowed:
            return _refusal(name, decision, cost_milli)
        request.bucket, request.cost_milli, request.shadow = name, cost_milli, decision.shadow
        return None

    def charge_run(self, run: RequestRun, now_ns: int) -> bool:
        """Take what all orders of the run cost, and see that all have a place; False: nothing was taken."""
        client, limiter, count = run.session.client, self._limiter, len(run.commands.rows)
        if limiter.policy is not self._policy:
            self._policy = limiter.policy
            self._terms.clear()
        terms = self._terms.get((client.account, run.kind)) or self._learn_terms(client.account, run.kind)
        if not self._open.has_room(client.account_id, run.counts, count, terms.open_orders):
            return False
        costs = terms.costs
        if terms.is_by_instrument:
            if len(run.counts) > 1:
                return False
            costs = (_A_MESSAGE, (terms.bucket, terms.cost_milli, next(iter(run.counts))))
        if not limiter.take_run(run.session.path, costs, count, now_ns):
            return False
        if terms.bucket:
            run.bucket, run.cost_milli = terms.bucket, terms.cost_milli
        return True

    def _learn_terms(self, account: str, kind: str) -> "_RunTerms":
        policy = self._policy
        name, cost_milli = policy.cost(kind) or ("msgs", 0)
        has_bucket = name != "msgs"
        terms = self._terms[account, kind] = _RunTerms(
            policy.plan_of(account).open_orders,
            name if has_bucket else "",
            cost_milli if has_bucket else 0,
            (_A_MESSAGE, (name, cost_milli, 0)) if has_bucket else (_A_MESSAGE,),
            has_bucket and policy.instrument_limit(account) is not None,
        )
        return terms

    def take_messages(self, session: Session, count: int, now_ns: int) -> bool:
        """Charge so many messages alike; False: not all have tokens, and nothing was taken."""
        return self._limiter.take_run(session.path, (_A_MESSAGE,), count, now_ns)

    def take(self, session: Session, name: str, cost_milli: int, now_ns: int, instrument: int = 0) -> Refusal | None:
        """Charge one bucket; also for what is not a command, such as a query that the gateway answers itself."""
        decision = self._limiter.take(session.path, name, cost_milli, now_ns, instrument)
        return None if decision.allowed else _refusal(name, decision, cost_milli)

    def refund(self, request: Request, now_ns: int) -> None:
        """Return the tokens of the request's class: it was not executed, and that was not the client's doing."""
        if request.bucket:
            paid = (request.session.path, request.bucket, request.cost_milli)
            self._limiter.give_back(*paid, now_ns, request.command.instrument, request.shadow)

    def refund_one(self, run: RequestRun, instrument: int, now_ns: int) -> None:
        """The same for one order of a run; its shadow levels have all paid."""
        if run.bucket:
            self._limiter.give_back(run.session.path, run.bucket, run.cost_milli, now_ns, instrument)

    # -- open orders ---------------------------------------------------------------------------------------------

    def enter(self, request: Request) -> None:
        """A New goes on to the core: its place is taken until it is refused or done."""
        command = request.command
        if type(command) is NewOrder:
            request.has_place = True
            self._opened(command.session, command.account, command.instrument)

    def enter_run(self, run: RequestRun) -> None:
        """The same for all orders of a run."""
        session, count = run.session, len(run.commands.rows)
        self._open.opened_run(session.client.account_id, run.counts, count)
        self._owned[session.id] = self._owned.get(session.id, 0) + count

    def leave(self, request: Request) -> None:
        """The gateway has refused it after all: its place is free."""
        if request.has_place:
            request.has_place = False
            command = request.command
            self._closed(command.session, command.account, command.instrument)

    def received(self, event: AnyEvent, is_answer: bool = True) -> None:
        """An event of the core: an order that is finished frees its place. One that no request here has placed takes
        one first: another process did it. is_answer: to a request that is not answered.
        """
        if type(event) is not OrderEvent:
            return
        kind = event.exec_type
        if not is_answer and kind is _NEW:
            self._opened(event.session, event.account, event.instrument)
        if event.leaves_qty or (kind is _REJECTED and not is_answer):
            return
        if event.status in _DONE and kind is not _ORDER_STATUS:
            self._closed(event.session, event.account, event.instrument)

    def restore(self, open_orders: Sequence[OrderEvent]) -> None:
        """Orders that were open before this process began."""
        for order in open_orders:
            self._opened(order.session, order.account, order.instrument)

    def owns(self, session_id: int) -> bool:
        """Whether an order of this session is open, or on its way to the core."""
        return session_id in self._owned

    def _opened(self, session_id: int, account: int, instrument: int) -> None:
        self._open.opened(account, instrument)
        self._owned[session_id] = self._owned.get(session_id, 0) + 1

    def _closed(self, session_id: int, account: int, instrument: int) -> None:
        self._open.closed(account, instrument)
        left = self._owned.pop(session_id, 0) - 1
        if left > 0:
            self._owned[session_id] = left

    def open_orders(self, session: Session) -> BucketView:
        """The account's ceiling as people see it. It is a gauge: nothing refills, so its rate is 0."""
        most = self._limiter.policy.plan_of(session.client.account).open_orders.account
        left = max(most - self._open.count(session.client.account_id), 0)
        return BucketView("open_orders", "account", left, most, rate=0.0, full_in_ms=0)

    def _why_full(self, session: Session, command: AnyCommand) -> Refusal | None:
        limit = self._limiter.policy.plan_of(session.client.account).open_orders
        scope = self._open.binds(command.account, command.instrument, limit)
        if not scope:
            return None
        most = limit.account if scope == "account" else limit.instrument
        data: dict[str, object] = {"limit": "open_orders", "scope": scope, "capacity": most}
        return Refusal(errors.TOO_MANY_OPEN_ORDERS, f"open orders: {most} are open in this {scope}", data=data)


def _refusal(name: str, decision: Decision, cost_milli: int) -> Refusal:
    """A limit's refusal, with the exact time until it fits; 3007 when it never fits, WAITS when tokens are fetched."""
    if decision.pending:
        return WAITS
    cost: float | int = cost_milli // MILLI if cost_milli % MILLI == 0 else cost_milli / MILLI
    data: dict[str, object] = {"limit": decision.name, "scope": decision.scope, "cost": cost}
    text = f"rate limit: {decision.name}/{decision.scope} {decision.burst} burst {decision.rate:g}/s"
    if decision.wait_us < 0:
        return Refusal(errors.NEVER_FITS, f"{text}: a cost of {cost:g} never fits", data=data)
    code = _PENALTY_CODES.get(decision.penalty) or _LIMIT_CODES.get(name, errors.RATE_LIMITED)
    return Refusal(code, text, -(-decision.wait_us // 1000), data=data)
