"""The sessions that a limiter knows: each has one path, found again by name, so that reconnecting refills nothing.

Account and session names must come from the configuration or from authenticated clients. A session is known while its
path is in use, and after that while there is room. Pure.
"""

from dataclasses import dataclass
from itertools import islice
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from limits.bucket import Bucket
from limits.penalty import PenaltyState

MAX_KEPT = 16_384  # sessions remembered after they have left, about 2 KiB each
_LOOKED_AT = 8


@dataclass(slots=True, eq=False)
class Counts:
    """Decisions on one bucket name since the start. shadow_refused: admitted, but a shadow limit would refuse."""

    admitted: int = 0
    refused: int = 0
    shadow_refused: int = 0


class Path(msgspec.Struct, weakref=True, eq=False):
    """One session's path through the buckets. own: the session's buckets, which outlive changes of policy.

    penalty_state: that of its account. routes: the limiter's, by bucket name. per_instrument: the same for orders in
    one instrument, by its number. Both are resolved anew when generation is not the limiter's. decisions: what the
    store was asked to decide, by question.
    """

    account: str
    session: str
    penalty_state: PenaltyState
    own: dict[str, Bucket]
    routes: dict[str, Any]
    per_instrument: dict[int, Any]
    decisions: dict[Any, Any]
    generation: int = 0


class Paths:
    """The paths of all sessions, by (account, session); at most `max_kept` of those that are not in use."""

    def __init__(self, max_kept: int = MAX_KEPT) -> None:
        self._max_kept = max_kept
        self._paths: WeakValueDictionary[tuple[str, str], Path] = WeakValueDictionary()
        self._kept: dict[tuple[str, str], Path] = {}
        self._penalty_states: dict[str, PenaltyState] = {}

    def __len__(self) -> int:
        """Sessions that are known: those in use, and those kept after they left."""
        return len(self._paths)

    def open(self, account: str, session: str) -> Path:
        """The path of one session: the same object while it is remembered."""
        key = (account, session)
        path = self._paths.get(key)
        if path is None:
            penalty_state = self._penalty_states.setdefault(account, PenaltyState())
            path = self._paths[key] = Path(account, session, penalty_state, {}, {}, {}, {})
        self._kept.pop(key, None)
        self._kept[key] = path  # the last to be forgotten
        if len(self._kept) > self._max_kept:
            self._forget_one()
        return path

    def _forget_one(self) -> None:
        """Stop keeping one path: of those opened longest ago, the one that is full first and so loses least.

        It can still be found while it is in use. Only a few are compared, so that every logon stays cheap.
        """
        del self._kept[min(islice(self._kept, _LOOKED_AT), key=lambda key: _full_at_us(self._kept[key]))]


def _full_at_us(path: Path) -> int:
    """When the path's own buckets are all full again, if nothing more is taken."""
    return max((bucket.as_of_us + bucket.full_in_us(bucket.as_of_us) for bucket in path.own.values()), default=0)
