"""The policy: plans, which account has which, and what each message costs. One immutable snapshot.

`limits.policy_parse` builds it from an operator's file. It is replaced as a whole, so a decision never sees half of
one. Every plan has every bucket, so a lookup needs no fall-back. It knows names and numbers, not orders. Pure.
"""

from collections.abc import Iterator, Mapping
from re import compile as pattern
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from limits.bucket import Rate

Mode = Literal["enforce", "shadow", "off"]
OnStoreLoss = Literal["safe", "deny", "allow"]

SCOPES = {"orders": "account", "cancels": "account", "queries": "account", "msgs": "session", "logons": "session"}
"""The buckets, and the owner of each. An override of one session adds its own bucket below the account's."""

PER_INSTRUMENT = "orders_per_instrument"
"""A limit that a plan may add: the account's orders in one instrument."""

WIDTH = ("venue", "account", "instrument", "session")
"""The levels, widest first. That of an instrument covers the account's orders in it."""

_FACTOR = pattern(r"([0-9]{1,4})x")


class Limit(msgspec.Struct, frozen=True):
    """One limit. burst: whole tokens in a full bucket. on_store_loss: what to do while the shared store is away."""

    rate: Rate
    burst: int
    mode: Mode = "enforce"
    on_store_loss: OnStoreLoss = "safe"


class OpenOrderLimit(msgspec.Struct, frozen=True):
    """The most open orders of an account, and of the account in one instrument."""

    account: int = 1_000
    instrument: int = 200


class Plan(msgspec.Struct, frozen=True):
    """A named set of limits: one for each bucket of SCOPES, and PER_INSTRUMENT where the plan has it."""

    name: str
    limits: Mapping[str, Limit]
    open_orders: OpenOrderLimit = OpenOrderLimit()


def read_factor(value: object) -> int:
    """The whole number that `10x` means in the file.

    Raises:
        ValueError: it is not of this form, or it is too small.
    """
    found = _FACTOR.fullmatch(value) if isinstance(value, str) else None
    if found is None or int(found[1]) < 2:
        raise ValueError('write "2x" to "9999x"')
    return int(found[1])


class Penalty(msgspec.Struct, frozen=True):
    """The penalty ladder: `strikes` refusals in window_s seconds start cooldown_s in which only cancels pass.

    disconnect_over: refused messages at more than this many times the rate end the connection.
    """

    strikes: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    window_s: Annotated[int, Meta(ge=1, le=3_600)] = 10
    cooldown_s: Annotated[int, Meta(ge=1, le=3_600)] = 5
    disconnect_over: Annotated[int, Meta(extra={"read": read_factor})] = 10


class Policy(msgspec.Struct, frozen=True):
    """All limits of the venue. Two policies are equal when nothing in them differs, the version included.

    costs: message name -> (bucket, cost in thousandths). accounts: account -> plan name, default_plan for the others.
    overrides: "ACCOUNT" or "ACCOUNT/SESSION" -> bucket -> the limit in force. venue: all accounts together.
    """

    version: int
    plans: Mapping[str, Plan]
    default_plan: str
    accounts: Mapping[str, str]
    costs: Mapping[str, tuple[str, int]]
    overrides: Mapping[str, Mapping[str, Limit]] = {}
    penalty: Penalty | None = None
    venue: Mapping[str, Limit] = {}

    def cost(self, message_name: str) -> tuple[str, int] | None:
        """(bucket, cost in thousandths) that the message is charged; None = only its place in `msgs`, if any.

        `msgs` counts every message of any class, except cancels and session messages. A message listed under `msgs`
        costs that and nothing more.
        """
        return self.costs.get(message_name)

    def plan_of(self, account: str) -> Plan:
        """The plan of the account."""
        return self.plans[self.accounts.get(account, self.default_plan)]

    def account_limit(self, account: str, name: str) -> Limit | None:
        """The limit of the account (for `msgs` and `logons`: of each session of it); None = no such limit."""
        return self.overrides.get(account, {}).get(name) or self.plan_of(account).limits.get(name)

    def levels(self, account: str, session: str) -> Iterator[tuple[str, str, Limit]]:
        """(bucket, scope, limit) of each level that this session's actions pass, the widest first.

        The level of an instrument is not among them: see `instrument_limit`.
        """
        narrowed = self.overrides.get(f"{account}/{session}", {})
        plan, own = self.plan_of(account), self.overrides.get(account, {})
        for name, limit in self.venue.items():
            yield name, "venue", limit
        for name, scope in SCOPES.items():
            limit = own.get(name) or plan.limits[name]
            if name not in narrowed:
                yield name, scope, limit
                continue
            if scope != "session":
                yield name, scope, limit
            yield name, "session", narrowed[name]

    def instrument_limit(self, account: str) -> Limit | None:
        """The limit of the account's orders in any one instrument; None = no such limit."""
        limit = self.account_limit(account, PER_INSTRUMENT)
        return None if limit is None or limit.mode == "off" else limit
