"""What clients and operators do in `two_roads`: bursts of FIX and WebSocket messages, sound and broken, cut anywhere.

A step is a tuple of a word and small numbers, so that a failing example shrinks to a few of them. The clients' bytes
depend on what they have sent and on the time, never on what they read.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

from gateway.client import ws
from protocols.fix.times import format_ns
from tests.support.two_roads import TwoRoads
from tests.support.venue_rows import seed_of
from tests.support.ws_frames import frame, request, text

MS, SECOND = 1_000_000, 1_000_000_000
NUMBER_TEXTS = (
    "0", "-1", "+5", "abc", "", "1e3", "00100.00", "100.", ".5", "100.000", "100.005", "100.001",
    "99999999999999999999", "100.0000000000000000000001", "9999999999999999.99",
    "92233720368547758", " 100", "100 ", "9999999", "0.5", "25000", "1.00000", "3",
)  # fmt: skip
TIMES = ("", "20261118-12:00:00", "20261118-12:00:60", "20261131-12:00:00.000", "2026", "now", "20261118-12:00:00.1234")
WITHOUT = (11, 38, 44, 40, 55, 54, 60, 34, 49, 52, 56, 59)
MORE = (
    "1=ACME", "1=OTHER", "18=6", "18=6 G", "25000=150", "25000=0", "25001=1", "25001=2", "25001=5", "2362=g",
    "526=grid", "526=gr\xefd", "20103=Y", "50=desk", "58=a\xe9", "21=1", "5999=1", "41=c1", "99=100", "110=1", "111=1",
    "126=20301118-12:00:00", "115=X", "128=X", "97=Y", "97=N", "43=N", "122=20261118-12:00:00", "95=1\x0196=x", "453=0",
    "1138=1", "11=twice", "44=101", "54=2", "126=now", "60=now", "10=000", "8=FIX.4.4", "=1", "x=1", "01=1", "1=",
    "58=a=b", "58=10=123",
)  # fmt: skip
WITH = {
    40: ("1", "2", "3", "4", "9", "x"),
    59: ("0", "1", "3", "4", "6", "9", ""),
    54: ("1", "2", "5", "7", ""),
    55: ("BTC-USDT", "ETH-USDT", "DAY-USD", "NONE", "btc-usdt", ""),
    11: ("a", "a b", "\xe9", "x" * 36, "x" * 37, "x" * 64, "a|b", "A.b:c/d_-", "#7", ""),
    49: ("WRONG", "", "GATE"),
    56: ("WRONG", ""),
    35: ("D", "E", "ZZ", "8", "B", "3", "j", "0", ""),
    34: ("0", "x", "007", "+1", "99999999999999999999", ""),
}


class Say(NamedTuple):
    """One message. kind: of order; price, qty: offsets; twist, at: what is wrong with it."""

    what: str = "order"
    kind: int = 0
    price: int = 0
    qty: int = 1
    twist: str = ""
    at: int = 0


class FixClient:
    """A FIX session's client, who numbers what it sends."""

    def __init__(self, roads: TwoRoads, name: str, version: str, wishes: str = "") -> None:
        """wishes: more fields of its Logons."""
        self.roads, self.name, self.version, self.wishes = roads, name, version, wishes
        self.seq = 0
        self.ids = 0
        self.ahead_ns = 0

    def log_on(self, resets: bool) -> None:
        """A new connection, and a Logon."""
        self.roads.do(lambda gateway: gateway.connect_fix(self.name))
        self.seq = 1 if resets else self.seq + 1
        appl = "|1137=9" if self.version == "FIXT.1.1" else ""
        reset = "|141=Y" if resets else ""
        self.roads.feed(self.name, self.frame(self.header("A") + self.fields(f"98=0|108=30{reset}{appl}{self.wishes}")))

    def now(self, by_ns: int = 0, digits: int = 6) -> str:
        gateway = self.roads.quick
        return format_ns(gateway.now_ns + gateway.clock.offset_ns + self.ahead_ns + by_ns, digits)

    def fields(self, body: str) -> list[tuple[str, str]]:
        return [tuple(each.split("=", 1)) for each in body.split("|") if each]  # type: ignore[misc]

    def header(self, msg_type: str) -> list[tuple[str, str]]:
        head = f"35={msg_type}|34={self.seq}|49={self.name}|52={self.now()}|56=GATE"
        return self.fields(head)

    def frame(self, fields: list[tuple[str, str]], length_by: int = 0, sum_by: int = 0, pad: str = "") -> bytes:
        body = "".join(f"{tag}={value}\x01" for tag, value in fields).encode("latin-1")
        data = f"8={self.version}\x019={pad}{len(body) + length_by}\x01".encode() + body
        return data + f"10={(sum(data) + sum_by) % 256:03d}\x01".encode()

    # -- messages --------------------------------------------------------------------------------------------------

    def bytes_of(self, say: Say) -> bytes:
        """The next message."""
        self.seq += 1
        if say.what == "lost":
            return b""
        fields = self.header("D") + self.order(say) if say.what == "order" else self.other(say)
        twist = _TWISTS[say.twist]
        return twist(self, fields, say.at)

    def order(self, say: Say) -> list[tuple[str, str]]:
        side, symbol, more = KINDS[say.kind % len(KINDS)]
        self.ids += 1
        price = f"{100 + say.price / 100 * _TICKS[symbol]:.2f}"
        transact = f"|60={self.now()}" if say.kind != _UNTIMED else ""
        body = f"11={self.name}-{self.ids}|38={say.qty}|40=2|44={price}|54={side}|55={symbol}{more}{transact}"
        return self.fields(body)

    def other(self, say: Say) -> list[tuple[str, str]]:
        self.ids += 1
        named, symbol = f"{self.name}-{max(self.ids - 1 - say.at % 9, 1)}", ("BTC-USDT", "ETH-USDT")[say.kind % 2]
        order = f"11={self.name}-{self.ids}|41={named}|54=1|55={symbol}|60={self.now()}"
        msg_type, body = {
            "cancel": ("F", order),
            "replace": ("G", f"{order}|38={say.qty}|40=2|44={100 + say.price / 100:.2f}"),
            "sweep": ("q", f"11={self.name}-{self.ids}|530=7|60={self.now()}"),
            "status": ("H", f"11={named}|55={symbol}|54=1"),
            "list": ("AF", f"584=s{self.ids}|585=7"),
            "test": ("1", f"112=t{self.ids}"),
            "beat": ("0", ""),
            "resend": ("2", f"7={1 + say.at}|16={(0, 2, 1, 40)[say.kind % 4]}"),
            "fill": ("4", f"123=Y|36={self.seq + 1 + say.at % 3}"),
            "jump": ("4", f"36={self.seq + say.at % 5 - 1}"),
            "logout": ("5", ""),
            "logon": ("A", f"98=0|108=30{'|141=Y' if say.at % 2 else ''}"),
            "limits": ("XLQ", "6136=q"),
            "reject": ("3", "45=1"),
            "news": ("B", "148=x|33=1|58=y"),
        }[say.what]
        return self.header(msg_type) + self.fields(body)


