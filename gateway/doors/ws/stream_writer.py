"""Writes a WebSocket connection's events, replays, snapshots and long lists.

Short output is written at once. Long output is made slice by slice as the socket drains, so that it neither fills the
memory nor delays other connections. Pure: the machine frames it, the connection sends it.
"""

import msgspec

from gateway.doors.services import Services
from gateway.doors.ws.stream_cursor import EncodedEvents, ListCursor, StreamCursor, StreamSlice
from limits.limiter import BucketView
from protocols.messages import AnyEvent, OrderEvent, OrderList
from protocols.units import NS_PER_MS
from protocols.ws import report, results
from protocols.ws.session import WsSession

_MAX_LISTINGS = 4  # long lists in progress that one connection may have


class StreamWriter:
    """One connection's events and long answers. `cursor` is its position in the account's stream."""

    __slots__ = ("_listings", "_machine", "_services", "_shared", "cursor")

    def __init__(self, services: Services, machine: WsSession, cursor: StreamCursor, shared: EncodedEvents) -> None:
        """shared: encodes live events once for all connections of the door."""
        self._services = services
        self._machine = machine
        self._shared = shared
        self._listings: list[tuple[object, ListCursor]] = []
        self.cursor = cursor

    @property
    def has_more(self) -> bool:
        """Whether `write_slice` or `continue_list` has something to do."""
        return self.cursor.has_slice or bool(self._listings)

    def push(self, event: AnyEvent, now_ns: int) -> None:
        """Write an event of the core now."""
        self._push_bytes(self._shared.live(event, self._machine.codec), now_ns)

    def push_own(self, ev: str, data: msgspec.Struct, now_ns: int, seq: int | None = None) -> None:
        """Write an event that the gateway makes, not the core."""
        number = msgspec.UNSET if seq is None else seq
        wire = results.EventWire(ev=ev, seq=number, ts=self._machine.utc_us(now_ns), data=data)
        self._push_bytes(self._machine.codec.encode(wire), now_ns)

    def push_limits(self, profile: str, views: list[BucketView], now_ns: int) -> None:
        """Report buckets that operators changed. profile: the plan and the version in force."""
        rows = tuple(results.LimitBlock(name=v.name, scope=v.scope, capacity=v.capacity, rate=v.rate) for v in views)
        self.push_own("limits", results.LimitsData(profile, rows, self._machine.utc_us(now_ns)), now_ns)

    def push_draining(self, reconnect_by_ns: int, text: str, now_ns: int) -> None:
        data = results.SystemData(
            state="draining",
            reconnect_by=self._machine.utc_us(reconnect_by_ns),
            cod_suspended_ms=max(reconnect_by_ns - now_ns, 0) // NS_PER_MS,
            text=text,
        )
        self.push_own("system", data, now_ns)

    def write_slice(self, now_ns: int) -> int:
        """Write the next slice of the stream; how many events it had, an empty snapshot counting as one.

        0: it is no longer kept, because the reader was too slow.
        """
        piece = self.cursor.take()
        if piece is None:
            return 0
        if piece.kind == "snapshot":
            self._snapshot(piece, now_ns)
            return max(len(piece.rows), 1)
        is_replay, codec = piece.kind == "replay", self._machine.codec
        for event in piece.rows:
            made = self._shared.encode(event, codec, True) if is_replay else self._shared.late(event, codec)
            self._push_bytes(made, now_ns)
        if is_replay and piece.is_last:
            self.push_own("resumed", results.ResumedData(self._machine.settings.epoch, piece.begin, piece.end), now_ns)
        return len(piece.rows)

    def _snapshot(self, piece: StreamSlice, now_ns: int) -> None:
        by_id = self._services.instruments.by_id
        orders = (order for order in piece.rows if isinstance(order, OrderEvent))
        rows = tuple(report.order_row(order, by_id[order.instrument]) for order in orders)
        self.push_own(
            "snapshot", results.SnapshotData(self._machine.settings.epoch, rows, piece.is_last), now_ns, piece.end
        )

    def _push_bytes(self, event: bytes, now_ns: int) -> None:
        self._machine.output.push(event, now_ns)
        self._services.metrics.ws.messages_out += 1

    # -- lists ---------------------------------------------------------------------------------------------------

    def begin_list(self, key: object, event: OrderList, max_bytes: int) -> bool:
        """Make the answer to a query slice by slice; live events wait, because they are newer than the list.

        False when too many are in progress.
        """
        if len(self._listings) >= _MAX_LISTINGS:
            return False
        self.cursor.hold()
        self._listings.append((key, ListCursor(event, max_bytes)))
        return True

    @property
    def is_listing(self) -> bool:
        return bool(self._listings)

    def continue_list(self) -> tuple[int, object, object]:
        """Make one more slice of the oldest list: (orders it had, key, whole result or Refusal when it was the last).

        Only when `is_listing`.
        """
        key, listing = self._listings[0]
        rows, whole = listing.advance(self._machine.codec, self._services.instruments)
        if whole is not None:
            del self._listings[0]
            if not self._listings:
                self.cursor.release()
        return rows, key, whole
