"""Mass cancels that still bar orders of other gateways, which arrived there before and reach the core after. Pure.

A mass cancel means every order of its scope that the venue had when it arrived. At its own gateway those that waited
are withdrawn. At another one an order may wait for its turn at that moment, and would be placed after the mass cancel.
So the core compares the times of arrival, and refuses it.

    10:00:00.100  gateway b takes New n        (it waits)
    10:00:00.200  gateway a takes MassCancel   -> core: all open orders are cancelled
    10:00:00.300  gateway b hands over New n   -> core: it arrived before, so it is withdrawn (5006)

Before editing: two clocks are compared here. One that is behind makes its own orders look older: they are refused, not
placed, for at most `_BARS_MS` after a mass cancel.
"""

from collections.abc import Sequence

import msgspec

from gateway.core.orders import is_in_scope
from protocols.errors import WITHDRAWN
from protocols.messages import AnyCommand, MassCancel, NewOrder

_BARS_MS = 10_000  # no order waits for longer at a gateway that can hand over
_MOST = 16  # of an account: those before are covered by time, or a client sends them without end


class Sweep(msgspec.Struct, frozen=True, array_like=True):
    """A mass cancel, who handed it over, and when it was executed."""

    command: MassCancel
    node: str
    at_ms: int


class Sweeps:
    """The latest mass cancels of each account."""

    def __init__(self, rows: Sequence[Sweep] = ()) -> None:
        self._by_account: dict[int, list[Sweep]] = {}
        for row in rows:
            self._by_account.setdefault(row.command.account, []).append(row)

    def rows(self) -> tuple[Sweep, ...]:
        """All of them, as a snapshot has them."""
        return tuple(row for _, rows in sorted(self._by_account.items()) for row in rows)

    def judge(self, node: str, commands: Sequence[AnyCommand], now_ms: int) -> Sequence[AnyCommand]:
        """The same commands; a New that a mass cancel of another gateway means may place nothing any more."""
        if self._by_account:
            self._forget(now_ms)
            if self._by_account:
                commands = [self._judged(node, command) for command in commands]
        for command in commands:
            if type(command) is MassCancel:
                rows = self._by_account.setdefault(command.account, [])
                rows.append(Sweep(command, node, now_ms))
                del rows[:-_MOST]
        return commands

    def _judged(self, node: str, command: AnyCommand) -> AnyCommand:
        if type(command) is not NewOrder or command.deadline < 0:
            return command
        for sweep in self._by_account.get(command.account, ()):
            if sweep.node != node and command.t_recv < sweep.command.t_recv and is_in_scope(command, sweep.command):
                return msgspec.structs.replace(command, deadline=-WITHDRAWN)  # it may place nothing
        return command

    def _forget(self, now_ms: int) -> None:
        for account, rows in list(self._by_account.items()):
            left = [row for row in rows if now_ms - row.at_ms < _BARS_MS]
            if not left:
                del self._by_account[account]
            elif len(left) < len(rows):
                self._by_account[account] = left
