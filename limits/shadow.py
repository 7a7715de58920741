"""Limits that only count: each action is judged as enforcement would have judged it, and passes whatever comes out.

An action whose tokens must be fetched first would have made its session wait, with all that comes behind it. Here the
action has passed, and its judgement waits in its place: when the answers are there, the same is asked again. Pure.
"""

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from limits.limiter import ALLOWED, PENDING, UNPAID, Decision, ShadowDebit, Wait
from limits.paths import Path

MAX_WAITING = 4_096  # judgements of one session; nobody sends so much while one call is under way

Verdict = Decision | Sequence[Wait]
"""ALLOWED, PENDING, or how long which levels make wait."""


class Judgement(msgspec.Struct, frozen=True):
    """One action that has passed, and what is still to be said of it."""

    name: str
    cost_milli: int
    instrument: int
    debit: ShadowDebit


class Shadows:
    """Judges actions, each session's in its order, and counts those that enforcement would have refused.

    judge: of (path, bucket, cost, time in us, instrument): takes the tokens of the levels that only count.
    """

    def __init__(
        self, judge: Callable[[Path, str, int, int, int], Verdict], count_refused: Callable[[str], None]
    ) -> None:
        self._judge = judge
        self._count_refused = count_refused
        self._waiting: dict[Path, deque[Judgement]] = {}

    def __len__(self) -> int:
        return sum(len(row) for row in self._waiting.values())

    def take(self, path: Path, name: str, cost_milli: int, now_us: int, instrument: int) -> Decision:
        """Judge one action that passes: ALLOWED when its tokens are taken, else with what `give_back` must be told."""
        row = self._waiting.get(path)
        if row is None:
            verdict = self._judge(path, name, cost_milli, now_us, instrument)
            if verdict is ALLOWED:
                return ALLOWED
            if verdict is not PENDING:
                self._count_refused(name)
                return UNPAID
            row = self._waiting[path] = deque()
        elif len(row) >= MAX_WAITING:
            self._count_refused(name)
            return UNPAID
        debit = ShadowDebit("waiting")
        row.append(Judgement(name, cost_milli, instrument, debit))
        return Decision(True, shadow=debit)

    def retry(self, now_us: int) -> None:
        """Answers have come: judge what waits, as far as it goes."""
        for path, row in list(self._waiting.items()):
            while row and self._is_over(path, row[0], now_us):
                row.popleft()
            if not row:
                del self._waiting[path]

    def _is_over(self, path: Path, waiting: Judgement, now_us: int) -> bool:
        debit = waiting.debit
        if debit.state != "withdrawn":
            verdict = self._judge(path, waiting.name, waiting.cost_milli, now_us, waiting.instrument)
            if verdict is PENDING:
                return False
            debit.state = "paid" if verdict is ALLOWED else "refused"
            if verdict is not ALLOWED:
                self._count_refused(waiting.name)
        return True
