"""Reads runs of plain orders: consecutive NewOrderSingle(D)s of one read that differ only in number, times, id,
quantity and price from orders that the general road has accepted before.

The general road (framing, decoder, inbound, commands) is the reference and the teacher. Everything that it would decide
of a plain order is either learned from its verdict on an equal one (`learn`), or checked here value by value. A message
that is not plain in any respect ends the run; the general road takes it, and says what is wrong with it, if anything.
Reading has no effect but on memos, all of which are bounded.
"""

from collections.abc import Callable
from zlib import adler32

from protocols.fix.events import AppMessage
from protocols.fix.order_run import OrderKind, OrderRun, PlainOrder
from protocols.fix.order_shape import OrderShape, order_shape, plain_tags
from protocols.fix.tags import RECV_WINDOW
from protocols.fix.times import parse_ns
from protocols.instruments import Instruments
from protocols.known_numbers import KnownNumbers
from protocols.messages import NewOrder
from protocols.units import NS_PER_MS
from protocols.wall import MAX_AHEAD_NS

SIGHTS_TO_LEARN = 3  # accepted orders of one shape before it is compiled
MAX_SHAPES = 4  # per session
MAX_KINDS = 256  # per session; then all are learned anew
_MAX_SIGHTS = 64
_MAX_BYTES = 500  # adler32 from 0 is the sum of the bytes while that is below 65,521: 515 bytes of ASCII
_MAX_FRAME_BYTES = _MAX_BYTES + 32  # with head and trailer
_TRAILER_BYTES = len("10=000\x01")
_NO_BOUND = 1 << 127
_CHECK_SUMS = tuple(f"{n:03d}" for n in range(256))
_HEAD_BYTES = {f"{n}": len(f"9={n}\x01") + n for n in range(_MAX_BYTES)}
"""BodyLength(9) as text -> bytes from `9=` to `10=`."""


