"""A market maker: a WebSocket client of a few lines, its place in the stream kept over everything."""

import json

from gateway.client import ws
from protocols.ws.close_codes import LOGON_TIMEOUT, SILENCE, SUPERSEDED
from tests.simulate.desk import Desk, Entrance
from tests.simulate.pipes import Pipe
from tests.simulate.promises import UNKNOWN_OUTCOME, Asked
from tests.simulate.world import SECOND, Broken, World
from tests.support.venue_rows import seed_of
from tests.support.ws_frames import frame, request

_SIDES = {"1": "buy", "2": "sell"}
_METHODS = {
    "new": "order.place",
    "cancel": "order.cancel",
    "replace": "order.replace",
    "sweep": "order.cancel_all",
    "status": "order.list",
}
_SILENCE_NS = 8 * SECOND
_PING, _PONG, _CLOSE = 0x9, 0xA, 0x8


class WsDesk(Desk):
    """One named session."""

    def __init__(self, world: World, venue: Entrance, name: str, key: str, account: int) -> None:
        self._identity = ws.WsIdentity(f"key-{key}", seed_of(key), name)
        self._buffer = bytearray()
        self._ids: dict[int, str] = {}
        self._unknown: dict[int, str] = {}  # of orders that got "outcome unknown" on this connection
        self._requests = 0
        self._epoch = ""
        self._is_filling = False
        self._heard_ns = 0
        self._connections = 0
        super().__init__(world, venue, name, account)

    def _open(self) -> None:
        self._buffer.clear()
        self._heard_ns = self.world.now_ns
        self.pipe = self.venue.connect_ws(self)
        if self.pipe is not None:
            self._connections += 1
            self.world.at(_SILENCE_NS, self._mind_silence, self.pipe)

    @property
    def turns(self) -> int:
        """An answer belongs to its connection."""
        return self._connections

    def _closed(self) -> None:
        self._ids.clear()
        self._unknown.clear()

    def _mind_silence(self, pipe: Pipe) -> None:
        """The gateway sends something every few seconds, or is not there."""
        if self.pipe is pipe:
            if self.world.now_ns - self._heard_ns >= _SILENCE_NS:
                self.hang_up()
            else:
                self.world.at(SECOND, self._mind_silence, pipe)

    def _call(self, method: str, params: object) -> int:
        self._requests += 1
        assert self.pipe is not None
        self.pipe.write(request(method, params, self._requests))
        return self._requests

    # -- from the gateway ----------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Frames, or parts of them."""
        self._heard_ns = self.world.now_ns
        self._buffer += data
        while self.pipe is not None and (taken := cut(self._buffer)) is not None:
            opcode, payload = taken
            if opcode == _PING:
                self.pipe.write(frame(_PONG, payload))
            elif opcode == _CLOSE:
                code = int.from_bytes(payload[:2])
                self.world.note(f"{self.ledger.name} <- close {code}")
                if code in (SILENCE, LOGON_TIMEOUT) and self.pipe.is_sound:
                    raise Broken(f"12: {self.ledger.name} was not heard: close {code}")
                if code == SUPERSEDED:
                    raise Broken(f"1: {self.ledger.name} lost its connection to one that is not its own")
                self.hang_up()
            elif opcode == 1:
                self._on_message(json.loads(payload))

    def _on_message(self, message: dict) -> None:  # type: ignore[type-arg]
        event = message.get("ev")
        if event == "hello":
            self._log_on(message["data"]["challenge"])
        elif event == "snapshot":
            self._on_snapshot(message)
        elif event == "resumed":
            self._is_filling = False
        elif event in ("order", "cancel_rejected", "mass_canceled"):
            self._on_numbered(event, message["seq"], message["data"])
        elif "id" in message:
            self._on_answer(message)

    def credentials(self, challenge: str) -> dict[str, object]:
        """Who we are, as parameters of a logon."""
        ts = self.world.time_ns() // 1_000
        return {
            "api_key": self._identity.key_id,
            "challenge": challenge,
            "ts": ts,
            "sig": ws.signature(self._identity, challenge, ts),
            "name": self.ledger.name,
        }

    def _log_on(self, challenge: str) -> None:
        self.is_connected()
        params = self.credentials(challenge)
        if self._epoch and self.ledger.last_seq is not None:
            params["resume"] = {"epoch": self._epoch, "seq": self.ledger.last_seq}
        self._ids[self._call("session.logon", params)] = "logon"

    def _on_answer(self, message: dict) -> None:  # type: ignore[type-arg]
        id = self._ids.pop(message["id"], None)
        if id is None and message.get("result", {}).get("duplicate"):
            # A retry whose outcome was unknown: its order was known, and of that there is no event.
            id = self._unknown.pop(message["id"], None)
        if id is None:
            raise Broken(f"3: {self.ledger.name} got an answer that it did not wait for: {message}")
        if id == "logon":
            self._on_logon(message)
            return
        ledger, asked = self.ledger, self.ledger.waiting.get(id)
        error = message.get("error")
        self.world.note(f"{ledger.name} <- {message['status']} {id} {error['code'] if error else ''}")
        if error is not None:
            if error["code"] == UNKNOWN_OUTCOME and asked is not None and asked.kind == "status":
                self._ids[message["id"]] = id  # a question gets its answer all the same
            elif error["code"] == UNKNOWN_OUTCOME and asked is not None and asked.kind == "new":
                self._unknown[message["id"]] = id
            ledger.refuse(id, error["code"])
            if error["code"] == UNKNOWN_OUTCOME and asked is not None and asked.kind not in ("new", "status"):
                ledger.give_up(id)  # what came of it is told by events, which do not name it
        elif asked is not None and asked.kind == "new":
            order_id = message["result"]["order_id"]
            ledger.check_not_refused(id)
            if ledger.accepted.setdefault(id, order_id) != order_id:
                raise Broken(f"e: {ledger.name} has two orders of the id {id}")
            ledger.answered(id)
        else:
            ledger.answered(id)

    def _on_logon(self, message: dict) -> None:  # type: ignore[type-arg]
        if "error" in message:
            self.world.note(f"{self.ledger.name} is refused: {message['error']['code']}")
            return
        result = message["result"]
        if self._epoch and result["epoch"] != self._epoch:
            raise Broken(f"b: {self.ledger.name} found another epoch: {result['epoch']} after {self._epoch}")
        self._epoch = result["epoch"]
        self.let_in()
        self.world.note(f"{self.ledger.name} is logged on, resume {result.get('resume', {}).get('status')}")

    def _on_snapshot(self, message: dict) -> None:  # type: ignore[type-arg]
        ledger, data = self.ledger, message["data"]
        if not self._is_filling:
            ledger.book.clear()
        self._is_filling = not data["last"]
        for row in data["orders"]:
            ledger.changed(row["order_id"], row["cl_ord_id"], float(row["leaves_qty"]))
        ledger.last_seq = message["seq"]

    def _on_numbered(self, event: str, seq: int, data: dict) -> None:  # type: ignore[type-arg]
        ledger = self.ledger
        id = data.get("cl_ord_id", "")
        self.world.note(f"{ledger.name} <- {event} {id} {data.get('exec', '')} seq={seq}")
        content = "|".join(
            str(data.get(name, "")) for name in ("cl_ord_id", "order_id", "exec", "leaves_qty", "cum_qty")
        )
        if not ledger.event(seq, content):
            raise Broken(f"d: {ledger.name} heard event {seq} twice")
        if event != "order":
            return
        if data["exec"] == "new" and id.startswith(f"{ledger.name}-"):
            ledger.accepted.setdefault(id, data["order_id"])
            if ledger.accepted[id] != data["order_id"]:
                raise Broken(f"e: {ledger.name} has two orders of the id {id}")
            if self._waits_no_more(id):
                ledger.answered(id)
        elif data["exec"] == "rejected" and id in ledger.waiting and self._waits_no_more(id):
            ledger.refuse(id, data.get("code", 0))  # the outcome was unknown until now
        elif data["exec"] == "replaced" and id.startswith(f"{ledger.name}-"):
            ledger.accepted.pop(data.get("orig_cl_ord_id", ""), None)
        if "order_id" in data and data["exec"] != "rejected":
            ledger.changed(data["order_id"], id, float(data.get("leaves_qty", 0)))

    def _waits_no_more(self, id: str) -> bool:
        """The connection on which it was asked is gone: its event is its answer."""
        return id not in self._ids.values()

    # -- requests ------------------------------------------------------------------------------------------------

    def _send(self, id: str, asked: Asked) -> None:
        params: dict[str, object] = {}
        if asked.kind in ("new", "cancel", "replace"):
            params["symbol"] = asked.params["symbol"]
        if asked.kind in ("new", "replace"):
            params |= {"cl_ord_id": id, "qty": asked.params["qty"], "price": asked.params["price"]}
        if asked.kind == "new":
            params |= {"side": _SIDES[asked.params["side"]], "type": "limit"}
            if asked.tries:
                params["retry"] = True
        if asked.kind in ("cancel", "replace"):
            params["orig_cl_ord_id"] = asked.params["orig"]
        self._ids[self._call(_METHODS[asked.kind], params)] = id


def cut(buffer: bytearray) -> tuple[int, bytes] | None:
    """The first whole frame, taken out of the buffer."""
    if len(buffer) < 2:
        return None
    length, start = buffer[1], 2
    if length == 126:
        length, start = int.from_bytes(buffer[2:4]), 4
    elif length == 127:
        length, start = int.from_bytes(buffer[2:10]), 10
    if len(buffer) < start + length or (buffer[1] > 125 and len(buffer) < start):
        return None
    opcode, payload = buffer[0] & 15, bytes(buffer[start : start + length])
    del buffer[: start + length]
    return opcode, payload
