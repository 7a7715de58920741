"""What the demo needs of a venue, whether it is one process or several."""

from typing import Protocol

from gateway.demo.ledger import CoreRecord
from gateway.demo.simulate import Spec
from gateway.demo.view import NodeState, Queue


class House(Protocol):
    """A venue for one run. `record`: what its core did; complete after `close`."""

    record: CoreRecord

    async def start(self) -> None:
        """Open the doors."""

    def spec(self, seed: int) -> Spec:
        """Where the traders go, once the doors are open."""

    def urls(self) -> dict[str, str]:
        """Addresses to show, an even number."""

    def queue(self) -> Queue | None:
        """The queue before the core, if there is one only."""

    def nodes(self) -> tuple[NodeState, ...]:
        """Its processes, if there are several."""

    def check(self) -> None:
        """See that all of it is well, from time to time.

        Raises:
            ChildFailed, StreamBroken: it is not.
        """

    async def disturb(self, seconds: float | None) -> None:
        """Trading has begun, for so long: kill what is to be killed, again and again until cancelled."""

    async def calm(self) -> None:
        """`disturb` has ended: wait until everything that was killed is back."""

    async def close(self) -> None:
        """The traders have left: drain, and complete `record`."""

    async def stop(self) -> None:
        """Free everything, whatever happened."""
