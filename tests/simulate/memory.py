"""Memory that ends in the middle of a snapshot: where an account is copied, in the tick or in a command's way.

The process that meets it ends; the next one has memory again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from gateway.core import snapshots
from gateway.core.orders import AccountState


class Memory:
    """Enough of it, until `is_short` is set: then the next account that a snapshot copies finds none."""

    def __init__(self) -> None:
        self.is_short = False

    def account(self, number: int) -> AccountState:
        """A new account, if there is memory for it."""
        if self.is_short:
            self.is_short = False
            raise MemoryError
        return AccountState(number)


@contextmanager
def bounded(memory: Memory) -> Iterator[None]:
    """Snapshots take their memory from here."""
    with patch.object(snapshots, "AccountState", memory.account):
        yield
