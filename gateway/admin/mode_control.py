"""Operators' changes of mode: checks a change, puts it in force, saves it, and cancels open orders after a kill.

| the change | order of steps | if saving fails |
| --- | --- | --- |
| bars more, or is a kill | in force, then saved | it stays in force, and the answer says it is not saved |
| opens, or bars less | saved, then in force | nothing changes |

So the gateway is never more open than an operator was told, whatever fails.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, structs

from gateway.admin.modes_file import ModesFile
from gateway.doors.services import Services
from gateway.orders.trading_modes import STRICTNESS, Mode, ModeChange, Modes, Scope, session_name
from gateway.safety.kill_switch import CancelScope, Sweep
from gateway.sessions.session import Session
from limits.toml_fields import none_called

MAX_REASON = 160
"""Characters: a refusal's text contains the reason, and must fit on every wire."""
MAX_TTL_S = 31 * 86_400
_SWEEP_WAIT_S = 2.0
_SWEEP_STEP_S = 0.005
_LISTED = 8


class ModeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change that an operator requests. kill: also cancel all open orders of the scope; its mode is cancel_only."""

    scope: Scope
    name: str = ""
    mode: Mode = "cancel_only"
    reason: str = ""
    ttl_s: Annotated[int, Meta(ge=0, le=MAX_TTL_S)] = 0
    kill: bool = False


class ModeResult(msgspec.Struct, frozen=True):
    """A change that is in force. trouble: why it could not be saved, "" if it was or need not be."""

    change: ModeChange
    was: Mode
    is_kept: bool
    sweep: Sweep | None = None
    trouble: str = ""


class ModeRefused(Exception):
    """A change that was not made; the text says why and what to do. `status` is the HTTP status."""

    def __init__(self, status: int, text: str, field: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.field = field


class OtherGateways(Protocol):
    """Those that share the venue with this one."""

    async def tell(self, change: ModeChange, kill: bool) -> None:
        """Keep a change (its time in UTC) for all gateways, and have all of them put it in force.

        Raises:
            OSError: it is not kept, and no one was told.
        """


class ModeControl:
    """One per process. accounts: name -> id, as configured. with_orders: ids of all accounts that may have orders,
    including those that are no longer configured. file: None if modes are not saved. others: keep them instead.
    """

    def __init__(
        self,
        services: Services,
        accounts: Mapping[str, int],
        with_orders: Iterable[int],
        file: ModesFile | None,
        others: OtherGateways | None = None,
    ) -> None:
        self._services = services
        self._accounts = accounts
        self._with_orders = with_orders
        self._file = file
        self._others = others
        self._saving = asyncio.Lock()
        self.next_deadline_ns: int | None = None
        self.is_kept = file is not None or others is not None

    # -- start and time ------------------------------------------------------------------------------------------

    def restore(self, now_ns: int) -> None:
        """Put the saved modes in force. Call it at start, before any client can connect.

        Raises:
            ModesBroken: the file has mistakes.
        """
        if self._file is None:
            return
        kept = self._file.load().shifted(-self._services.wall.offset_ns)
        # A mode set later than now: the clock was ahead then. No mode lasts longer from now on than was requested.
        past = {place: structs.replace(each, at_ns=min(each.at_ns, now_ns)) for place, each in kept.in_force.items()}
        modes = Modes(past).expire(now_ns)
        for change in modes.in_force.values():
            self._services.log("mode.kept", **_fields_of(change))
        self._put(modes, now_ns)

    def tick(self, now_ns: int) -> None:
        """End modes whose time is over. The file may be behind: the next start drops what is over, too."""
        if self.next_deadline_ns is None or now_ns < self.next_deadline_ns:
            return
        before = self._services.orders.venue.modes
        modes = before.expire(now_ns)
        for place in before.in_force.keys() - modes.in_force.keys():
            self._services.log("mode.expired", **_fields_of(before.in_force[place]))
        self._put(modes, now_ns)

    def _put(self, modes: Modes, now_ns: int) -> None:
        self.next_deadline_ns = modes.next_expiry_ns
        self._services.orders.venue.change(modes, now_ns)

    # -- changes -------------------------------------------------------------------------------------------------

    async def change(self, asked: ModeRequest, by: str) -> ModeResult:
        """Make one change; returns when it is saved and, for a kill, all mass cancels are answered or 2 s have passed.

        Raises:
            ModeRefused: nothing was changed.
        """
        change = self._judge(asked, by)
        was = self._services.orders.venue.modes.mode_at(change.place)
        if not asked.kill and STRICTNESS[change.mode] <= STRICTNESS[was]:
            await self._keep_then_put(change)
            return self._made(ModeResult(change, was, self.is_kept), asked)
        targets = self._targets(change) if asked.kill else []
        now_ns = self._services.now_ns()
        self._put(self._services.orders.venue.modes.apply(change), now_ns)
        sweep = self._services.kill_switch.start(targets, now_ns) if asked.kill else None
        self._services.wake()
        trouble = await self._keep(change, asked.kill)
        if sweep is not None:
            await _answered(sweep)
        return self._made(ModeResult(change, was, self.is_kept, sweep, trouble), asked)

    async def keep_again(self) -> None:
        """Save again after the clock was corrected: the times of day at which modes end are others now."""
        if self._services.orders.venue.modes.in_force:
            await self._keep()

    def hear(self, change: ModeChange, kill: bool, now_ns: int) -> None:
        """Another gateway's operator has made this change (its time in UTC): put it in force here, too."""
        own_ns = min(self._services.wall.own_ns(change.at_ns), now_ns)
        change = structs.replace(change, at_ns=own_ns)
        self._services.log("mode.heard", **_fields_of(change))
        self._put(self._services.orders.venue.modes.apply(change).expire(now_ns), now_ns)
        if kill:  # orders that came here until now may be in the book already
            with suppress(ModeRefused):  # a session that was never here has no orders from here
                self._services.kill_switch.start(self._targets(change), now_ns)
        self._services.wake()

    async def _keep(self, change: ModeChange | None = None, kill: bool = False) -> str:
        """Save the modes in force, of which the last change is this; why that failed, "" if it did not."""
        async with self._saving:
            return await self._save(self._services.orders.venue.modes, change, kill)

    async def _keep_then_put(self, change: ModeChange) -> None:
        orders = self._services.orders
        async with self._saving:  # another change may come while the disk is busy, so the mode is compared afterwards
            seen = orders.venue.modes.in_force.get(change.place)
            if trouble := await self._save(orders.venue.modes.apply(change), change):
                raise ModeRefused(507, f"nothing was changed: {trouble}")
            if orders.venue.modes.in_force.get(change.place) is not seen:
                # The other operator's request is waiting to save the modes that are in force now.
                raise ModeRefused(409, "another operator has just changed it: look at the modes, then ask again")
            self._put(orders.venue.modes.apply(change), self._services.now_ns())
        self._services.wake()

    async def _save(self, modes: Modes, change: ModeChange | None, kill: bool = False) -> str:
        if self._others is not None:
            return await self._tell(self._others, change, kill)
        if self._file is None:
            return ""
        try:
            await asyncio.to_thread(self._file.save, modes.shifted(self._services.wall.offset_ns))
        except OSError as error:
            self.is_kept = False
            trouble = f"{self._file.path} could not be written: {error.strerror or error}"
            self._services.log("mode.not_kept", error=trouble)
            return trouble
        self.is_kept = True
        return ""

    async def _tell(self, others: OtherGateways, change: ModeChange | None, kill: bool) -> str:
        if change is None:
            return ""
        try:
            await others.tell(structs.replace(change, at_ns=self._services.wall.utc_ns(change.at_ns)), kill)
        except OSError as error:
            self.is_kept = False
            trouble = f"the other gateways could not be told: {error}"
            self._services.log("mode.not_kept", error=trouble)
            return trouble
        self.is_kept = True
        return ""

    def _made(self, outcome: ModeResult, asked: ModeRequest) -> ModeResult:
        sweep = outcome.sweep
        swept = {} if sweep is None else {"canceled": sweep.canceled, "unanswered": sweep.waiting}
        fields = {**_fields_of(outcome.change), "was": outcome.was, "kill": asked.kill, "kept": outcome.is_kept}
        self._services.log("mode.changed", **fields, **swept)
        return outcome

    # -- checks --------------------------------------------------------------------------------------------------

    def _judge(self, asked: ModeRequest, by: str) -> ModeChange:
        reason = asked.reason.strip()
        if asked.kill and asked.mode == "normal":
            raise ModeRefused(400, "a kill bars new orders: leave mode out, or make it halted", "mode")
        if asked.mode != "normal" and not reason:
            raise ModeRefused(400, "say why: clients read the reason in every refusal", "reason")
        if len(reason) > MAX_REASON or not reason.isprintable():
            raise ModeRefused(400, f"at most {MAX_REASON} printable characters on one line", "reason")
        if asked.mode == "normal" and asked.ttl_s:
            raise ModeRefused(400, "is for a mode that bars orders; to open for a time, set it again later", "ttl_s")
        name, instrument = self._resolve(asked.scope, asked.name)
        now_ns = self._services.now_ns()
        change = ModeChange(asked.scope, name, asked.mode, reason, by, now_ns, asked.ttl_s, instrument)
        standing = self._services.orders.venue.modes.mode_at(change.place)
        if asked.kill and STRICTNESS[standing] > STRICTNESS[change.mode]:
            return structs.replace(change, mode=standing)  # a kill never opens anything
        return change

    def _resolve(self, scope: Scope, name: str) -> tuple[str, int]:
        """The full name, and the id of an instrument. A mode in force can be changed even if its name is gone."""
        for standing in self._services.orders.venue.modes.in_force.values():
            if standing.scope == scope and standing.name == name:
                return name, standing.instrument
        if scope == "venue":
            if name:
                raise ModeRefused(400, "the venue has no name: leave it out", "name")
            return "", 0
        if scope == "session":
            return self._resolve_session(name), 0
        symbols = self._services.instruments.by_symbol
        known: Mapping[str, object] = symbols if scope == "instrument" else self._accounts
        if name not in known:
            raise _unknown(scope, name, known)
        return name, symbols[name].id if scope == "instrument" else 0

    def _resolve_session(self, name: str) -> str:
        full = {_full_name(session) for session in self._sessions_by(lambda _: True)}
        if name in full:
            return name
        meant = sorted(each for each in full if each.rpartition("/")[2] == name)
        if len(meant) > 1:
            raise ModeRefused(
                409, f"{name} is a session of several accounts: say {' or '.join(meant[:_LISTED])}", "name"
            )
        if meant:
            return meant[0]
        if any(_full_name(each) == name or each.name == name for each in self._services.sessions.by_id.values()):
            raise ModeRefused(
                409, f"{name} has no name of its own and ends with its connection: bar its account", "name"
            )
        raise _unknown("session", name, full)

    def _targets(self, change: ModeChange) -> list[CancelScope]:
        """The scopes whose orders a kill cancels."""
        if change.scope == "account":
            if change.name not in self._accounts:
                raise _unknown("account", change.name, self._accounts)
            return [CancelScope(self._accounts[change.name])]
        if change.scope == "session":
            found = self._sessions_by(lambda session: _full_name(session) == change.name)
            if not found:
                raise ModeRefused(409, f"{change.name} has not been seen since the start: kill its account", "name")
            return [CancelScope(session.client.account_id, session.id) for session in found]
        return [CancelScope(account_id, instrument=change.instrument) for account_id in self._with_orders]

    def _sessions_by(self, fits: Callable[[Session], bool]) -> list[Session]:
        """Named sessions that fit. An unnamed one ends with its connection, and another may get its number."""
        known = self._services.sessions.by_id.values()
        return [session for session in known if session.name != f"ws-{session.id}" and fits(session)]


def _full_name(session: Session) -> str:
    return session_name(session.client.account, session.name)


def _unknown(what: str, name: str, known: Iterable[str]) -> ModeRefused:
    if not name:
        return ModeRefused(400, f"say which {what}", "name")
    return ModeRefused(404, none_called(what, name, known), "name")


def _fields_of(change: ModeChange) -> dict[str, object]:
    place = f"{change.scope} {change.name}".rstrip()
    return {"place": place, "mode": change.mode, "reason": change.reason, "by": change.by, "ttl_s": change.ttl_s}


async def _answered(sweep: Sweep) -> None:
    """Wait for the core's answers, for 2 s at most; the result says how many are missing."""
    waited_s = 0.0
    while sweep.waiting and waited_s < _SWEEP_WAIT_S:
        await asyncio.sleep(_SWEEP_STEP_S)
        waited_s += _SWEEP_STEP_S