_Fields = list[tuple[str, str]]
_UNTIMED = 6
KINDS = (
    ("1", "BTC-USDT", "|59=1"), ("2", "BTC-USDT", "|59=1"), ("1", "BTC-USDT", "|59=3"), ("2", "ETH-USDT", "|59=1"),
    ("1", "ETH-USDT", ""), ("2", "DAY-USD", "|59=4"), ("1", "BTC-USDT", "|59=1"), ("2", "BTC-USDT", "|526=grid|59=1"),
    ("2", "BTC-USDT", "|59=1|25001=1"), ("1", "BTC-USDT", "|18=6|59=1"), ("2", "BTC-USDT", "|59=1|1=ACME"),
)  # fmt: skip
_TICKS = {"BTC-USDT": 1, "ETH-USDT": 5, "DAY-USD": 1}


def _with(fields: _Fields, tag: int, value: str) -> _Fields:
    return [(name, value if name == str(tag) else old) for name, old in fields]


def _number(tag: int) -> Callable[[FixClient, _Fields, int], bytes]:
    return lambda client, fields, at: client.frame(_with(fields, tag, NUMBER_TEXTS[at % len(NUMBER_TEXTS)]))


def _time(tag: int) -> Callable[[FixClient, _Fields, int], bytes]:
    def twist(client: FixClient, fields: _Fields, at: int) -> bytes:
        choices = (*TIMES, client.now(digits=3), client.now()[:17], client.now(digits=9), client.now(-3 * SECOND))
        more = (
            client.now(1_500 * MS),
            client.now(200 * SECOND),
            client.now(-200 * SECOND),
            client.now(-160 * MS),
            client.now(-120 * MS),
        )
        every = choices + more
        return client.frame(_with(fields, tag, every[at % len(every)]))

    return twist


def _more(client: FixClient, fields: _Fields, at: int) -> bytes:
    tag, value = MORE[at % len(MORE)].split("=", 1)
    place = 5 + at % (len(fields) - 4)
    return client.frame([*fields[:place], (tag, client.now() if value == "now" else value), *fields[place:]])


