"""Trading modes: for whom and for what new orders are barred, by whom, why, and for how long.

A mode is set on the venue, an account, a session or an instrument; the strictest that applies counts. It bars New and
Replace only: cancels and queries always pass, so a client that is barred can still cancel and look. `Modes` is an
immutable snapshot, replaced whole. Before editing: `gateway.admin.modes_file` keeps it, so the fields of `ModeChange`
are a stored format.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec
from msgspec import structs

from protocols import errors
from protocols.errors import Refusal
from protocols.messages import EngineState
from protocols.units import NS_PER_S

Mode = Literal["normal", "cancel_only", "halted"]
Scope = Literal["venue", "account", "session", "instrument"]
Place: TypeAlias = tuple[str, str | int]
"""Where a mode is set: the scope, and the name in it (of an instrument its id)."""

STRICTNESS: dict[Mode, int] = {"normal": 0, "cancel_only": 1, "halted": 2}
_CODES = {"cancel_only": errors.CANCEL_ONLY, "halted": errors.MARKET_HALTED}
_WORDS = {"normal": "takes orders again", "cancel_only": "takes cancels only", "halted": "is halted"}


class ModeChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One mode as an operator set it. Clients read the reason: it is part of every refusal.

    name: "" for the venue, an account's name, `ACCOUNT/SESSION`, a symbol. at_ns: when, in own time while in force, so
    that a clock that is put right ends nothing early; ns UTC where it is kept and shown. ttl_s: it ends by itself after
    so long, 0 = it stays until it is cleared. instrument: the id behind the symbol, else 0.
    """

    scope: Scope
    name: str
    mode: Mode
    reason: str
    by: str
    at_ns: int
    ttl_s: int = 0
    instrument: int = 0

    @property
    def place(self) -> Place:
        """What it replaces: the change that was set here before."""
        return self.scope, self.instrument or self.name

    @property
    def until_ns(self) -> int:
        """When it ends by itself, in the time of at_ns; 0 = never."""
        return self.at_ns + self.ttl_s * NS_PER_S if self.ttl_s else 0

    @property
    def subject(self) -> str:
        """What it is about, as a client reads it; whose session it is, the client knows."""
        if self.scope == "venue":
            return "the venue"
        return self.name if self.scope == "instrument" else f"{self.scope} {self.name.rpartition('/')[2]}"

    @property
    def text(self) -> str:
        return f"{self.subject} {_WORDS[self.mode]}: {self.reason}"


def session_name(account: str, session: str) -> str:
    """A session's name among all accounts: two clients may call theirs the same."""
    return f"{account}/{session}"


_REOPENING = ModeChange("venue", "", "cancel_only", "after a restart others get the time to come back", "penstock", 0)


class Modes(msgspec.Struct, frozen=True):
    """Every mode in force that is not normal, by place."""

    in_force: Mapping[Place, ModeChange] = {}

    @property
    def next_expiry_ns(self) -> int | None:
        """When the first of them ends by itself; None when none does."""
        return min((change.until_ns for change in self.in_force.values() if change.ttl_s), default=None)

    @property
    def counts(self) -> dict[str, int]:
        """In how many places each mode that bars orders is set, for the metric."""
        standing = [change.mode for change in self.in_force.values()]
        return {mode: standing.count(mode) for mode in ("cancel_only", "halted")}

    def apply(self, change: ModeChange) -> "Modes":
        """These modes with the change made; normal takes away what was set there."""
        in_force = {place: each for place, each in self.in_force.items() if place != change.place}
        if change.mode != "normal":
            in_force[change.place] = change
        return Modes(in_force)

    def expire(self, now_ns: int) -> "Modes":
        """These modes without those whose time is over; the same object when there are none."""
        lasting = {place: each for place, each in self.in_force.items() if not 0 < each.until_ns <= now_ns}
        return self if len(lasting) == len(self.in_force) else Modes(lasting)

    def while_reopening(self) -> "Modes":
        """What clients are shown while the venue has not reopened after a crash. An operator's mode of the venue is
        shown instead, because it will still be in force then.
        """
        return self if _REOPENING.place in self.in_force else self.apply(_REOPENING)

    def shifted(self, by_ns: int) -> "Modes":
        """The same by another clock: from own time to UTC, or back."""
        moved = {place: structs.replace(each, at_ns=each.at_ns + by_ns) for place, each in self.in_force.items()}
        return Modes(moved)

    def mode_at(self, place: Place) -> Mode:
        """The mode set at this place itself, whatever holds around it."""
        found = self.in_force.get(place)
        return "normal" if found is None else found.mode

    def refusal(self, account: str, session: str, instrument: int) -> Refusal | None:
        """The no to a New or Replace, None when nothing bars it. Never ask for a cancel or a query: they pass.

        The strictest mode counts; among equals the widest scope is named. Codes 4010 and 4011 (RULES D).
        """
        barring = self._strictest((*_general(account, session), ("instrument", instrument)))
        return None if barring is None else Refusal(_CODES[barring.mode], barring.text)

    def news(self, before: "Modes", account: str, account_id: int, session: str, now_ns: int) -> list[EngineState]:
        """The notice that a session gets when these modes replace `before`; none when nothing changed for it.

        It is about the venue, the account and the session, of which the strictest counts; the notice bears the account
        when it is not about the venue. Against `Modes()` it is what a session that logs on must know.
        """
        places = _general(account, session)
        was, now = before._strictest(places), self._strictest(places)
        if (was and was.mode) == (now and now.mode):
            return []
        subject = now or was
        assert subject is not None
        return [_notice(subject, now, 0 if subject.scope == "venue" else account_id, now_ns)]

    def market_news(self, before: "Modes", now_ns: int) -> list[EngineState]:
        """The notices about single instruments that every session gets when these modes replace `before`.

        An instrument's notice is about its own mode: a client holds the venue's, its own and the instrument's, and the
        strictest counts.
        """
        places = sorted(place for place in {*before.in_force, *self.in_force} if place[0] == "instrument")
        notices = []
        for place in places:
            was, now = before.in_force.get(place), self.in_force.get(place)
            subject = now or was
            if subject is not None and (was and was.mode) != (now and now.mode):
                notices.append(_notice(subject, now, 0, now_ns))
        return notices

    def _strictest(self, places: Iterable[Place]) -> ModeChange | None:
        """The first of the strictest. A plain loop: while anything is in force, every order comes through here."""
        found, in_force = None, self.in_force
        for place in places:
            change = in_force.get(place)
            if change is not None and (found is None or STRICTNESS[change.mode] > STRICTNESS[found.mode]):
                found = change
        return found


def _general(account: str, session: str) -> tuple[Place, ...]:
    return ("venue", ""), ("account", account), ("session", session_name(account, session))


def _notice(about: ModeChange, now: ModeChange | None, account_id: int, now_ns: int) -> EngineState:
    if now is None:
        text = f"{about.subject} {_WORDS['normal']}"
        return EngineState(account_id, 0, 0, now_ns, "normal", about.instrument, text)
    return EngineState(account_id, 0, 0, now_ns, now.mode, now.instrument, now.text)
