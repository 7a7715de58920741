"""From an operator's TOML text to a checked `Policy`, or to every mistake in it with its place.

Nothing stops at the first mistake: each reader records what is wrong and goes on with a stand-in, and no policy comes
out when there was any mistake. What a file leaves out comes from the built-in policy. Pure: text in, values out.
"""

import tomllib
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from difflib import get_close_matches
from re import compile as pattern
from typing import Any, cast, get_args

import msgspec

from limits.bucket import MAX_UNITS, MILLI, Rate, parse_rate
from limits.places import Places, dotted
from limits.policy import PER_INSTRUMENT, SCOPES, Limit, Mode, OnStoreLoss, OpenOrderLimit, Penalty, Plan, Policy
from limits.policy_check import oddities

_Path = tuple[str, ...]
_Table = Mapping[str, Any]

_NAME = pattern(r"[A-Za-z0-9._-]{1,64}")
_TOML_LINE = pattern(r"\(at line (\d+), column \d+\)")
_HARD_FACTOR = pattern(r"([0-9]{1,4})x")
_MODES: tuple[str, ...] = get_args(Mode)
_ON_STORE_LOSS: tuple[str, ...] = get_args(OnStoreLoss)
_MAX_VERSION = MAX_UNITS - 1
_MAX_COST = 1_000_000
_MAX_CHOICES = 200  # a hint is not worth comparing a name with thousands
_NEVER_ON_STORE_LOSS = {
    "orders": ("allow", "orders are never let through without a limit"),
    PER_INSTRUMENT: ("allow", "orders are never let through without a limit"),
    "cancels": ("deny", "cancels always pass"),
}
_STAND_IN = Rate(1, MILLI, "")
_PENALTY_RANGES = {"strikes": (1, 1_000_000), "window_s": (1, 3_600), "cooldown_s": (1, 3_600)}


class Fault(msgspec.Struct, frozen=True):
    """One mistake or warning: the line it is on (from 1), the dotted place, and what is wrong there."""

    line: int
    place: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.place}: {self.text}" if self.place else f"line {self.line}: {self.text}"


class Parsed(msgspec.Struct, frozen=True):
    """What a text came to: a policy and what is odd about it, or every mistake and no policy."""

    policy: Policy | None
    errors: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    version_line: int = 1


def parse(text: str, built_in: Policy | None = None) -> Parsed:
    """The policy in `text`, checked whole. Plans, buckets, fields and messages it leaves out are those of `built_in`.

    Without `built_in` the text must define every bucket of every plan itself. For any text the answer is a `Parsed`.
    """
    try:
        document = tomllib.loads(text, parse_float=_exact)
    except RecursionError:
        return Parsed(None, (Fault(1, "", "nested too deeply"),))
    except ValueError as error:
        return Parsed(None, (Fault(_line_in(str(error), text), "", f"not TOML: {error}"),))
    return _Reader(Places(text), built_in).policy(document)


def _line_in(message: str, text: str) -> int:
    """The line that a parser's message names."""
    found = _TOML_LINE.search(message)
    if found is not None:
        return int(found[1])
    return len(text.splitlines()) if message.endswith("(at end of document)") else 1


def _exact(text: str) -> Decimal:
    """A TOML float without rounding. What has too many digits for a cost becomes NaN and is refused where it stands."""
    return Decimal(text) if len(text) <= 20 else Decimal("NaN")


class _Fields(msgspec.Struct):
    """What one bucket's table says; None = left out. given: the names that stand there, sound or not."""

    path: _Path
    given: frozenset[str] = frozenset()
    rate: Rate | None = None
    burst: int | None = None
    mode: Mode | None = None
    on_store_loss: OnStoreLoss | None = None


class _Draft(msgspec.Struct):
    """A plan before its parents are known."""

    path: _Path
    extends: str
    buckets: dict[str, _Fields]
    open_orders: _Table = {}


