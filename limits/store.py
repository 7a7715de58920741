"""What a node asks the store of shared buckets, and the answers: the wire between `limits.shared` and Redis.

All structs are arrays on the wire: `bucket.lua` unpacks them by position, so a field may only be added at the end.
Tokens are thousandths (`_milli`) unless called whole. Times are microseconds of the store's clock. Pure.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec


class StoreUnsuitable(Exception):
    """This store must not hold limits. The text gives the reason."""


class Terms(msgspec.Struct, array_like=True, frozen=True):
    """The terms of one bucket, as this node knows them, and when it last saw it.

    load: the number of the load that they come from; a later one in the store wins. seen_us and the fields after it:
    from the newest BucketState that this node received. What the store loses before expires_us counts as spent.
    """

    load: int
    amount: int
    period_us: int
    burst: int
    seen_us: int = 0
    expires_us: int = 0
    spare_us: int = 0
    level_milli: int = 0


class Ask(msgspec.Struct, array_like=True):
    """One node's report on its lease of one bucket, and what it wants next.

    bucket: position of the key. seq: rises with each ask of this node and bucket. left_milli: what it can still spend.
    back_milli: unspent tokens that it returns. refund_milli: spent tokens that were returned. owed_milli: all that it
    has ever admitted by itself; paid_milli: how much of that the store is known to have debited, whatever the outcome
    of other calls. want, need: whole tokens; less than `need` is of no use to it.
    """

    bucket: int
    node: str
    seq: int
    left_milli: int
    back_milli: int
    refund_milli: int
    owed_milli: int
    paid_milli: int
    want: int
    need: int
    ttl_us: int


class Batch(msgspec.Struct, array_like=True, frozen=True):
    """One call. terms: of each key, in order. takes: [cost in thousandths, positions of the keys that must all pay]."""

    terms: list[Terms]
    asks: list[Ask]
    takes: list[list[int]]


class Grant(msgspec.Struct, array_like=True, frozen=True):
    """The answer to one Ask. granted: whole tokens; -1 = the number was old and nothing was done.

    wait_us: time until `need` is available, if it is not; -1 = never. held_milli: what the store has on record now.
    """

    granted: int
    wait_us: int
    held_milli: int


class Taken(msgspec.Struct, array_like=True, frozen=True):
    """The answer to one take: wait_us 0 = every level has paid, -1 = it never fits. binds: position in its levels."""

    wait_us: int
    binds: int


class BucketState(msgspec.Struct, array_like=True, frozen=True):
    """One bucket after the call. expires_us: when the store may drop it. out_milli: on record as leased.

    as_of_us is ahead of the store's clock after that was set back. level_milli: below zero while debts are paid off.
    spare_us: total time that added nothing because the bucket was full; only differences have a meaning. pulled_us: how
    far this call has pulled back as_of_us because it was too far ahead.
    """

    as_of_us: int
    expires_us: int
    level_milli: int
    out_milli: int
    spare_us: int = 0
    pulled_us: int = 0


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """The answers to one Batch, in the order of its asks and takes."""

    clock_us: int
    granted: list[Grant]
    taken: list[Taken]
    states: list[BucketState]


class Trouble(msgspec.Struct, frozen=True):
    """The store works, but this call failed: something is wrong with a bucket in it.

    reason: one word, for counting; text: the store's own. is_undone: nothing was done; otherwise that is unknown.
    """

    reason: str
    text: str
    is_undone: bool


Outcome = Answer | Trouble | None
"""The outcome of a call. None: unknown, and the store is away or soon will be."""


class Store(Protocol):
    """The store of shared buckets. Calls may be lost, late or unanswered; they are never repeated."""

    @property
    def is_away(self) -> bool:
        """Whether calls are known to fail at once."""

    @property
    def is_cluster(self) -> bool:
        """Whether the keys of one call must share a hash tag."""

    def call(self, keys: list[str], batch: Batch, done: Callable[[Outcome], None]) -> None:
        """Send one batch. `done` is called once, later, with its outcome."""


def key_of(account: str, level: str, owner: str, name: str) -> str:
    """The key of one bucket. The braces are its hash tag: all buckets of an account are in one slot."""
    return f"gw:{{{account}}}:{level}:{owner}:{name}"
