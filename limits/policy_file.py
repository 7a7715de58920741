"""The shape of a limits file: its tables, what each field may be, and what is left out. Pure."""

import re
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from limits.bucket import MAX_UNITS, MILLI, Rate, parse_rate
from limits.policy import Mode, OnStoreLoss

_MAX_COST = 1_000_000
_HARD_FACTOR = re.compile(r"([0-9]{1,4})x")


def exact(text: str) -> Decimal:
    """A TOML float without rounding. What has too many digits for a cost becomes NaN and is refused where it stands."""
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


def _factor(value: object) -> int:
    found = _HARD_FACTOR.fullmatch(value) if isinstance(value, str) else None
    if found is None or int(found[1]) < 2:
        raise ValueError('write "2x" to "9999x"')
    return int(found[1])


class BucketTable(msgspec.Struct, frozen=True):
    """One allowance. None = left out: it is the parent's."""

    rate: Annotated[Rate, Meta(extra={"read": _rate})] | None = None
    burst: Annotated[int, Meta(ge=1, le=MAX_UNITS // MILLI)] | None = None
    mode: Mode | None = None
    on_store_loss: OnStoreLoss | None = None


_Bucket = Annotated[BucketTable, Meta(examples=['{ rate = "50/s", burst = 100 }'])] | None
_Costs = dict[str, Annotated[int, Meta(extra={"read": _cost})]]


class ClassesTable(msgspec.Struct, frozen=True):
    """What each message costs, by the bucket that it is charged to."""

    orders: _Costs = {}
    cancels: _Costs = {}
    queries: _Costs = {}
    msgs: _Costs = {}
    logons: _Costs = {}


class BucketTables(msgspec.Struct, frozen=True):
    """An allowance for each bucket of `limits.policy.SCOPES`."""

    orders: _Bucket = None
    cancels: _Bucket = None
    queries: _Bucket = None
    msgs: _Bucket = None
    logons: _Bucket = None


class AccountTables(BucketTables, frozen=True):
    """What an account may have beside them."""

    orders_per_instrument: _Bucket = None


_OpenOrders = Annotated[int, Meta(ge=1, le=10_000_000)] | None


class OpenOrdersTable(msgspec.Struct, frozen=True):
    """None = left out: it is the parent's."""

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


class PenaltyTable(msgspec.Struct, frozen=True):
    """The fields of `limits.policy.Penalty`, in its order."""

    strikes: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    window_s: Annotated[int, Meta(ge=1, le=3_600)] = 10
    cooldown_s: Annotated[int, Meta(ge=1, le=3_600)] = 5
    disconnect_over: Annotated[int, Meta(extra={"read": _factor})] = 10


class PolicyFile(msgspec.Struct, frozen=True):
    """The whole file."""

    version: Annotated[int, Meta(ge=1, le=MAX_UNITS - 1)]
    classes: ClassesTable = ClassesTable()
    venue: BucketTables = BucketTables()
    plans: dict[str, PlanTable] = {}
    assign: AssignTable = AssignTable()
    override: dict[str, AccountTables] = {}
    penalty: PenaltyTable | None = None
