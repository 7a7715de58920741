"""What the road asks of a limiter, and what it gets back. Knows names and costs; has no idea what an order is.

One decision is one synchronous call: all levels of a path are checked, then all are debited, with nothing in between.
Costs are whole thousandths of a token, so 1 + 0.2 per quote side stays exact.
"""

from typing import Literal, Protocol

import msgspec

from limits.policy import Policy


class ShadowDebit(msgspec.Struct, eq=False):
    """What the limits that only count have taken for one action: it may be known only after the action has passed."""

    state: Literal["waiting", "paid", "refused", "withdrawn"]


class Decision(msgspec.Struct, frozen=True):
    """The answer to one `take`. When not allowed: which bucket binds and when it will do.

    wait_us: exact time until the same cost fits; -1 = never (dearer than the burst). name, scope: the binding bucket.
    pending: tokens are being fetched: ask again when the limiter says so; nothing was debited. penalty: the refusal is,
    or leads to, "cooling_down" (for wait_us only EXEMPT buckets are open) or "disconnect". shadow: allowed, and the
    limits that only count have not, or not yet, taken their tokens: to be told to `give_back`.
    """

    allowed: bool
    wait_us: int = 0
    name: str = ""
    scope: str = ""
    burst: int = 0
    rate: float = 0.0  # tokens per second, for people; decisions never use it
    pending: bool = False
    penalty: str = ""
    shadow: ShadowDebit | None = None


ALLOWED = Decision(True)
PENDING = Decision(False, pending=True)
UNPAID = Decision(True, shadow=ShadowDebit("refused"))


class BucketView(msgspec.Struct, frozen=True):
    """One bucket as people see it. remaining is rounded down; full_in_ms is the time until it is full again."""

    name: str
    scope: str
    remaining: int
    capacity: int
    rate: float
    full_in_ms: int
    degraded: bool = False
    mode: str = "enforce"


class Path(Protocol):
    """The buckets that one session's actions walk through, resolved once at logon; opaque to the road."""


class Limiter(Protocol):
    """Token buckets for `orders cancels queries msgs logons`, over the levels venue, account, instrument, session."""

    @property
    def policy(self) -> Policy:
        """The policy in force: one immutable snapshot, replaced whole."""
        ...

    def open(self, account: str, session: str) -> Path:
        """The path of one session. Session-level buckets are kept by name, so reconnecting does not refill them."""
        ...

    def take(self, path: Path, name: str, cost_milli: int, now_ns: int, instrument: int = 0) -> Decision:
        """Debit `cost_milli` from `name` on every level of `path`, or nothing at all. `allowed` when it fits.

        instrument: of an order; 0 = of none. A `pending` answer: ask the same again when the limiter is ready.
        """
        ...

    def give_back(
        self,
        path: Path,
        name: str,
        cost_milli: int,
        now_ns: int,
        instrument: int = 0,
        shadow: ShadowDebit | None = None,
    ) -> None:
        """Return what an earlier `take` debited (the action was not carried out because of us); clamped at full.

        shadow: that of the decision. Levels that only count get back what they have paid, or pay no more.
        """
        ...

    def view(self, path: Path, now_ns: int, names: tuple[str, ...] = ()) -> list[BucketView]:
        """The buckets of `path` (all, or those named), widest scope first."""
        ...

    def is_low(self, path: Path, now_ns: int, names: tuple[str, ...]) -> bool:
        """Whether one of these buckets has less than a quarter of its tokens at some level."""
        ...
