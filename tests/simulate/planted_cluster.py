"""Mistakes in what several gateways do together, which their simulation must find: see `planted`.

A session that is not fenced, numbers that do not move with it, acknowledgements that nobody keeps, owners that believe
too much, and cores that lose their place.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gateway
from gateway.cluster.house import House
from gateway.cluster.ownership import Ownership
from gateway.cluster.store import SharedStore
from gateway.core.engine import Engine
from gateway.doors.batch import EventLoopTurn
from gateway.remote import core_process
from gateway.remote.keys import BEFORE_ALL
from tests.simulate.cluster.redis import Lua
from tests.simulate.planted_limits import Change


def _in_a_script(before: bytes, after: bytes) -> Change:
    """One of the product's scripts says something else."""
    assert any(before in path.read_bytes() for path in Path(gateway.__file__).parent.rglob("*.lua")), before
    real = Lua.compile
    return Lua, "compile", lambda self, text: real(self, text.replace(before, after))


def _not_fenced() -> Change:
    """Redis takes what a gateway writes of a session that another one has."""
    return _in_a_script(b"if token and token ~= ARGV[at] then", b"if false then")


def _numbers_stay_behind() -> Change:
    """A session that moves goes on from outbound numbers of the past."""
    real = SharedStore.take

    def take(self: SharedStore) -> Any:
        changes = real(self)
        if changes is not None and self._next_out % 8:
            changes.fields.pop("out", None)
        return changes

    return SharedStore, "take", take


def ack_before_commit() -> Change:
    """Bytes leave as soon as they are recorded, not when that is durable: on a disk, or in Redis."""
    real = EventLoopTurn._commit

    def commit(self: EventLoopTurn, now_ns: int) -> bool:
        went = real(self, now_ns)
        self.is_durable = True
        return went

    return EventLoopTurn, "_commit", commit


def _believes_it_is_ours() -> Change:
    """A session that was ours is taken for ours, though its client has been elsewhere."""
    real = Ownership._seen

    def seen(self: Ownership, claim: Any, token: int | None, now_ns: int) -> None:
        real(self, claim, token and self._house.token_of(claim.session), now_ns)

    return Ownership, "_seen", seen


def _does_not_wait_for_the_last_owner() -> Change:
    """A session goes on before the core has executed what its last owner had handed over."""

    def claimed(self: Ownership, claim: Any, told: Any, now_ns: int) -> None:
        real_core, self._core = self._core, _Hasty(self._core)
        try:
            real(self, claim, told, now_ns)
        finally:
            self._core = real_core

    real = Ownership._claimed
    return Ownership, "_claimed", claimed


class _Hasty:
    """A core that has answered every `join`."""

    def __init__(self, core: Any) -> None:
        self.epoch = core.epoch

    def when_joined(self, _: Any, then: Callable[[int], None], now_ns: int) -> None:
        """Now."""
        then(now_ns)


def _messages_stay_behind() -> Change:
    """What a session has sent cannot be sent again where it goes on."""
    real = SharedStore.put_run

    def put_run(self: SharedStore, first: int, messages: Any) -> None:
        real(self, first, messages)
        self._unwritten.clear()

    return SharedStore, "put_run", put_run


def _reports_stay_behind() -> Change:
    """What the last owner had not reported is reported by nobody."""
    return House, "_missed", lambda _self, _adopted: []


def no_dedupe() -> Change:
    """The core carries out a command as often as it comes."""
    real = Engine.execute_all

    def execute_all(self: Engine, commands: Any, now_ns: int) -> Any:
        self._highest.clear()
        return real(self, commands, now_ns)

    return Engine, "execute_all", execute_all


def _behind_and_unaware() -> Change:
    """A core that comes back to what another one has trimmed goes on from there."""
    real = core_process.whereabouts

    async def whereabouts(*args: Any) -> Any:
        found = await real(*args)
        return "there" if found == "trimmed" and args[2] != BEFORE_ALL else found

    return core_process, "whereabouts", whereabouts


def _older_snapshot_wins() -> Change:
    """The core that is behind puts its snapshot in the place of a later one."""
    return _in_a_script(b"if known then", b"if false then")


def _forgotten_at_once() -> Change:
    """A gateway that stood still, and has lost its sessions, is no gateway any more."""
    return _in_a_script(b"local forgotten = now - 60000", b"local forgotten = now")


PLANTED_IN_CLUSTER: dict[str, Callable[[], Change]] = {
    "not fenced": _not_fenced,
    "numbers stay behind": _numbers_stay_behind,
    "ack before commit": ack_before_commit,
    "believes it is ours": _believes_it_is_ours,
    "does not wait for the last owner": _does_not_wait_for_the_last_owner,
    "messages stay behind": _messages_stay_behind,
    "reports stay behind": _reports_stay_behind,
    "no dedupe among several": no_dedupe,
    "behind and unaware": _behind_and_unaware,
    "older snapshot wins": _older_snapshot_wins,
    "forgotten at once": _forgotten_at_once,
}
