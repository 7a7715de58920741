"""FIX sessions of one gateway without a socket: bytes of the client in, messages to the client out, links by hand."""

from functools import partial

import msgspec
import pytest

from gateway.config import schema
from gateway.journal import JournalSettings
from gateway.server import Server
from protocols.fix.decoder import Decoder
from protocols.fix.message import encode
from protocols.fix.times import format_ns
from tests.support.fix_text import pipes
from tests.support.output import all_output

MS = 1_000_000
BTC = schema.InstrumentRow(
    id=1, symbol="BTC-USDT", base="BTC", quote="USDT", px_exp=2, qty_exp=4, tick="0.01", lot="0.0001"
)
ETH = msgspec.structs.replace(BTC, id=2, symbol="ETH-USDT", base="ETH")


class Link:
    """A connection that only remembers what was asked of it."""

    peer_ip = "198.51.100.7"

    def __init__(self):
        self.peer, self.has_ended, self.is_closing, self.is_paused, self.woken = None, False, False, False, 0

    def wake(self):
        self.woken += 1

    def close(self):
        self.has_ended = self.is_closing = True

    close_unrecorded = close

    def forget_unrecorded(self):
        """It waits for no records."""

    def pause_reading(self, now_ns):
        self.is_paused = True

    def resume_reading(self, now_ns):
        self.is_paused = False


class Desk:
    """A client of one configured session. later_ns: how far its clock and the gateway's have been put forward."""

    def __init__(self, server, comp_id):
        self.server, self.comp_id, self.seq, self.later_ns = server, comp_id, 0, 0
        self.endpoint = server.fix.endpoints[comp_id, "GATE"]
        self.link = None

    @property
    def now(self):
        """ns UTC."""
        return self.server.now_ns() + self.later_ns

    @property
    def open_orders(self):
        """Client ids of the orders in the book, whoever of the first account they belong to."""
        return [order.cl_ord_id for order in self.server.core.engine.open_orders(1)]

    def frame(self, msg_type, body, header=""):
        """Bytes of the client's next message; body and header in pipe notation."""
        self.seq += 1
        head = f"35={msg_type}\x0134={self.seq}\x0149={self.comp_id}\x0152={format_ns(self.now)}\x0156=GATE\x01"
        head += header.replace("|", "\x01")
        return encode(self.endpoint.machine.settings.begin_string, head + body.replace("|", "\x01"))

    def logon(self, body="98=0|108=30|"):
        """A new link and a Logon that is not refused beside a living one; what came back."""
        assert self.knock(body) is None
        return self.read()

    def knock(self, body="98=0|108=30|", client=None):
        """A new link and a Logon, which proved to be `client`; why it was turned away, and then nothing came back."""
        raw = self.frame("A", body)
        link = Link()
        logon = Decoder(self.endpoint.machine.settings.begin_string).decode(raw)
        refusal = self.endpoint.attach(link, logon, client or self.endpoint.session.client, self.now)
        if refusal is None:
            self.link = link
            link.peer = self.endpoint
            self.endpoint.receive(raw, self.now)
        return refusal

    def send(self, msg_type, body, header=""):
        """One message through the order path; returns the answers."""
        self.endpoint.receive(self.frame(msg_type, body, header), self.now)
        self.server.orders.tick(self.now)
        return self.read()

    def place(self, cl_ord_id, side=1, price="100.00", header=""):
        """A limit order over one; what came back."""
        return self.send("D", f"11={cl_ord_id}|55=BTC-USDT|54={side}|38=1|40=2|44={price}|", header)

    def read(self):
        """The messages written since the last look, as {tag: value}."""
        texts = pipes(all_output(self.endpoint, self.now))
        if self.server.orders._later:  # a Logout, which the next turn records before it is sent
            self.server.orders.work(self.now)
            texts += pipes(all_output(self.endpoint, self.now))
        return [dict(field.split("=", 1) for field in text.strip("|").split("|")) for text in texts]

    def drop(self, waiting_ms=0):
        """The link is cut, and so much time goes by."""
        self.endpoint.lost(self.now)
        self.server.cancel_on_disconnect.tick(self.now + waiting_ms * MS)
        self.server.orders.tick(self.now)


def session(number, comp_id, **more):
    """A configured session without credentials, which speaks our dialect all the same."""
    return schema.FixSessionRow(
        **{"id": number, "comp_id": comp_id, "account": "ACME", "auth": "none", "dialect": "penstock", **more}
    )


def desks(directory, *rows, limits="", **knobs):
    """A gateway with these sessions, and a client of each. limits: text of a limits file; knobs: of the table `fix`."""
    if limits:
        (directory / "limits.toml").write_text(limits)
    settings = schema.Config(
        fix=schema.Fix(sessions=rows, **knobs),
        accounts=(schema.Account(id=1, name="ACME"), schema.Account(id=2, name="OTHER")),
        instruments=(BTC, ETH),
        limits=schema.Limits(file="limits.toml" if limits else ""),
        journal=JournalSettings(durability="memory"),
    )
    server = Server(settings, directory)
    return [Desk(server, row.comp_id) for row in rows]


@pytest.fixture
def clients_of(tmp_path):
    """`desks` with a directory: `clients_of(session(1, "A"))` is a gateway's one client."""
    return partial(desks, tmp_path)
