"""One gateway among several: its parts, built and connected."""

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from gateway.cluster.clients import ClientsHere
from gateway.cluster.clock_watch import ClockWatch
from gateway.cluster.desk import ClusterDesk
from gateway.cluster.house import House
from gateway.cluster.journal import Gateway, Lost, SharedJournal
from gateway.cluster.link import ClusterLink
from gateway.cluster.moves import ClusterMoves
from gateway.cluster.outage import Outage
from gateway.cluster.ownership import Ownership
from gateway.config import schema
from gateway.config.load import core_url, node_of
from gateway.doors.batch import EventLoopTurn
from gateway.doors.fix.acceptor import FixAcceptor
from gateway.doors.services import Services
from gateway.doors.ws.logon import owns_nothing
from gateway.orders.trading_modes import ModeChange
from gateway.recovery.known_ids import KnownIds
from gateway.recovery.recorder import Recorder
from gateway.remote.keys import EntryId, Keys
from gateway.remote.link import CoreConnection
from gateway.remote.pipe import address_of
from protocols.units import NS_PER_S


class Unrecorded:
    """Hand-overs are part of a commit of the `SharedJournal`, and what was reported is in the rows of sessions."""

    def record_handed(self, number: int, data: bytes) -> None:
        """See `LinkRecord`."""

    def record_delivered(
        self, delivered: EntryId, answered: int, reported: Mapping[int, int], epoch: str = "", /
    ) -> None:
        """See `LinkRecord`."""


def meanings(known: KnownIds) -> dict[str, str]:
    """What each id of a configuration means, by a name that people understand."""
    accounts = {f"account {number}": name for number, name in known.accounts.items()}
    names = {f"the account called {name}": str(number) for number, name in known.accounts.items()}
    sessions = {
        f"FIX session {number}": f"{comp_id} of account {account}"
        for number, (comp_id, account) in known.sessions.items()
    }
    keys = {f"key {key_id}": f"of account {account}" for key_id, account in known.keys.items()}
    return accounts | names | sessions | keys


class Cluster:
    """What a gateway has more than one that is alone."""

    def __init__(self, settings: schema.Config, terms: schema.Cluster) -> None:
        self._settings = settings
        self._terms = terms
        self._gateway = Gateway(Keys(settings.core.prefix), node_of(settings), os.urandom(8).hex())
        self.journal = SharedJournal(self._gateway, terms.retain_messages)
        self.moves = ClusterMoves(self.journal)
        self._link: ClusterLink | None = None
        self._services: Services
        self._house: House | None = None
        self._own = 0  # the session of the gateway's own commands
        self._clock: ClockWatch | None = None
        self._outage: Outage | None = None

    def connect(
        self,
        services: Services,
        fix: FixAcceptor,
        recorder: Recorder,
        link_to_core: CoreConnection,
        turn: EventLoopTurn,
        hear: Callable[[ModeChange, bool], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """Before `open`. hear: see `ClusterLink.connect`."""
        self._services, core = services, link_to_core.core
        ids = services.sessions.given_ids = deque[int]()
        desk = ClusterDesk(self._gateway, core, ids, lambda: link_to_core.epochs, services.now_ns)
        house = self._house = House(services, fix, self.journal, recorder, core)
        terms = self._terms
        clock = self._clock = ClockWatch(terms.max_clock_skew_ms, services.wall.utc_ns, services.log)
        outage = self._outage = Outage(
            ClientsHere(services), terms.max_waiting_bytes, terms.lease_ms, terms.hold_ms, services.log
        )
        link = self._link = ClusterLink(
            self._gateway,
            address_of(core_url(self._settings)),
            self.journal,
            desk,
            ids,
            meanings(recorder.known_ids),
            tuple(row.id for row in self._settings.keys),
            self._terms.lease_ms,
            self._settings.core.acked_by_replicas,
            clock,
            outage,
            services.now_ns,
            services.log,
            services.wake,
            fail,
        )
        ownership = Ownership(desk, core, house)
        link.connect(turn, ownership, self._moved, hear, recorder.replay.former.add)
        self.journal.connect(core, link.send, self._lose)
        self.moves.connect(ownership, desk, services.sessions, partial(owns_nothing, services))

    async def open(self) -> None:
        """Take the gateway's name, and what the last process under it left.

        Raises:
            LinkRefused: a living process has the name.
        """
        assert self._link is not None
        self._use(*await self._link.open())

    async def tell(self, change: ModeChange, kill: bool) -> None:
        """See `OtherGateways`."""
        if self._link is None:
            raise OSError("not connected yet")
        await self._link.tell(change, kill)

    def _moved(self, session: int, token: int, for_client: bool) -> None:
        """Another gateway says that it has the session."""
        if 0 < self.journal.token_of(session) < token:
            self._lose({session: for_client}, ())

    def _lose(self, sessions: Lost, cmd_ids: Sequence[int]) -> None:
        """Sessions are another gateway's. It has taken us for dead if our own is among them: we need another one."""
        assert self._house is not None
        assert self._link is not None
        self._house.lose(sessions, cmd_ids)
        if self._own in sessions:
            self._own = 0
            self._link.own_another(self._use)

    def _use(self, session: int, token: int) -> None:
        """Give the gateway's own commands under this session from now on."""
        self._own = session
        self.journal.own(session, token)
        self._services.kill_switch.use(session)

    async def close(self) -> None:
        """Write nothing any more."""
        if self._link is not None:
            await self._link.close()

    @property
    def why_away(self) -> str:
        """Why sessions cannot be written, "" if they can."""
        return "not connected yet" if self._link is None else self._link.why_away

    @property
    def came(self) -> int:
        """Sessions that came here."""
        return 0 if self._house is None else self._house.came

    @property
    def lost(self) -> int:
        """Sessions that another gateway has taken over."""
        return 0 if self._house is None else self._house.lost

    @property
    def cut(self) -> int:
        """Clients that were sent away because Redis could not be reached."""
        return 0 if self._outage is None else self._outage.cut

    @property
    def clock_skew_s(self) -> float:
        """By how much this gateway's clock is ahead of Redis', below 0 = behind."""
        return 0.0 if self._clock is None else self._clock.ahead_ns / NS_PER_S

    @property
    def clock_error_s(self) -> float:
        """How far the truth may be from that."""
        return 0.0 if self._clock is None else self._clock.error_ns / NS_PER_S

    def status(self) -> dict[str, object]:
        """A summary for operators."""
        journal = self.journal
        return {
            "node": self._gateway.name,
            "away": self.why_away,
            "sessions": journal.owned,
            "came": self.came,
            "lost": self.lost,
            "commits_waiting": len(journal.unanswered),
            "waiting_bytes": journal.waiting_bytes,
            "clients_are_read": self._outage is None or not self._outage.is_full,
            "clock": {} if self._clock is None else {"is_beyond": self._clock.is_beyond, **self._clock.status()},
        }
