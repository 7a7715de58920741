"""The order path on a hand-set clock, with a core that answers when told, and endpoints that note what they hear."""

from gateway.auth.authenticator import Client
from gateway.config import schema
from gateway.core.embedded import EmbeddedCore
from gateway.core.engine import Engine
from gateway.orders.path import OrderPath
from gateway.safety.cancel_on_disconnect import CancelOnDisconnect
from gateway.sessions.registry import Sessions
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.tracing import OrderTracer
from limits.local import LocalLimiter
from limits.policy_parse import parse
from limits.reload import built_in
from protocols.instruments import Instrument, Instruments
from protocols.messages import (
    CancelOrder,
    MassCancel,
    NewOrder,
    OrdType,
    Origin,
    QueryOrders,
    ReplaceOrder,
    Side,
    Tif,
)
from protocols.wall import WallClock
from tests.support.hooks import ignore

BTC = Instrument(
    1,
    "BTC-USDT",
    "BTC",
    "USDT",
    px_exp=2,
    qty_exp=4,
    tick=1,
    lot=1,
    max_qty=1_000_000,
    min_notional=10,
    band_high=10_000_000,
)
MS = 1_000_000
EVERYTHING = frozenset({"trade", "read"})


def _raise(error):
    raise error


class SlowCore:
    """The real engine behind a link whose answers come when the test says so."""

    def __init__(self, window=256, wall=None):
        self.inner = EmbeddedCore(Engine((BTC,), 65_536, "e-1"), 65_536, lambda *_: None, _raise, wall)
        self.window = window
        self.handed = []
        self.is_quick = True

    epoch = "e-1"

    @property
    def credit(self):
        return self.window - len(self.handed)

    def submit(self, commands, now_ns):
        assert len(commands) <= self.credit
        if self.is_quick and not self.handed:
            self.inner.submit(commands, now_ns)
            return
        self.handed += commands
        if self.is_quick:
            self.answer(now_ns)

    def answer(self, now_ns, count=None):
        """Execute what was handed over, oldest first."""
        count = len(self.handed) if count is None else count
        batch, self.handed = self.handed[:count], self.handed[count:]
        self.inner.submit(batch, now_ns)

    def subscribe(self, sink):
        self.inner.subscribe(sink)

    def latest_seq(self, account):
        return self.inner.latest_seq(account)

    def order_state(self, account, order_id, cl_ord_id):
        return self.inner.order_state(account, order_id, cl_ord_id)


class Stuck(SlowCore):
    """The same, answering only when it is told to."""

    def __init__(self):
        super().__init__()
        self.is_quick = False


class Ear:
    """An endpoint that keeps what it was told, as (kind, what) in order."""

    def __init__(self):
        self.heard = []
        self.waiting = []
        self.is_paused = False

    def handed_over(self, request, now_ns):
        self.heard.append(("handed", request.source))

    def answer(self, request, event, now_ns):
        self.heard.append(("answer", request.source))

    def report(self, event, request, now_ns):
        self.heard.append(("report", event.seq))

    def refuse(self, source, refusal, now_ns):
        self.heard.append(("refused", source, refusal.code))

    def notice(self, state, now_ns):
        self.heard.append(("notice", state.state))

    def limits_changed(self, views, version, now_ns):
        self.heard.append(("limits", version, sorted(view.name for view in views)))

    def draining(self, reconnect_by_ns, text, now_ns):
        self.heard.append(("draining",))

    def log_out(self, text, now_ns):
        self.heard.append(("log_out",))

    def failed(self, now_ns):
        self.heard.append(("failed",))

    def waits(self, source, now_ns):
        self.waiting.append(source)

    def goes_on(self, source, now_ns):
        self.waiting.remove(source)

    def pause_reading(self, now_ns):
        self.is_paused = True

    def resume_reading(self, now_ns):
        self.is_paused = False

    def take(self):
        """What was heard since the last look."""
        heard, self.heard = self.heard, []
        return heard


class Forgetful:
    """Remembers no session."""

    def record_session(self, session):
        """Not recorded."""

    def record_ended(self, session):
        """Not recorded."""

    def former_name(self, session_id):
        """No name is known."""
        return ""


