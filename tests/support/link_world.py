"""A gateway's end of the link, a core and the streams between, in memory: who is killed and when is up to the test.

Time is the number of the entry, so an engine that executes the same commands at the same times must give the same.
"""

from collections import defaultdict
from collections.abc import Sequence

from gateway.core.engine import Engine
from gateway.recovery.link_state import LinkStanding
from gateway.recovery.records import DeliveredRecord, HandOverRecord
from gateway.remote.core import RemoteCore
from gateway.remote.host import CoreHost, Row
from gateway.remote.keys import EntryId, Keys, entry_id
from gateway.remote.snapshot import Snapshot
from protocols.messages import AnyCommand, AnyEvent
from tests.support.venue import INSTRUMENTS

KEYS = Keys("test")
NODE = "g1"
ACCOUNTS, SESSIONS = (1, 2, 3), (10, 11, 20, 21, 30, 31)
_WINDOW = 100_000


class Differs(AssertionError):
    """Two cores wrote something different."""


class Record:
    """The journal of a gateway: what it has of the link after a kill."""

    def __init__(self) -> None:
        self.standing = LinkStanding()

    def record_handed(self, number: int, data: bytes) -> None:
        self.standing.handed_over(HandOverRecord(number, data))

    def record_delivered(self, entry: EntryId, answered: int, reported: dict[int, int], epoch: str = "") -> None:
        self.standing.was_delivered(DeliveredRecord(entry, answered, dict(reported), epoch))


class LinkWorld:
    """One gateway, one core. told: the events that the gateway has reported, over all its lives."""

    def __init__(self, dedupe_ids: int = 100) -> None:
        self.streams: defaultdict[str, list[tuple[EntryId, dict[bytes, bytes]]]] = defaultdict(list)
        self.told: list[AnyEvent] = []
        self.record = Record()
        self._dedupe_ids = dedupe_ids
        self._written = 0
        self.host = self._new_host()
        self._write("configure", b'{"instruments":[1,2],"dedupe_ids":%d}' % dedupe_ids)
        self.gateway = self._new_gateway()

    # -- the gateway -------------------------------------------------------------------------------------------------

    def _new_gateway(self, begins_epoch: bool = False) -> RemoteCore:
        """It begins: what was recorded, hello, and all that was written for it until the answer."""
        gateway = RemoteCore(_WINDOW, self.record, lambda: None)
        gateway.subscribe(lambda events, now_ns: self.told.extend(events))
        standing = self.record.standing
        gateway.restore(standing.delivered, standing.reported, tuple(standing.handed.items()), standing.epoch)
        if begins_epoch:
            gateway.begin_epoch()
        accounts, sessions = (",".join(map(str, each)) for each in (ACCOUNTS, SESSIONS))
        entry = self._write("hello", f'{{"accounts":[{accounts}],"sessions":[{sessions}]}}'.encode())
        self.execute()
        fields = next(fields for found, fields in self.streams[KEYS.node(NODE)] if found == entry)
        gateway.welcome(entry, fields)
        gateway.is_open = True
        self.gateway = gateway
        self.deliver()
        return gateway

    def kill_gateway(self, begins_epoch: bool = False) -> None:
        """Another process goes on from what is recorded, and hands over again what was not answered."""
        self._new_gateway(begins_epoch)
        self.hand_over()

    def submit(self, commands: Sequence[AnyCommand]) -> None:
        """The order path hands over."""
        self.gateway.submit(commands, 0)

    def hand_over(self, most: int = 1 << 30, is_answered: bool = True) -> None:
        """So many hand-overs reach the stream. is_answered: the gateway hears of it."""
        for handed in self.gateway.unsent[:most]:
            handed.is_sent = True
            entry = self._write("m", handed.data)
            if is_answered:
                self.gateway.appended(handed, entry)
        if not is_answered:
            self.gateway.lost()
            self.gateway.is_open = True

    def deliver(self) -> None:
        """All that was written for the gateway reaches it."""
        self.gateway.deliver(self.streams[KEYS.node(NODE)], 0)

    # -- the core ----------------------------------------------------------------------------------------------------

    def _new_host(self) -> CoreHost:
        return CoreHost(Engine((), self._dedupe_ids, ""), KEYS, 1_000)

    def kill_core(self, snapshot: Snapshot | None = None) -> None:
        """Another process begins, from a snapshot or from the beginning."""
        self.host = self._new_host()
        if snapshot is not None:
            self.host.restore(snapshot)

    def lose(self, count: int) -> None:
        """Redis comes back without the latest entries of the command stream, and without what they caused."""
        end = self.streams[KEYS.commands][-count][0]
        for name, stream in self.streams.items():
            if "events" not in name:
                self.streams[name] = [each for each in stream if each[0] < end]
        self.host = self._new_host()
        events = [name for name in self.streams if "events" in name]
        for name in events:
            del self.streams[name]
        self.execute()

    def begin_epoch(self) -> None:
        """An operator goes on without what is lost."""
        self._write("epoch", b"")
        self.execute()

    def execute(self, most: int = 1 << 30) -> None:
        """The core takes so many entries, and writes what they cause."""
        coming = [each for each in self.streams[KEYS.commands] if each[0] > self.host.position]
        for entry, fields in coming[:most]:
            for row in self.host.take(entry, fields):
                self._put(row)

    def snapshot(self) -> Snapshot:
        """Of the core as it is."""
        coming = self.host.begin_snapshot()
        while coming.advance():
            pass
        return coming.whole()

    def _put(self, row: Row) -> None:
        entry, fields = entry_id(row.id), {name.encode(): value for name, value in row.fields}
        stream = self.streams[row.key]
        if not stream or entry > stream[-1][0]:
            stream.append((entry, fields))
        elif (entry, fields) not in stream:
            raise Differs(f"{row.key} {row.id}")

    def _write(self, field: str, value: bytes) -> EntryId:
        stream = self.streams[KEYS.commands]
        self._written += 1  # a lost id is not given again: the clock goes on
        entry = self._written, 0
        stream.append((entry, {b"node": NODE.encode(), field.encode(): value}))
        return entry


def engine_of(dedupe_ids: int = 100) -> Engine:
    """An engine that begins as the core of a `LinkWorld` does."""
    engine = Engine((), dedupe_ids, "")
    engine.configure([each.id for each in INSTRUMENTS], dedupe_ids)
    return engine
