"""What a node asks of the store of shared buckets, and what it is told: the wire between `limits.shared` and Redis.

All structs are arrays on the wire: `bucket.lua` unpacks them by position, so a field may only be added at the end.
Tokens are thousandths (`_milli`) unless named whole; times are the store's own clock, in microseconds. Pure.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec


class StoreUnsuitable(Exception):
    """This store must not hold limits; the text says why."""


class Terms(msgspec.Struct, array_like=True, frozen=True):
    """The terms of one bucket, as this node knows them, and when it last saw it.

    load: the number of the load that they come from; the store keeps to a later one. seen_us and what follows: from the
    newest State that this node was told of. What the store has lost before expires_us counts as spent.
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
    """One node's report on its lease of one bucket, and what it would like next.

    bucket: position of the key. seq: rises with each ask of this node and bucket. left_milli: what it can still spend.
    back_milli: unspent tokens it returns. refund_milli: spent ones that were given back. owed_milli: all that it has
    ever admitted by itself; paid_milli: how much of it the store is known to have debited, whatever became of other
    calls. want, need: whole tokens; with less than `need` it can do nothing.
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
    """The answer to one Ask. granted: whole tokens; -1 = an old number, nothing was done.

    wait_us: until `need` will be there when it is not; -1 = never. held_milli: what the store now has on record.
    """

    granted: int
    wait_us: int
    held_milli: int


class Taken(msgspec.Struct, array_like=True, frozen=True):
    """The answer to one take: wait_us 0 = every level has paid, -1 = can never fit. binds: position in its levels."""

    wait_us: int
    binds: int


class State(msgspec.Struct, array_like=True, frozen=True):
    """One bucket after the call; expires_us: when it may be forgotten; out_milli: on record as leased.

    as_of_us lies ahead of the store's clock where that was set back. level_milli: below zero while debts are paid off.
    spare_us: how much of all time brought nothing, for the bucket was full; only differences mean anything. pulled_us:
    how far this call has pulled back as_of_us, which lay too far ahead.
    """

    as_of_us: int
    expires_us: int
    level_milli: int
    out_milli: int
    spare_us: int = 0
    pulled_us: int = 0


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """The answers of one Batch, each in the order it was asked."""

    clock_us: int
    granted: list[Grant]
    taken: list[Taken]
    states: list[State]


class Trouble(msgspec.Struct, frozen=True):
    """The store is well, and yet this call came to nothing: something is wrong with a bucket in it.

    reason: one word, for counting; text: in the store's own words. is_undone: nothing was done, else nobody knows.
    """

    reason: str
    text: str
    is_undone: bool


Outcome = Answer | Trouble | None
"""What becomes of a call. None: unknown, and the store is away or soon will be."""


class Store(Protocol):
    """Where shared buckets are kept. Calls may be lost, late or unanswered; they are never made twice."""

    @property
    def is_away(self) -> bool:
        """Whether calls are known to fail at once."""

    @property
    def is_cluster(self) -> bool:
        """Whether the keys of one call must share a hash tag."""

    def call(self, keys: list[str], batch: Batch, done: Callable[[Outcome], None]) -> None:
        """Send one batch. `done` is called once, later, with what became of it."""


def key_of(account: str, level: str, owner: str, name: str) -> str:
    """The key of one bucket. The braces are its hash tag: all buckets of an account lie in one slot."""
    return f"gw:{{{account}}}:{level}:{owner}:{name}"
