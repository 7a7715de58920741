"""The demo's venue, made in memory for one run: throw-away keys, two pairs, three accounts, limits that bursts exceed.

Every port is a free one, so the demo can run beside anything. The recording core sits between the order path and the
real core, and records what that did; at the end the clients' ledgers are compared with this record.
"""

import base64
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import structs

from gateway.config import schema
from gateway.core.matching import EventSink, MatchingCore
from gateway.demo.ledger import CoreRecord
from gateway.demo.market import PAIRS, Pair
from gateway.demo.simulate import FixTrader, Spec, WsTrader
from protocols.instruments import render
from protocols.messages import AnyCommand, AnyEvent, OrderEvent, OrdStatus

_Door = TypeVar("_Door")

INSTITUTION = "ACME"
MAKERS = ("MAKER1", "MAKER2")

_LEASE_MS = 1_000

# Generous for the steady flow; bursts are larger, so that their excess is refused with 3001.
LIMITS_TOML = """\
version = 1

[plans.demo]
orders = { rate = "400/s", burst = 50 }
cancels = { rate = "1000/s", burst = 2000 }
queries = { rate = "50/s", burst = 100 }
msgs = { rate = "4000/s", burst = 8000 }
logons = { rate = "10/s", burst = 20 }

[assign]
default = "demo"
"""


class DemoVenue(msgspec.Struct, frozen=True):
    """One demo's configuration and the private keys of its clients, by account name."""

    config: schema.Config
    seeds: dict[str, bytes]

    def spec(self, ports: Sequence[dict[str, int]], seed: int) -> Spec:
        """What the traders' process needs, once the ports are open. ports: of each gateway; the traders are spread."""
        secret = {name: base64.b64encode(value).decode() for name, value in self.seeds.items()}
        fix, ws = [row["fix"] for row in ports], [ws_url(row["ws"]) for row in ports]
        me = FixTrader("127.0.0.1", fix[0], INSTITUTION, f"key-{INSTITUTION}", secret[INSTITUTION])
        makers = [WsTrader(ws[n % len(ws)], name, f"key-{name}", secret[name]) for n, name in enumerate(MAKERS, 1)]
        return Spec(
            fix=structs.replace(me, others=_others(fix, 0)),
            ws=tuple(structs.replace(row, others=_others(ws, n)) for n, row in enumerate(makers, 1)),
            seed=seed,
        )


def _others(doors: Sequence[_Door], own: int) -> tuple[_Door, ...]:
    """All but the trader's own, in the order in which they are tried."""
    own %= len(doors)
    return (*doors[own + 1 :], *doors[:own])


def ws_url(port: int) -> str:
    """Where the WebSocket door is."""
    return f"ws://127.0.0.1:{port}/v1/ws"


def make_venue(directory: Path) -> DemoVenue:
    """A new venue; its limits file is written into `directory`."""
    (directory / "limits.toml").write_text(LIMITS_TOML, encoding="utf-8")
    names = (INSTITUTION, *MAKERS)
    seeds = {name: secrets.token_bytes(32) for name in names}
    session = schema.FixSessionRow(id=1, comp_id=INSTITUTION, account=INSTITUTION)
    config = schema.Config(
        fix=schema.Fix(
            listeners=(schema.FixListener(port=0, insecure=True),), sessions=(session,), max_connections=100
        ),
        ws=schema.Ws(port=0, max_connections=100),
        admin=schema.Admin(port=0),
        accounts=tuple(schema.Account(id=n, name=name) for n, name in enumerate(names, 1)),
        keys=tuple(schema.Key(id=f"key-{name}", account=name, public_key=_public(seeds[name])) for name in names),
        instruments=tuple(_instrument(n, pair) for n, pair in enumerate(PAIRS, 1)),
        limits=schema.Limits(file="limits.toml"),
        logs=schema.Logs(level="warning"),
        tracing=schema.Tracing(sample_one_in=0),
    )
    return DemoVenue(config, seeds)


def node_config(config: schema.Config, redis: str, ports: dict[str, int], count: int) -> schema.Config:
    """The same venue for one of so many gateways, at these ports, and for its cores."""
    assert config.ws is not None
    assert config.admin is not None
    listener = structs.replace(config.fix.listeners[0], port=ports["fix"])
    return structs.replace(
        config,
        fix=structs.replace(config.fix, listeners=(listener,)),
        ws=structs.replace(config.ws, port=ports["ws"]),
        admin=structs.replace(config.admin, port=ports["admin"]),
        core=structs.replace(config.core, link="redis", redis=redis),
        cluster=schema.Cluster(lease_ms=_LEASE_MS),
        # The store is waited for longer than usual: a demo shares two cores with everything else.
        limits=structs.replace(config.limits, redis=redis, nodes=count, store_timeout_ms=1_000),
    )


def _public(seed: bytes) -> str:
    return base64.b64encode(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()).decode()


def _instrument(number: int, pair: Pair) -> schema.InstrumentRow:
    base, quote = pair.symbol.split("-")
    return schema.InstrumentRow(
        id=number,
        symbol=pair.symbol,
        base=base,
        quote=quote,
        px_exp=pair.px_exp,
        qty_exp=pair.qty_exp,
        tick=render(1, pair.px_exp),
        lot=render(1, pair.qty_exp),
        min_notional="5",
        band_low=render(pair.mid // 2, pair.px_exp),
        band_high=render(pair.mid * 2, pair.px_exp),
    )


class RecordingCore:
    """A matching core that also records what it did, and how many commands came at once."""

    def __init__(self, core: MatchingCore, record: CoreRecord) -> None:
        self._core = core
        self._record = record
        self._largest = 0

    @property
    def epoch(self) -> str:
        return self._core.epoch

    @property
    def credit(self) -> int:
        return self._core.credit

    def submit(self, commands: Sequence[AnyCommand], now_ns: int) -> None:
        self._largest = max(self._largest, len(commands))
        self._core.submit(commands, now_ns)

    def take_largest(self) -> int:
        """The most commands that one turn handed over since the last call."""
        largest, self._largest = self._largest, 0
        return largest

    def subscribe(self, sink: EventSink) -> None:
        def record_first(events: Sequence[AnyEvent], now_ns: int) -> None:
            self._record.take(events)
            sink(events, now_ns)

        self._core.subscribe(record_first)

    def latest_seq(self, account: int) -> int:
        return self._core.latest_seq(account)

    def order_state(self, account: int, order_id: int, cl_ord_id: str) -> OrderEvent | OrdStatus:
        return self._core.order_state(account, order_id, cl_ord_id)