class Recording:
    """A journal that keeps up; a test says when it does not."""

    may_accept_orders = True
    late = False

    def is_late(self, now_ns):
        return self.late


class World:
    """An order path with its core, limiter and sessions. `limits` is TOML on top of the built-in plan."""

    def __init__(self, limits="", window=256, limiter=None, report_bug=_raise, **knobs):
        self.settings = schema.Config(**knobs)
        self.now_ns = 1_795_000_000_000_000_000
        self.wall = WallClock()
        self.policy = parse(limits, built_in()).policy if limits else built_in()
        assert self.policy is not None
        self.limiter = limiter or LocalLimiter(self.policy)
        self.core = SlowCore(window, self.wall)
        self.sessions = Sessions(self.limiter, 1_000, Forgetful())
        self.metrics, self.recording = Metrics(), Recording()
        self.tracing = OrderTracer(schema.Tracing(sample_one_in=0))
        self.orders = OrderPath(
            self.settings,
            Instruments((BTC,)),
            self.limiter,
            self.core,
            self.sessions,
            self.recording,
            self.metrics,
            self.tracing,
            lambda: self.now_ns,
            report_bug,
            self.wall,
        )
        self.cancel_on_disconnect = CancelOnDisconnect(
            self.orders,
            self.sessions,
            lambda session, due_ns: None,
            lambda session_id, account, scope, now_ns: None,
            ignore,
        )
        self._next_session = 1

    def session(self, account=1, name=""):
        """A connected session with an ear, that hears everything of its account."""
        number = self._next_session
        self._next_session += 1
        client = Client(account, f"A{account}", "key", EVERYTHING)
        session = self.sessions.add(number, name or f"S{number}", client, Origin.FIX)
        session.endpoint, session.connected = Ear(), True
        session.hear_all(True)
        return session

    def submit(self, session, command, kind, source=None, size_bytes=100):
        """Through admission, without the tick's pump."""
        self.orders.admission.submit(session, command, kind, source, size_bytes, self.now_ns)

    def place(self, session, cl_ord_id, side=Side.BUY, price=100_00, qty=10, **more):
        """A limit order; its source is its id."""
        more.setdefault("deadline", 0)
        command = NewOrder(
            session.sender.next_order_id(),
            session.client.account_id,
            session.id,
            Origin.FIX,
            self.wall.utc_ns(self.now_ns),
            more.pop("deadline"),
            cl_ord_id,
            more.pop("instrument", BTC.id),
            side,
            OrdType.LIMIT,
            Tif.GTC,
            qty,
            price,
            **more,
        )
        self.submit(session, command, "D", cl_ord_id)

    def cancel(self, session, orig, source="cancel"):
        """A single cancel."""
        command = CancelOrder(
            session.sender.next_cancel_id(), session.client.account_id, session.id, Origin.FIX, self.now_ns, 0,
            source, BTC.id, orig_cl_ord_id=orig,
        )  # fmt: skip
        self.submit(session, command, "F", source)

    def replace(self, session, orig, cl_ord_id, price=101_00, qty=10):
        """A replace."""
        command = ReplaceOrder(
            session.sender.next_order_id(), session.client.account_id, session.id, Origin.FIX, self.now_ns, 0,
            cl_ord_id, BTC.id, qty, price, orig_cl_ord_id=orig,
        )  # fmt: skip
        self.submit(session, command, "G", cl_ord_id)

    def mass_cancel(self, session, source="mass", **scope):
        """Cancel everything of the account, or of what the scope says."""
        head = (session.sender.next_control_id(), session.client.account_id, session.id, Origin.FIX, self.now_ns, 0)
        command = MassCancel(*head, source, **scope)
        self.submit(session, command, "q", source)

    def query(self, session, source="query"):
        """All open orders."""
        command = QueryOrders(
            session.sender.next_query_id(), session.client.account_id, session.id, Origin.FIX, self.now_ns, 0, source
        )
        self.submit(session, command, "AF", source)

    def tick(self, ms=0):
        """Let time pass, then do what it asks for."""
        self.now_ns += ms * MS
        self.cancel_on_disconnect.tick(self.now_ns)
        self.orders.tick(self.now_ns)
