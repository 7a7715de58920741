"""The schema of a limits file: its tables, the values that each field may have, and its defaults. Pure."""

from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from limits.bucket import MAX_UNITS, MILLI, Rate, parse_rate
from limits.policy import Mode, OnStoreLoss, Penalty

_MAX_COST = 1_000_000


def exact(text: str) -> Decimal:
    """A TOML float without rounding. One with too many digits for a cost becomes NaN, which is refused later."""
    return Decimal(text) if len(text) <= 20 else Decimal("NaN")


def _rate(value: object) -> Rate:
    return parse_rate(value if isinstance(value, str) else "")


def _cost(value: object) -> int:
    """A cost in thousandths."""
    if (type(value) is int or (isinstance(value, Decimal) and value.is_finite())) and 0 <= value <= _MAX_COST:
        milli = int(value * MILLI)
        if Decimal(milli) / MILLI == value:
            return milli
    raise ValueError(f"a cost is a number from 0 to {_MAX_COST} with at most three decimals")


class BucketTable(msgspec.Struct, frozen=True):
    """One limit. None = left out: inherited from the parent."""

    rate: Annotated[Rate, Meta(extra={"read": _rate})] | None = None
    burst: Annotated[int, Meta(ge=1, le=MAX_UNITS // MILLI)] | None = None
    mode: Mode | None = None
    on_store_loss: OnStoreLoss | None = None


_Bucket = Annotated[BucketTable, Meta(examples=['{ rate = "50/s", burst = 100 }'])] | None
_Costs = dict[str, Annotated[int, Meta(extra={"read": _cost})]]


class ClassesTable(msgspec.Struct, frozen=True):
    """The cost of each message, by the bucket that it is charged to."""

    orders: _Costs = {}
    cancels: _Costs = {}
    queries: _Costs = {}
    msgs: _Costs = {}
    logons: _Costs = {}


class BucketTables(msgspec.Struct, frozen=True):
    """A limit for each bucket of `limits.policy.SCOPES`."""

    orders: _Bucket = None
    cancels: _Bucket = None
    queries: _Bucket = None
    msgs: _Bucket = None
    logons: _Bucket = None


class AccountTables(BucketTables, frozen=True):
    """The limits that an account may have."""

    orders_per_instrument: _Bucket = None


_OpenOrders = Annotated[int, Meta(ge=1, le=10_000_000)] | None


class OpenOrdersTable(msgspec.Struct, frozen=True):
    """Ceilings of open orders. None = left out: inherited from the parent."""

    account: _OpenOrders = None
    instrument: _OpenOrders = None


_PlanName = Annotated[str, Meta(examples=['"standard"'])]


class PlanTable(AccountTables, frozen=True):
    """A plan before its parents are known."""

    extends: _PlanName = ""
    open_orders: OpenOrdersTable = OpenOrdersTable()


class AssignTable(msgspec.Struct, frozen=True):
    """Which account has which plan."""

    default: _PlanName | None = None
    accounts: dict[str, _PlanName] = {}


class PolicyFile(msgspec.Struct, frozen=True):
    """The whole file."""

    version: Annotated[int, Meta(ge=1, le=MAX_UNITS - 1)]
    classes: ClassesTable = ClassesTable()
    venue: BucketTables = BucketTables()
    plans: dict[str, PlanTable] = {}
    assign: AssignTable = AssignTable()
    override: dict[str, AccountTables] = {}
    penalty: Penalty | None = None