class OrderReader:
    """Reads one session's runs."""

    def __init__(
        self,
        begin_string: str,
        instruments: Instruments,
        known: KnownNumbers,
        tolerance_ns: int,
        recv_window_ms: int,
        order_deadline_ms: int,
    ) -> None:
        """tolerance_ns: of SendingTime(52). recv_window_ms, order_deadline_ms: see `Commands`."""
        self._begin_string = begin_string
        self._instruments = instruments
        self._known = known
        self._tolerance_ns = tolerance_ns
        self._recv_window_ns = recv_window_ms * NS_PER_MS
        self._deadline_ns = order_deadline_ms * NS_PER_MS
        self._shapes: list[OrderShape] = []  # the last one used first
        self._shape_by_tags: dict[tuple[int, ...], OrderShape] = {}  # the same
        self._kinds: dict[tuple[str, ...], OrderKind] = {}
        self._sights: dict[tuple[int, ...], int] = {}

    def forget(self) -> None:
        """A new connection, perhaps of another client: what the session may say is learned anew."""
        for memo in (self._kinds, self._shapes, self._shape_by_tags, self._sights):
            memo.clear()

    # -- learning --------------------------------------------------------------------------------------------------

    def learn(self, message: AppMessage, command: NewOrder) -> None:
        """The general road made this command of this message."""
        rare = (command.stop_px, command.quote_qty, command.display_qty, command.min_qty, command.expire_at)
        window_ns = command.deadline - message.sending_time_ns if RECV_WINDOW in message.fields else -1
        if message.poss_dup or message.poss_resend or message.groups or any(rare) or not window_ns:
            return
        if message.size_bytes > _MAX_FRAME_BYTES:  # no such message is read here: what is kept of one is bounded
            return
        tags = plain_tags(message.fields)
        shape = self._shape_of(tags) if tags is not None else None
        if shape is None:
            return
        instrument = self._instruments.by_id[command.instrument]
        prices, quantities = self._known.of(instrument)
        if len(self._kinds) >= MAX_KINDS:
            self._kinds.clear()
        self._kinds[shape.blocks_of(message.fields)] = OrderKind(
            instrument.id, command.side, command.ord_type, command.tif, command.flags, command.stp, command.stp_group,
            command.tag, instrument, max(window_ns, 0), prices, quantities,
            instrument.min_notional, instrument.max_notional or _NO_BOUND,
        )  # fmt: skip

    def _shape_of(self, tags: tuple[int, ...]) -> OrderShape | None:
        """The shape of these tags, when it is known or has been seen often enough."""
        shape = self._shape_by_tags.get(tags)
        if shape is not None or len(self._shapes) >= MAX_SHAPES:
            return shape
        if len(self._sights) >= _MAX_SIGHTS:
            self._sights.clear()
        sights = self._sights[tags] = self._sights.get(tags, 0) + 1
        if sights < SIGHTS_TO_LEARN:
            return None
        del self._sights[tags]
        shape = self._shape_by_tags[tags] = order_shape(self._begin_string, tags)
        self._shapes.insert(0, shape)
        return shape

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether anything has been learned."""
        return bool(self._kinds)

    def read(self, data: bytes, text: str, begin: int, seq_num: int, utc_ns: int) -> OrderRun | None:
        """The plain orders at data[begin:], the first numbered `seq_num`; None when the first message is not plain.

        data: ASCII. text: the same. utc_ns: the time of the read.
        """
        shapes = self._shapes
        for shape in shapes:
            orders: list[PlainOrder] = []
            ends: list[int] = []
            self._read(shape, data, text, begin, seq_num, utc_ns, orders.append, ends.append)
            if orders:
                if shape is not shapes[0]:
                    shapes.remove(shape)
                    shapes.insert(0, shape)
                return OrderRun(orders, seq_num, utc_ns, data, begin, ends)
        return None

    def _read(
        self,
        shape: OrderShape,
        data: bytes,
        text: str,
        begin: int,
        seq_num: int,
        utc_ns: int,
        take: Callable[[PlainOrder], None],
        take_end: Callable[[int], None],
    ) -> None:
        """One loop over messages, with everything in locals: the hottest code of the door."""
        kinds, values, blocks, is_timed = self._kinds, shape.values, shape.blocks, shape.is_timed
        earliest_ns, latest_ns = utc_ns - self._tolerance_ns, utc_ns + self._tolerance_ns
        session_window_ns, deadline_ns = self._recv_window_ns, self._deadline_ns and utc_ns + self._deadline_ns
        head_bytes = len(self._begin_string) + len("8=\x01")
        last_sent, sent_ns = "\x01", 0  # no value has that
        match = shape.pattern.scanner(text, begin).match  # type: ignore[attr-defined]
        while (found := match()) is not None:
            groups = found.groups()
            length, seq, sent, cl_ord_id, qty_text, price_text, done, check_sum = values(groups)
            end = found.end()
            body_end = end - _TRAILER_BYTES
            if (
                seq != f"{seq_num}"
                or _HEAD_BYTES.get(length) != body_end - begin - head_bytes
                or _CHECK_SUMS[adler32(data[begin:body_end], 0) & 255] != check_sum
            ):
                return
            if sent != last_sent:
                sent_ns, last_sent = _time(sent), sent
                if not earliest_ns <= sent_ns <= latest_ns:
                    return
            kind = kinds.get(blocks(groups))
            if kind is None:
                return
            price, quantity = kind.prices[price_text], kind.quantities[qty_text]
            if not kind.low <= price * quantity <= kind.high or not price or not quantity:
                return
            done_ns = sent_ns if done == sent else _time(done)
            if not done_ns:
                return
            expires_ns = deadline_ns
            if window_ns := kind.window_ns or session_window_ns:
                expires_ns = sent_ns + window_ns
                if expires_ns < utc_ns or not -MAX_AHEAD_NS < sent_ns - utc_ns < MAX_AHEAD_NS:
                    return
            take((cl_ord_id, kind, quantity, price, expires_ns, done_ns if is_timed else 0))
            take_end(end)
            begin = end
            seq_num += 1


def _time(text: str) -> int:
    """A UTCTimestamp in ns UTC, 0 when it is none."""
    try:
        return parse_ns(text)
    except ValueError:
        return 0
