"""WebSocket connections of one gateway without a socket: frames of the client in, frames to the client out.

The twin of `fix_room`; both have the gateway's own wiring.
"""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.client import ws
from gateway.config import schema
from gateway.doors.ws.endpoint import WsEndpoint
from gateway.doors.ws.logon import ConnectionInfo
from gateway.doors.ws.stream_cursor import EncodedEvents
from gateway.journal import JournalSettings
from gateway.server import Server
from tests.support.fix_room import BTC, MS, Link
from tests.support.hooks import ignore
from tests.support.output import all_output
from tests.support.venue_rows import seed_of
from tests.support.ws_frames import messages, request

ORDER = {"symbol": "BTC-USDT", "side": "buy", "type": "limit", "price": "100.00", "qty": "1"}
OPEN = """
version = 3
[plans.mm]
orders = { rate = "100000/s", burst = 100000 }
queries = { rate = "100000/s", burst = 100000 }
msgs = { rate = "100000/s", burst = 100000 }
logons = { rate = "1000/s", burst = 1000 }
open_orders = { account = 1000000, instrument = 1000000 }
[assign]
default = "mm"
"""
FEW = OPEN.replace('msgs = { rate = "100000/s", burst = 100000 }', 'msgs = { rate = "1/s", burst = 5 }')


def key(account, **more):
    public = Ed25519PrivateKey.from_private_bytes(seed_of(account)).public_key().public_bytes_raw()
    return schema.Key(id=f"key-{account}", account=account, public_key=base64.b64encode(public).decode(), **more)


class Desk:
    """A client at one connection. `write` and `call` go through the order path and give what was written since."""

    def __init__(self, server, account="ACME"):
        self.server, self.account = server, account
        events = EncodedEvents(server.instruments, server.sessions)
        caller = ConnectionInfo("c-1", "challenge", "127.0.0.1", self.now, ignore, ignore)
        self.link = Link()
        self.endpoint = WsEndpoint(server.services, server.settings.ws, events, self.link, caller)
        self.endpoint.opened(None, self.now)
        self.hello = self.read()[0]["data"]

    @property
    def now(self):
        return self.server.now_ns()

    def logon(self, **params):
        """The answer, and what came with it."""
        return self.call("session.logon", self.proof(**params))

    def proof(self, **params):
        """The params of a logon that is right, but for what is given."""
        ts = self.now // 1_000
        identity = ws.WsIdentity(f"key-{self.account}", seed_of(self.account))
        sig = ws.signature(identity, "challenge", ts)
        return {"api_key": identity.key_id, "challenge": "challenge", "ts": ts, "sig": sig, **params}

    def write(self, *frames):
        """Several frames in one read."""
        self.endpoint.receive(b"".join(frames), self.now)
        return self.tick()

    def call(self, method, params=None, id=1):
        return self.write(request(method, params, id))

    def place(self, cl_ord_id, id=1, **more):
        return self.call("order.place", {**ORDER, "cl_ord_id": cl_ord_id, **more}, id)

    def tick(self, ms=0):
        self.server.orders.tick(self.now + ms * MS)
        return self.read()

    def read(self):
        return messages(all_output(self.endpoint, self.now))


def events(told, ev="order"):
    return [message for message in told if isinstance(message, dict) and message.get("ev") == ev]


def answers(told, id=1):
    return [message for message in told if isinstance(message, dict) and message.get("id") == id]


def log_out(desk):
    """It leaves, and its connection ends."""
    desk.call("session.logout")
    desk.endpoint.lost(desk.now)


@pytest.fixture
def new_gateway(tmp_path):
    """Builds a gateway with two accounts, a key each, over the whole wiring but the sockets."""

    def build(limits=OPEN, core=None, key_more=None, **knobs):
        (tmp_path / "limits.toml").write_text(limits)
        settings = schema.Config(
            ws=schema.Ws(),
            accounts=(schema.Account(id=1, name="ACME"), schema.Account(id=2, name="OTHER")),
            keys=(key("ACME", **(key_more or {})), key("OTHER")),
            instruments=(BTC,),
            journal=JournalSettings(durability="memory"),
            **knobs,
        )
        return Server(settings, tmp_path, core)

    return build
