"""What the WebSocket wire costs per message: `python tests/bench/ws_wire.py`. CPU time, best of nine runs.

The figures quoted in `protocols/ws` come from here: reading an order, answering it, telling it, and the choices made
for speed against what they replaced.
"""

from collections.abc import Callable
from time import process_time_ns

from protocols.instruments import Instrument, Instruments
from protocols.messages import POST_ONLY, ExecType, OrderEvent, OrdStatus, OrdType, Origin, Sender, Side, Tif
from protocols.ws import framing, report, translate
from protocols.ws.codec import JSON, MSGPACK
from protocols.ws.duplicate_keys import duplicate_in_json
from protocols.ws.events import Requested
from protocols.ws.results import EventWire, OrderData
from protocols.ws.session import WsSession
from protocols.ws.settings import WsSettings
from tests.support.ws_frames import request

_RUNS, _CALLS = 9, 5_000
_NOW_NS = 1_795_348_800_000_000_000
_BTC = Instrument(1, "BTC-USDT", "BTC", "USDT", 2, 8)
_INSTRUMENTS = Instruments((_BTC,))
_ORDER = {
    "symbol": "BTC-USDT",
    "side": "buy",
    "type": "limit",
    "price": "64250.50",
    "qty": "0.01250000",
    "tif": "gtc",
    "post_only": True,
    "cl_ord_id": "mm-7f3a-000123",
    "tag": "grid-1",
    "ts": 1_795_348_800_000_100,
    "valid_for_ms": 250,
}
_EVENT = OrderEvent(
    1001, 1042, 5, _NOW_NS + 377_000, 990001, ExecType.NEW, OrdStatus.NEW, 812345678901, "mm-7f3a-000123",
    1, Side.BUY, OrdType.LIMIT, Tif.GTC, 1_250_000, 0, 1_250_000,
    price=6_425_050, flags=POST_ONLY, tag="grid-1", session=7, origin=Origin.WS,
)  # fmt: skip


class _General(framing.FrameReader):
    """The reader without its path for plain frames."""

    def _whole_texts(self, source: bytes | bytearray, frames: list[framing.Frame]) -> int:
        return 0


def _session() -> WsSession:
    session = WsSession(WsSettings(15_000, 5_000, 65_536, "gate", "e-1"), "c-1", "challenge", _NOW_NS)
    session.connected(_NOW_NS)
    session.logged_on(_NOW_NS)
    session.take_output()
    return session


def _per_message(call: Callable[[], object], messages: int = 1) -> float:
    """Microseconds of CPU per message of `call`, which handles so many of them."""
    calls = max(_CALLS // messages, 1)
    best = float("inf")
    for _ in range(_RUNS):
        began = process_time_ns()
        for _ in range(calls):
            call()
        best = min(best, (process_time_ns() - began) / calls / messages)
    return best / 1_000


def _by_f_string(seq: int, ts: int, exec_id: int, order_id: int, price: str, qty: str, cum: str, leaves: str) -> bytes:
    """An order event put together by hand; it would be wrong for any text that needs escaping."""
    return (
        f'{{"ev":"order","seq":{seq},"ts":{ts},"data":{{"exec":"new","exec_id":"{exec_id}","order_id":"{order_id}",'
        f'"cl_ord_id":"{_EVENT.cl_ord_id}","symbol":"{_BTC.symbol}","side":"buy","type":"limit","tif":"gtc",'
        f'"price":"{price}","qty":"{qty}","cum_qty":"{cum}","leaves_qty":"{leaves}","status":"new","post_only":true,'
        f'"tag":"{_EVENT.tag}","session":"mm-bot-1","origin":"ws"}}}}'
    ).encode()


def _by_struct() -> bytes:
    data = OrderData(
        "new", str(990001), _EVENT.cl_ord_id, _BTC.symbol, "buy", "limit", "gtc", "0.01250000", "0.00000000",
        "0.01250000", "new", str(812345678901), "64250.50", "", "", "", "", "", "", "", "", "", True,
        _EVENT.tag, "mm-bot-1", "ws",
    )  # fmt: skip
    return JSON.encode(EventWire(ev="order", seq=1042, ts=_NOW_NS // 1_000, data=data))


def main() -> None:
    """Print one line per step."""
    session, frame = _session(), request("order.place", _ORDER, id="a1")
    many = frame * 64
    (asked,) = session.receive(frame, _NOW_NS)
    assert isinstance(asked, Requested)
    payload = JSON.encode({"id": "a1", "method": "order.place", "params": _ORDER})
    decoded = JSON.request(payload)
    packed = MSGPACK.encode({"id": "a1", "method": "order.place", "params": _ORDER})
    unpacked = MSGPACK.request(packed)
    sender = Sender(7, 1001, Origin.WS)
    reader, general = framing.FrameReader(65_536), _General(65_536)

    def told() -> None:
        session.output.respond("a1", report.placed(_EVENT, _BTC), _NOW_NS, _NOW_NS)
        session.output.push(report.event_wire(_EVENT, _INSTRUMENTS, "mm-bot-1"), _NOW_NS)
        session.take_output()

    lines: list[tuple[str, Callable[[], object], int]] = [
        ("frames, 64 in a read", lambda: reader.feed(many), 64),
        ("frames, general path only", lambda: general.feed(many), 64),
        ("envelope", lambda: JSON.request(payload), 1),
        ("params, repeated keys checked", lambda: JSON.params(decoded, payload), 1),
        ("params in msgpack", lambda: MSGPACK.params(unpacked, packed), 1),
        ("repeated keys, document walked", lambda: duplicate_in_json(payload, -1), 1),
        ("bytes to Requested, 64 in a read", lambda: session.receive(many, _NOW_NS), 64),
        ("bytes to Requested, one", lambda: session.receive(frame, _NOW_NS), 1),
        ("command", lambda: translate.command(asked.method, asked.params, sender, _NOW_NS, _INSTRUMENTS), 1),
        ("answer and event to bytes", told, 1),
        ("event by Struct", _by_struct, 1),
        (
            "event by f-string",
            lambda: _by_f_string(1042, _NOW_NS, 990001, 812345678901, "64250.50", "0.0125", "0.0", "0.0125"),
            1,
        ),
    ]
    for name, call, messages in lines:
        print(f"{name:36} {_per_message(call, messages):6.2f} µs")


if __name__ == "__main__":
    main()
