"""Shadow limits: each action is judged as an enforced limit would judge it, and passes whatever the result.

If its tokens must be fetched first, enforcement would make the session wait, with all its later actions. Here the
action passes, and its judgement waits in its place. When the answers arrive, it is judged again. Pure.
"""

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from limits.limiter import ALLOWED, PENDING, UNPAID, Decision, ShadowDebit, Wait
from limits.paths import Path

MAX_WAITING = 4_096  # judgements of one session; far more than arrive during one call

Verdict = Decision | Sequence[Wait]
"""ALLOWED, PENDING, or the waits at the levels that refuse."""


class Judgement(msgspec.Struct, frozen=True):
    """One action that has passed and is still to be judged."""

    name: str
    cost_milli: int
    instrument: int
    debit: ShadowDebit


class Shadows:
    """Judges actions, each session's in order, and counts those that enforcement would have refused.

    judge: called with (path, bucket, cost, time in us, instrument); takes the tokens of the shadow levels.
    """

    def __init__(
        self, judge: Callable[[Path, str, int, int, int], Verdict], count_refused: Callable[[str], None]
    ) -> None:
        self._judge = judge
        self._count_refused = count_refused
        self._waiting: dict[Path, deque[Judgement]] = {}

    def __len__(self) -> int:
        return sum(len(row) for row in self._waiting.values())

    def is_waiting(self, path: Path) -> bool:
        """Whether earlier actions of the session are still to be judged; later ones must not overtake them."""
        return path in self._waiting

    def take(self, path: Path, name: str, cost_milli: int, now_us: int, instrument: int) -> Decision:
        """Judge one action that passes: ALLOWED when its tokens are taken, else with the debit for `give_back`."""
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
        """Judge the waiting actions again after answers, each session's up to the first that is still pending."""
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
