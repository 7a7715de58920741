"""The levels that one kind of action passes, sorted by how each is decided when buckets are shared. Pure."""

from collections.abc import Sequence

import msgspec

from limits.bucket import MILLI, Bucket
from limits.lease import Lease
from limits.limiter import Level
from limits.paths import Counts
from limits.policy import Limit

SharedLevel = Level[Lease | Bucket]
"""A lease of a shared bucket, or a session's own bucket."""


class SharedRoute(msgspec.Struct, frozen=True, eq=False):
    """What one bucket name means on one path. levels: all of them; binding: those that decide, then these by kind.

    most_milli: a cost above it never fits. shadow: the shadow levels, as a route of their own.
    """

    counts: Counts
    levels: tuple[SharedLevel, ...]
    binding: tuple[SharedLevel, ...]
    leases: tuple[Lease, ...]
    own: tuple[Bucket, ...]
    strict: tuple[Lease, ...]
    most_milli: int
    shadow: "SharedRoute | None" = None
    instrument_limit: Limit | None = None

    @property
    def buckets(self) -> tuple[Lease | Bucket, ...]:
        """The buckets that decide."""
        return (*self.leases, *self.own, *self.strict)


def route_of(counts: Counts, levels: Sequence[SharedLevel]) -> SharedRoute:
    """The route through these levels."""
    shadow = [level for level in levels if level.limit.mode == "shadow"]
    enforced = [level for level in levels if level.limit.mode == "enforce"]
    return _route(counts, tuple(levels), enforced, _route(counts, (), shadow, None) if shadow else None)


def _route(
    counts: Counts, levels: tuple[SharedLevel, ...], binding: list[SharedLevel], shadow: SharedRoute | None
) -> SharedRoute:
    leases = [level.bucket for level in binding if isinstance(level.bucket, Lease)]
    return SharedRoute(
        counts,
        levels,
        tuple(binding),
        tuple(lease for lease in leases if not lease.is_strict),
        tuple(level.bucket for level in binding if isinstance(level.bucket, Bucket)),
        tuple(lease for lease in leases if lease.is_strict),
        min((level.limit.burst for level in binding), default=0) * MILLI,
        shadow,
    )
