"""Parses an operator's TOML text into a checked `Policy`, or reports every mistake in it with its place.

Parsing continues after the first mistake; any mistake means that there is no policy. What a file leaves out comes from
the built-in policy. Pure.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

import msgspec

from limits.bucket import MAX_UNITS, MILLI, Rate
from limits.policy import PER_INSTRUMENT, SCOPES, Limit, OpenOrderLimit, Plan, Policy
from limits.policy_check import unknown_accounts, warnings_of
from limits.policy_file import BucketTable, BucketTables, PlanTable, PolicyFile, exact
from limits.toml_fields import nearest, shown
from limits.toml_reader import TableReader
from limits.toml_text import Finding, NoToml, Place, Problem, TomlLines, tables_in

_Value = TypeVar("_Value")

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NEVER_ON_STORE_LOSS = {
    "orders": ("allow", "orders are never let through without a limit"),
    PER_INSTRUMENT: ("allow", "orders are never let through without a limit"),
    "cancels": ("deny", "cancels always pass"),
}
_STAND_IN = Rate(1, MILLI, "")
_MISSING = "missing, and there is no parent to take it from"


class Parsed(msgspec.Struct, frozen=True):
    """The result of parsing a text: a policy and its warnings, or every mistake and no policy."""

    policy: Policy | None
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    version_line: int = 1


def parse(text: str, built_in: Policy | None = None, accounts: Collection[str] | None = None) -> Parsed:
    """The policy in `text`, fully checked. Plans, buckets, fields and messages that it leaves out are `built_in`'s.

    Without `built_in`, the text must define every bucket of every plan itself. Every text gives a `Parsed`, never an
    exception. accounts: the configured ones, to warn of unknown names; None = not known.
    """
    try:
        tables = tables_in(text, exact)
    except NoToml as error:
        return Parsed(None, (error.problem,))
    reader, lines = TableReader(), TomlLines(text)
    merger = _Merger(reader.read(PolicyFile, tables), built_in, reader.findings)
    policy = merger.policy()
    if merger.errors:
        return Parsed(None, tuple(lines.problems(merger.errors)))
    warnings = [*merger.warnings, *warnings_of(policy)]
    if accounts is not None:
        warnings += unknown_accounts(policy, accounts)
    return Parsed(policy, (), tuple(lines.problems(warnings)), lines.line_of(("version",)))


class _Merger:
    """Builds the policy from a file that was read: each part on top of the one that it extends."""

    def __init__(self, file: PolicyFile, built_in: Policy | None, errors: list[Finding]) -> None:
        """errors: the mistakes found by reading. Those found by merging are appended."""
        self._file = file
        self._built_in = built_in
        self._misread = {place for place, _ in errors}
        self.errors = errors
        self.warnings: list[Finding] = []

    def policy(self) -> Policy:
        """The policy, which is valid only if `errors` is empty."""
        costs = self._costs()
        plans = self._plans()
        default_plan = self._assign(plans)
        policy = Policy(
            self._file.version,
            plans,
            default_plan,
            self._file.assign.accounts,
            costs,
            penalty=self._file.penalty,
            venue={name: self._limit(("venue", name), each, None) for name, each in _given(self._file.venue).items()},
        )
        return msgspec.structs.replace(policy, overrides=self._overrides(policy))

    def _costs(self) -> dict[str, tuple[str, int]]:
        built_in = self._built_in.costs if self._built_in else {}
        costs: dict[str, tuple[str, int]] = {}
        for bucket in SCOPES:
            table: dict[str, int] = getattr(self._file.classes, bucket)
            for message, cost in self._every(table, ("classes", bucket), 0).items():
                place = ("classes", bucket, message)
                if message in costs:
                    self._error(place, f"is charged to {costs[message][0]} already; a message has one class")
                elif built_in and message not in built_in:
                    self.warnings.append((place, f"no message of this name is known{nearest(message, built_in)}"))
                costs[message] = (bucket, cost)
        return {**built_in, **costs}

    def _error(self, place: Place, text: str) -> None:
        self.errors.append((place, text))

    def _every(self, table: dict[str, _Value], place: Place, stand_in: _Value) -> dict[str, _Value]:
        """The entries of a table, with a stand-in for each that could not be read, because its name is known."""
        return {str(each[-1]): stand_in for each in self._misread if each[:-1] == place} | table

    def _limit(self, place: Place, table: BucketTable, parent: Limit | None) -> Limit:
        """A complete limit: the fields of the table, and the rest from the parent."""
        for name in ("rate", "burst"):
            if parent is None and getattr(table, name) is None and (*place, name) not in self._misread:
                self._error((*place, name), _MISSING)
        never = _NEVER_ON_STORE_LOSS.get(str(place[-1]))
        if never is not None and table.on_store_loss == never[0]:
            self._error((*place, "on_store_loss"), never[1])
        usual = parent or Limit(_STAND_IN, 1)
        rate, burst = table.rate or usual.rate, table.burst or usual.burst
        if rate.period_us * burst >= MAX_UNITS:
            most = (MAX_UNITS - 1) // rate.period_us
            self._error(place, f"a burst of {burst} at {rate.text} is too large to count exactly; at most {most}")
        return Limit(rate, burst, table.mode or usual.mode, table.on_store_loss or usual.on_store_loss)

    def _plans(self) -> dict[str, Plan]:
        drafts = self._every(self._file.plans, ("plans",), PlanTable())
        done = dict(self._built_in.plans) if self._built_in else {}
        for name in drafts:
            done.pop(name, None)
            if not _NAME.fullmatch(name):
                self._error(("plans", name), "a plan's name is 1 to 64 of A-Z a-z 0-9 . _ -")
        for name in drafts:
            self._resolve(name, drafts, done)
        return done

    def _resolve(self, name: str, drafts: Mapping[str, PlanTable], done: dict[str, Plan]) -> None:
        """Finish `name` and every plan above it, from the top down. A loop, so that a chain may have any length."""
        chain: list[str] = []
        while name not in done and name in drafts and name not in chain:
            chain.append(name)
            name = drafts[name].extends
        if name in chain:
            loop = " -> ".join((*chain[chain.index(name) :], name))
            self._error(("plans", chain[-1], "extends"), f"plans extend each other in a circle: {loop}")
        elif name and name not in done:
            self._error(("plans", chain[-1], "extends"), _no_plan(name, [*drafts, *done]))
        for member in reversed(chain):
            parent = done.get(drafts[member].extends)
            if parent is None and self._built_in is not None:
                parent = self._built_in.plans[self._built_in.default_plan]
            done[member] = self._plan(member, drafts[member], parent)

    def _plan(self, name: str, draft: PlanTable, parent: Plan | None) -> Plan:
        inherited = parent.limits if parent is not None else {}
        usual = parent.open_orders if parent is not None else OpenOrderLimit()
        given = _given(draft)
        limits: dict[str, Limit] = {}
        for bucket in (*SCOPES, PER_INSTRUMENT):
            place = ("plans", name, bucket)
            if bucket in given:
                limits[bucket] = self._limit(place, given[bucket], inherited.get(bucket))
            elif bucket in inherited:
                limits[bucket] = inherited[bucket]
            elif bucket != PER_INSTRUMENT and not draft.extends and place not in self._misread:
                self._error(place, _MISSING)
        own = draft.open_orders
        return Plan(name, limits, OpenOrderLimit(own.account or usual.account, own.instrument or usual.instrument))

    def _assign(self, plans: Mapping[str, Plan]) -> str:
        """The plan of the accounts that are not listed."""
        assign, place = self._file.assign, ("assign", "default")
        default = assign.default
        if default is None and self._built_in is not None:
            default = self._built_in.default_plan
        if default is None and place not in self._misread:
            self._error(place, "missing: name the plan of the accounts that are not listed")
        elif default is not None and default not in plans:
            self._error(place, _no_plan(default, plans))
        for account, plan in assign.accounts.items():
            if not _NAME.fullmatch(account):
                self._error(("assign", "accounts", account), "an account's name is 1 to 64 of A-Z a-z 0-9 . _ -")
            if plan not in plans:
                self._error(("assign", "accounts", account), _no_plan(plan, plans))
        used = {default, *assign.accounts.values(), *(draft.extends for draft in self._file.plans.values())}
        self.warnings += [(("plans", name), "no account has this plan") for name in self._file.plans.keys() - used]
        return default or ""

    def _overrides(self, policy: Policy) -> dict[str, dict[str, Limit]]:
        """Accounts come first, because an override of a session inherits from its account."""
        done: dict[str, dict[str, Limit]] = {}
        for owner, tables in sorted(self._file.override.items(), key=lambda each: "/" in each[0]):
            account, slash, session = owner.partition("/")
            if not _NAME.fullmatch(account) or (slash and not _NAME.fullmatch(session)):
                self._error(("override", owner), 'an override is for "ACCOUNT" or "ACCOUNT/SESSION"')
            if slash and tables.orders_per_instrument is not None:
                self._error(("override", owner, PER_INSTRUMENT), "is for an account, not for one of its sessions")
            plan = policy.plans.get(policy.accounts.get(account, policy.default_plan))
            inherited = {**(plan.limits if plan is not None else {}), **(done.get(account, {}) if slash else {})}
            done[owner] = {
                bucket: self._limit(("override", owner, bucket), table, inherited.get(bucket))
                for bucket, table in _given(tables).items()
                if not slash or bucket != PER_INSTRUMENT
            }
        return done


def _given(tables: BucketTables) -> dict[str, BucketTable]:
    """The buckets that a table names."""
    return {name: each for name, each in msgspec.structs.asdict(tables).items() if isinstance(each, BucketTable)}


def _no_plan(name: str, plans: Iterable[str]) -> str:
    return f"there is no plan {shown(name)}{nearest(name, plans)}"
