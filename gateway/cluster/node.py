"""One gateway among several: its parts, built and connected."""

import os
from collections import deque
from collections.abc import Callable, Mapping

from gateway.cluster.desk import ClusterDesk
from gateway.cluster.house import House
from gateway.cluster.journal import Gateway, SharedJournal
from gateway.cluster.link import ClusterLink
from gateway.cluster.moves import ClusterMoves
from gateway.cluster.ownership import Ownership
from gateway.config import schema
from gateway.config.load import core_url, node_of
from gateway.doors.batch import EventLoopTurn
from gateway.doors.fix.acceptor import FixAcceptor
from gateway.doors.services import Services
from gateway.orders.trading_modes import ModeChange
from gateway.recovery.recorder import Recorder
from gateway.remote.core import RemoteCore
from gateway.remote.keys import EntryId, Keys
from gateway.remote.pipe import address_of


class Unrecorded:
    """Hand-overs are part of a commit of the `SharedJournal`, and what was reported is in the rows of sessions."""

    def record_handed(self, number: int, data: bytes) -> None:
        """See `LinkRecord`."""

    def record_delivered(self, delivered: EntryId, answered: int, reported: Mapping[int, int]) -> None:
        """See `LinkRecord`."""


class Cluster:
    """What a gateway has more than one that is alone."""

    def __init__(self, settings: schema.Config, terms: schema.Cluster) -> None:
        self._settings = settings
        self._terms = terms
        self._gateway = Gateway(Keys(settings.core.prefix), node_of(settings), os.urandom(8).hex())
        self.journal = SharedJournal(self._gateway, terms.retain_messages)
        self.moves = ClusterMoves(self.journal)
        self._link: ClusterLink
        self._services: Services
        self._house: House

    def connect(
        self,
        services: Services,
        fix: FixAcceptor,
        recorder: Recorder,
        core: RemoteCore,
        turn: EventLoopTurn,
        hear: Callable[[ModeChange, bool], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """Before `open`. hear: see `ClusterLink.connect`."""
        self._services = services
        ids = services.sessions.given_ids = deque[int]()
        desk = ClusterDesk(self._gateway, core, ids, services.now_ns)
        house = self._house = House(services, fix, self.journal, recorder, core)
        link = self._link = ClusterLink(
            self._gateway,
            address_of(core_url(self._settings)),
            self.journal,
            desk,
            ids,
            self._terms.lease_ms,
            services.now_ns,
            services.log,
            services.wake,
            fail,
        )
        ownership = Ownership(desk, core, house)
        link.connect(turn, ownership, self._moved, hear)
        self.journal.connect(core, link.send, house.lose)
        self.moves.connect(ownership, desk, services.sessions)

    async def open(self) -> None:
        """Take the gateway's name, and what the last process under it left.

        Raises:
            LinkRefused: a living process has the name.
        """
        house, token = await self._link.open()
        self.journal.own(house, token)
        self._services.kill_switch.use(house)

    async def tell(self, change: ModeChange, kill: bool) -> None:
        """See `OtherGateways`."""
        await self._link.tell(change, kill)

    def _moved(self, session: int, token: int) -> None:
        """Another gateway says that it has the session."""
        if self.journal.token_of(session) < token:
            self._house.lose(frozenset((session,)), ())

    async def close(self) -> None:
        """Write nothing any more."""
        await self._link.close()

    @property
    def why_away(self) -> str:
        """Why sessions cannot be written, "" if they can."""
        return self._link.why_away