def _other_value(client: FixClient, fields: _Fields, at: int) -> bytes:
    tags = tuple(WITH)
    tag = tags[at % len(tags)]
    return client.frame(_with(fields, tag, WITH[tag][at // len(tags) % len(WITH[tag])]))


def _numbered(by: int, keeps: bool, more: str = "") -> Callable[[FixClient, _Fields, int], bytes]:
    """Another MsgSeqNum than the next; keeps: the client still has its own to send."""

    def twist(client: FixClient, fields: _Fields, at: int) -> bytes:
        fields = _with(fields, 34, str(client.seq + by))
        if more:
            fields[2:2] = [("43", "Y"), ("122", client.now(-SECOND if at % 3 else SECOND))]
        client.seq -= keeps
        return client.frame(fields)

    return twist


def _swapped(client: FixClient, fields: _Fields, at: int) -> bytes:
    one, other = 1 + at % (len(fields) - 1), 1 + at * 7 % (len(fields) - 1)
    fields[one], fields[other] = fields[other], fields[one]
    return client.frame(fields)


def _without(client: FixClient, fields: _Fields, at: int) -> bytes:
    gone = str(WITHOUT[at % len(WITHOUT)])
    return client.frame([pair for pair in fields if pair[0] != gone])


def _same_id(client: FixClient, fields: _Fields, at: int) -> bytes:
    return client.frame(_with(fields, 11, f"{client.name}-{max(client.ids - 1 - at % 4, 1)}"))


def _unread(client: FixClient, data: bytes) -> bytes:
    """What the gateway cannot read uses no number."""
    client.seq -= 1
    return data


_TWISTS: dict[str, Callable[[FixClient, _Fields, int], bytes]] = {
    "": lambda client, fields, at: client.frame(fields),
    "sum": lambda client, fields, at: _unread(client, client.frame(fields, sum_by=1 + at)),
    "short": lambda client, fields, at: _unread(client, client.frame(fields, length_by=-1 - at % 9)),
    "long": lambda client, fields, at: _unread(client, client.frame(fields, length_by=1 + at % 200)),
    "huge": lambda client, fields, at: _unread(client, client.frame(fields, length_by=70_000)),
    "padded": lambda client, fields, at: client.frame(fields, pad="0" * (1 + at % 3)),
    "junk": lambda client, fields, at: b"junk\x018=F"[: 1 + at % 8] + client.frame(fields),
    "torn": lambda client, fields, at: _unread(client, client.frame(fields)[: 5 + at * 3]),
    "price": _number(44),
    "qty": _number(38),
    "sent": _time(52),
    "done": _time(60),
    "more": _more,
    "value": _other_value,
    "without": _without,
    "swapped": _swapped,
    "same id": _same_id,
    "early": _numbered(1, keeps=True),
    "far": _numbered(3, keeps=False),
    "low": _numbered(-1, keeps=True),
    "again": _numbered(-1, keeps=True, more="dup"),
    "dup": _numbered(0, keeps=False, more="dup"),
}
TWISTS = tuple(word for word in _TWISTS if word)
OTHERS = (
    "cancel", "replace", "sweep", "status", "list", "test", "beat", "resend", "fill", "jump", "logout", "logon",
    "limits", "reject", "news", "lost",
)  # fmt: skip


class WsClient:
    """A WebSocket client. Its messages say the same as a FIX client's, as far as they can."""

    def __init__(self, roads: TwoRoads, name: str, account: str, hears_all: bool) -> None:
        self.roads, self.name, self.account = roads, name, account
        self.streams = ["orders", "system", "limits"] if hears_all else []
        self.ids = 0

    def log_on(self, resets: bool) -> None:
        """A new connection; without `resets` it goes on with its session."""
        self.roads.do(lambda gateway: gateway.connect_ws(self.name))
        self.roads.pass_time()
        ts = self.roads.quick.now_ns // 1_000
        identity = ws.WsIdentity(f"key-{self.account}", seed_of(self.account))
        params = {"api_key": identity.key_id, "challenge": "challenge", "ts": ts}
        params |= {"sig": ws.signature(identity, "challenge", ts), "streams": self.streams}
        params |= {} if resets else {"name": self.name}
        self.roads.feed(self.name, request("session.logon", params, "logon"))

    def bytes_of(self, say: Say) -> bytes:
        """The next message."""
        self.ids += 1
        side, symbol, more = KINDS[say.kind % len(KINDS)]
        order: dict[str, object] = {
            "symbol": symbol,
            "side": {"1": "buy", "2": "sell"}[side],
            "type": "limit",
            "qty": f"{say.qty}",
            "price": f"{100 + say.price / 100 * _TICKS[symbol]:.2f}",
            "cl_ord_id": f"{self.name}-{self.ids}",
        }
        order |= {"tif": "ioc"} if "59=3" in more else {"tag": "grid"} if "526" in more else {}
        order |= {"stp": "expire_taker"} if "25001" in more else {"post_only": True} if "18=6" in more else {}
        named = {"symbol": symbol, "orig_cl_ord_id": f"{self.name}-{max(self.ids - 1 - say.at % 9, 1)}"}
        replace = {**named, "cl_ord_id": f"{self.name}-{self.ids}", "qty": f"{say.qty}", "price": order["price"]}
        if say.what == "order":
            return self._twisted(order, say)
        method, params = {
            "cancel": ("order.cancel", named),
            "replace": ("order.replace", replace),
            "sweep": ("order.cancel_all", {}),
            "status": ("order.status", named),
            "list": ("order.list", {}),
            "test": ("ping", {}),
            "beat": ("time", {}),
            "resend": ("stream.replay", {"from_seq": 1 + say.at}),
            "fill": ("order.batch", {"legs": [{"op": "place", "params": order}] * (1 + say.kind % 3)}),
            "jump": ("unsubscribe", {"streams": ["orders"]}),
            "logout": ("session.logout", {}),
            "logon": ("subscribe", {"streams": ["orders"]}),
            "limits": ("limits.get", {}),
            "reject": ("no.such", {}),
            "news": ("session.status", {}),
            "lost": ("session.configure", {"cod": {"scope": ("off", "session", "account")[say.kind % 3]}}),
        }[say.what]
        return request(method, params, self.ids)

    def _twisted(self, order: dict[str, object], say: Say) -> bytes:
        at, id = say.at, self.ids
        numbers = NUMBER_TEXTS[at % len(NUMBER_TEXTS)]
        changed = {
            "price": {"price": numbers},
            "qty": {"qty": numbers},
            "same id": {"cl_ord_id": f"{self.name}-{max(self.ids - 1 - at % 4, 1)}"},
            "more": _WS_MORE[at % len(_WS_MORE)],
            "value": _WS_MORE[at * 5 % len(_WS_MORE)],
            "dup": {"retry": True, "ts": self.roads.quick.now_ns // 1_000 - at},
            "sent": {"ts": self.roads.quick.now_ns // 1_000 - at, "valid_for_ms": 1 + at % 3},
        }.get(say.twist, {})
        params = {**order, **changed}
        if say.twist == "without":
            del params[tuple(params)[at % len(params)]]
        whole = json.dumps({"id": id, "method": "order.place", "params": params})
        return {
            "sum": lambda: text(whole.replace("}", "", 1)),
            "junk": lambda: text(whole.replace('"qty"', '"price"', 1)),  # one key twice
            "torn": lambda: text(whole[: 5 + at]),
            "padded": lambda: text(f" {whole}\n"),
            "swapped": lambda: text(json.dumps({"params": params, "method": "order.place", "id": id})),
            "early": lambda: text(json.dumps({"method": "order.place", "params": params})),  # no id
            "far": lambda: text(json.dumps({"id": None, "method": "order.place", "params": params, "more": 1})),
            "short": lambda: frame(0x1, whole[:9].encode(), fin=False) + frame(0x0, whole[9:].encode()),
            "long": lambda: frame(0x9, b"p") + text(whole),
            "low": lambda: text(json.dumps({"id": -id, "method": "order.place", "params": params, "traceparent": "x"})),
            "again": lambda: text(whole.replace('"buy"', '"BUY"')),
        }.get(say.twist, lambda: text(whole))()


_WS_MORE: tuple[dict[str, object], ...] = (
    {"qty": 1}, {"price": 100.5}, {"resp": "queued"}, {"resp": "none"}, {"resp": "accepted"}, {"post_only": True},
    {"tif": "fok"}, {"tif": "day"}, {"tif": "no"}, {"type": "market"}, {"type": "stop"}, {"stp": "expire_taker"},
    {"tag": "t"}, {"tag": ""}, {"cod": "exempt"}, {"x": 1}, {"cl_ord_id": "a b"}, {"cl_ord_id": "\xe9"},
    {"symbol": "NONE"},
    {"cl_ord_id": "x" * 37}, {"valid_for_ms": 5}, {"retry": True}, {"quote_qty": "5"}, {"display_qty": "1"},
    {"price": None},
)  # fmt: skip