class _Reader:
    """Walks one document. Each method reads a part, records what is wrong in it and returns something to go on with."""

    def __init__(self, places: Places, built_in: Policy | None) -> None:
        self._places = places
        self._built_in = built_in
        self._errors: list[Fault] = []
        self._warnings: list[Fault] = []
        self._own_plans: set[str] = set()
        self._extended: set[str] = set()

    def policy(self, document: _Table) -> Parsed:
        """The whole document."""
        self._only(document, ("version", "classes", "venue", "plans", "assign", "override", "penalty"), ())
        version = self._whole(document, "version", (1, _MAX_VERSION), ())
        costs = self._classes(self._table(document, "classes", ()))
        plans = self._plans(self._table(document, "plans", ()))
        default_plan, accounts = self._assign(self._table(document, "assign", ()), plans)
        policy = Policy(version, plans, default_plan, accounts, costs)
        policy = msgspec.structs.replace(policy, penalty=self._penalty(document), venue=self._venue(document))
        overrides = self._overrides(self._table(document, "override", ()), policy)
        if self._errors:
            return Parsed(None, tuple(sorted(self._errors, key=lambda fault: fault.line)))
        policy = msgspec.structs.replace(policy, overrides=overrides)
        for path, oddity in oddities(policy):
            self._warn(path, oddity)
        warnings = tuple(sorted(self._warnings, key=lambda fault: fault.line))
        return Parsed(policy, (), warnings, self._places.line_of(("version",)))

    # -- what every part needs -----------------------------------------------------------------------------------

    def _error(self, path: _Path, text: str) -> None:
        self._errors.append(Fault(self._places.line_of(path), dotted(path), text))

    def _warn(self, path: _Path, text: str) -> None:
        self._warnings.append(Fault(self._places.line_of(path), dotted(path), text))

    def _only(self, table: _Table, known: Collection[str], path: _Path) -> None:
        for name in table:
            if name not in known:
                self._error((*path, name), f"unknown{nearest(name, known)}; known here: {', '.join(known)}")

    def _table(self, parent: _Table, name: str, path: _Path) -> _Table:
        value = parent.get(name, {})
        if isinstance(value, dict):
            return value
        self._error((*path, name), f"must be a table, not {_shown(value)}")
        return {}

    def _whole(self, table: _Table, name: str, bounds: tuple[int, int], path: _Path, default: int | None = None) -> int:
        least, most = bounds
        if name not in table:
            if default is None:
                self._error((*path, name), "missing")
            return default or least
        value = table[name]
        if type(value) is int and least <= value <= most:
            return value
        self._error((*path, name), f"must be a whole number from {least} to {most}, not {_shown(value)}")
        return least

    def _choice(self, table: _Table, name: str, choices: tuple[str, ...], path: _Path) -> str | None:
        value = table.get(name)
        if value is None or value in choices:
            return cast("str | None", value)
        self._error((*path, name), f"must be one of {', '.join(choices)}, not {_shown(value)}")
        return None

    # -- classes -------------------------------------------------------------------------------------------------

    def _classes(self, classes: _Table) -> dict[str, tuple[str, int]]:
        self._only(classes, SCOPES, ("classes",))
        costs: dict[str, tuple[str, int]] = {}
        built_in = self._built_in.costs if self._built_in else {}
        for bucket in SCOPES:
            for message, cost in self._table(classes, bucket, ("classes",)).items():
                path = ("classes", bucket, message)
                if message in costs:
                    self._error(path, f"is charged to {costs[message][0]} already; a message has one class")
                elif built_in and message not in built_in:
                    self._warn(path, f"no message of this name is known{nearest(message, built_in)}")
                costs[message] = (bucket, self._cost(cost, path))
        return {**built_in, **costs}

    def _cost(self, cost: object, path: _Path) -> int:
        """A cost in thousandths."""
        if (type(cost) is int or (isinstance(cost, Decimal) and cost.is_finite())) and 0 <= cost <= _MAX_COST:
            milli = int(cost * MILLI)
            if Decimal(milli) / MILLI == cost:
                return milli
        self._error(path, f"must be a cost from 0 to {_MAX_COST} with at most three decimals, not {_shown(cost)}")
        return 0

    # -- buckets and plans ---------------------------------------------------------------------------------------

    def _bucket(self, bucket: str, value: object, path: _Path) -> _Fields:
        if not isinstance(value, dict):
            self._error(path, f'must be a table such as {{ rate = "50/s", burst = 100 }}, not {_shown(value)}')
            return _Fields(path, frozenset(("rate", "burst")))
        self._only(value, ("rate", "burst", "mode", "on_store_loss"), path)
        fields = _Fields(path, frozenset(value))
        if "rate" in value:
            fields.rate = self._rate(value["rate"], (*path, "rate"))
        if "burst" in value:
            fields.burst = self._whole(value, "burst", (1, MAX_UNITS // MILLI), path)
        fields.mode = cast("Mode | None", self._choice(value, "mode", _MODES, path))
        fields.on_store_loss = cast("OnStoreLoss | None", self._choice(value, "on_store_loss", _ON_STORE_LOSS, path))
        never = _NEVER_ON_STORE_LOSS.get(bucket)
        if never is not None and fields.on_store_loss == never[0]:
            self._error((*path, "on_store_loss"), never[1])
        return fields

    def _rate(self, value: object, path: _Path) -> Rate | None:
        if isinstance(value, str):
            try:
                return parse_rate(value)
            except ValueError as error:
                self._error(path, f"{error}; not {_shown(value)}")
                return None
        self._error(path, f'must be a text such as "50/s", not {_shown(value)}')
        return None

    def _merged(self, fields: _Fields, parent: Limit | None) -> Limit:
        """A whole limit: what the table says, the rest from the parent."""
        for name in ("rate", "burst"):
            if parent is None and name not in fields.given:
                self._error((*fields.path, name), "missing, and there is no parent to take it from")
        rate = fields.rate or (parent.rate if parent else _STAND_IN)
        burst = fields.burst or (parent.burst if parent else 1)
        if rate.period_us * burst >= MAX_UNITS:
            most = (MAX_UNITS - 1) // rate.period_us
            self._error(fields.path, f"a burst of {burst} at {rate.text} is too large to count exactly; at most {most}")
        return Limit(
            rate,
            burst,
            fields.mode or (parent.mode if parent else "enforce"),
            fields.on_store_loss or (parent.on_store_loss if parent else "safe"),
        )

    def _plans(self, tables: _Table) -> dict[str, Plan]:
        drafts = {name: self._draft(name, value) for name, value in tables.items()}
        done: dict[str, Plan | None] = dict(self._built_in.plans) if self._built_in else {}
        for name in drafts:
            done.pop(name, None)
        for name in drafts:
            self._resolve(name, drafts, done)
        self._own_plans, self._extended = set(drafts), {draft.extends for draft in drafts.values()}
        return {name: plan for name, plan in done.items() if plan is not None}

    def _draft(self, name: str, value: object) -> _Draft:
        path = ("plans", name)
        if not _NAME.fullmatch(name):
            self._error(path, "a plan's name is 1 to 64 of A-Z a-z 0-9 . _ -")
        if not isinstance(value, dict):
            self._error(path, f"must be a table, not {_shown(value)}")
            return _Draft(path, "", {})
        self._only(value, ("extends", *SCOPES, PER_INSTRUMENT, "open_orders"), path)
        extends = value.get("extends", "")
        if not isinstance(extends, str):
            self._error((*path, "extends"), f"must be the name of a plan, not {_shown(extends)}")
            extends = ""
        buckets = {b: self._bucket(b, value[b], (*path, b)) for b in (*SCOPES, PER_INSTRUMENT) if b in value}
        return _Draft(path, extends, buckets, self._table(value, "open_orders", path))

    def _resolve(self, name: str, drafts: Mapping[str, _Draft], done: dict[str, Plan | None]) -> None:
        """Finish `name` and every plan above it, from the top down; a loop, so that no chain is too long."""
        chain: list[str] = []
        while name not in done and name in drafts and name not in chain:
            chain.append(name)
            name = drafts[name].extends
        if name in chain:
            loop = " -> ".join((*chain[chain.index(name) :], name))
            self._error((*drafts[chain[-1]].path, "extends"), f"plans extend each other in a circle: {loop}")
        elif name and name not in done:
            self._error((*drafts[chain[-1]].path, "extends"), _no_plan(name, [*drafts, *done]))
        for member in reversed(chain):
            draft = drafts[member]
            parent = done.get(draft.extends)
            if parent is None and self._built_in is not None:
                parent = self._built_in.plans[self._built_in.default_plan]
            done[member] = Plan(member, self._limits(draft, parent), self._open_orders(draft, parent))

    def _open_orders(self, draft: _Draft, parent: Plan | None) -> OpenOrderLimit:
        path, usual = (*draft.path, "open_orders"), parent.open_orders if parent is not None else OpenOrderLimit()
        self._only(draft.open_orders, ("account", "instrument"), path)
        most = (1, 10_000_000)
        return OpenOrderLimit(
            self._whole(draft.open_orders, "account", most, path, usual.account),
            self._whole(draft.open_orders, "instrument", most, path, usual.instrument),
        )

    def _limits(self, draft: _Draft, parent: Plan | None) -> dict[str, Limit]:
        inherited = parent.limits if parent is not None else {}
        limits: dict[str, Limit] = {}
        for bucket in (*SCOPES, PER_INSTRUMENT):
            fields = draft.buckets.get(bucket)
            if fields is not None:
                limits[bucket] = self._merged(fields, inherited.get(bucket))
            elif bucket in inherited:
                limits[bucket] = inherited[bucket]
            elif bucket != PER_INSTRUMENT and not draft.extends:
                self._error((*draft.path, bucket), "missing, and there is no parent to take it from")
        return limits

    # -- who has what --------------------------------------------------------------------------------------------

    def _assign(self, assign: _Table, plans: Mapping[str, Plan]) -> tuple[str, dict[str, str]]:
        self._only(assign, ("default", "accounts"), ("assign",))
        default = assign.get("default", self._built_in.default_plan if self._built_in else None)
        if default is None:
            self._error(("assign", "default"), "missing: name the plan of the accounts that are not listed")
        else:
            self._plan_name(default, ("assign", "default"), plans)
        accounts = self._table(assign, "accounts", ("assign",))
        for account, plan in accounts.items():
            path = ("assign", "accounts", account)
            if not _NAME.fullmatch(account):
                self._error(path, "an account's name is 1 to 64 of A-Z a-z 0-9 . _ -")
            self._plan_name(plan, path, plans)
        used = {name for name in (default, *accounts.values()) if isinstance(name, str)}
        for name in self._own_plans - used - self._extended:
            self._warn(("plans", name), "no account has this plan")
        named = {account: plan for account, plan in accounts.items() if isinstance(plan, str)}
        return default if isinstance(default, str) else "", named

    def _plan_name(self, plan: object, path: _Path, plans: Mapping[str, Plan]) -> None:
        if not isinstance(plan, str) or plan not in plans:
            self._error(path, _no_plan(plan, plans))

    def _overrides(self, tables: _Table, policy: Policy) -> dict[str, dict[str, Limit]]:
        """Accounts first: what a session's override leaves out is its account's."""
        done: dict[str, dict[str, Limit]] = {}
        for owner in sorted(tables, key=lambda name: "/" in name):
            path = ("override", owner)
            account, slash, session = owner.partition("/")
            if not _NAME.fullmatch(account) or (slash and not _NAME.fullmatch(session)):
                self._error(path, 'an override is for "ACCOUNT" or "ACCOUNT/SESSION"')
            value = self._table(tables, owner, ("override",))
            allowed = SCOPES if slash else (*SCOPES, PER_INSTRUMENT)
            self._only(value, allowed, path)
            done[owner] = {}
            for bucket in allowed:
                if bucket in value:
                    fields = self._bucket(bucket, value[bucket], (*path, bucket))
                    parent = done.get(account, {}).get(bucket) if slash else None
                    plan = policy.plans.get(policy.accounts.get(account, policy.default_plan))
                    parent = parent or (plan.limits.get(bucket) if plan else None)
                    done[owner][bucket] = self._merged(fields, parent)
        return done

    def _venue(self, document: _Table) -> dict[str, Limit]:
        table = self._table(document, "venue", ())
        self._only(table, SCOPES, ("venue",))
        return {
            bucket: self._merged(self._bucket(bucket, table[bucket], ("venue", bucket)), None)
            for bucket in SCOPES
            if bucket in table
        }

    def _penalty(self, document: _Table) -> Penalty | None:
        if "penalty" not in document:
            return None
        table, path = self._table(document, "penalty", ()), ("penalty",)
        self._only(table, (*_PENALTY_RANGES, "disconnect_over"), path)
        usual = Penalty()
        numbers = {
            name: self._whole(table, name, bounds, path, getattr(usual, name))
            for name, bounds in _PENALTY_RANGES.items()
        }
        factor = table.get("disconnect_over", f"{usual.hard_factor}x")
        found = _HARD_FACTOR.fullmatch(factor) if isinstance(factor, str) else None
        if found is None or int(found[1]) < 2:
            self._error((*path, "disconnect_over"), f'must be "2x" to "9999x", not {_shown(factor)}')
            return usual
        return Penalty(**numbers, hard_factor=int(found[1]))


def _no_plan(name: object, plans: Iterable[str]) -> str:
    return f"there is no plan {_shown(name)}{nearest(name, plans)}"


def nearest(name: object, known: Iterable[str]) -> str:
    """A hint at the known name that was probably meant, or nothing."""
    choices = list(known)
    if not isinstance(name, str) or len(choices) > _MAX_CHOICES:
        return ""
    close = get_close_matches(name[:64], choices, 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _shown(value: object) -> str:
    """A value as a message may quote it: short, whatever it is."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    if type(value) is int and abs(value) >= MAX_UNITS:
        return "a huge number"
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
