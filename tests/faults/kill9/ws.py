"""A WebSocket market maker beside the FIX clients of kill9: it trades with them and resumes its stream after a kill.

It asks for a few events more than it has missed: none may be missing, and one that comes again must be the same. An
order whose answer was lost with the connection is sent again with `retry`: what it is told of it then must be true.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec
import orjson

from gateway.client.ws import WsIdentity, signature
from tests.faults.kill9.check import Dealings, Report, Violations
from tests.faults.kill9.flow import Flow
from tests.support.venue_rows import seed_of

_WAITING_MAX = 16  # of which half are pings
_OVERLAP = 20  # so many events that it has seen are asked for again
_EXEC = {"new": "0", "canceled": "4", "replaced": "5", "rejected": "8", "expired": "C", "restated": "D", "trade": "F"}
_SIDE = {"buy": "1", "sell": "2"}

Json = dict[str, Any]


class Placed(msgspec.Struct):
    """An `order.place` of this connection. is_read: what was sent behind it was answered before it; was_read: on one of
    the connections before.
    """

    params: Json
    is_read: bool = False
    was_read: bool = False

    def again(self) -> "Placed":
        """The retry, once its answer is lost."""
        return Placed({**self.params, "retry": True}, was_read=self.is_read or self.was_read)


class WsDesk:
    """One API key over any number of connections, one at a time."""

    def __init__(self, account: str, rng: random.Random, violations: Violations) -> None:
        self.name, self.account = f"ws-{account}", account
        self.dealings = Dealings(self.name, violations)
        self.read = -1  # numbers of ours that the gateway has shown to have read: there are none on this door
        self.is_quiet = False
        self.may_lose_link = False
        self.resumed = 0  # events that came as a replay
        self.retried = 0  # orders whose answer was lost, and which were sent again
        self.waited = 0  # of them those that the gateway had read, and that were placed now
        self._identity = WsIdentity(f"key-{account}", seed_of(account), "maker")
        self._rng = rng
        self._flow = Flow(self.name, rng)
        self._violations = violations
        self._epoch = ""
        self._events: dict[int, Json] = {}  # by seq
        self._next_seq: int | None = None  # on this connection
        self._next_id = 0
        self._is_on = False
        self.on = asyncio.Event()  # its logon was accepted
        self._waiting: set[int] = set()
        self._placed: dict[int, Placed] = {}  # not answered yet, by id of the request
        self._pings: dict[int, list[int]] = {}  # by id, and which orders were sent before
        self._lost: list[Placed] = []
        self._told: dict[str, bool] = {}  # by client order id: whether its answer says that there is such an order
        self._answers: dict[str, str] = {}  # what it said, for people
        self._resuming_to = 0
        self._ws: aiohttp.ClientWebSocketResponse | None = None

    async def run(self, port: int) -> None:
        """One connection, from logon to its end."""
        try:
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(f"http://127.0.0.1:{port}/v1/ws", protocols=("gate.json.v1",)) as ws,
            ):
                self._ws = ws
                self._waiting.clear()
                async for message in ws:
                    await self._take(ws, orjson.loads(message.data))
        except (aiohttp.ClientError, OSError):
            pass  # judged below
        self._ws = None
        self._is_on = False
        self.on.clear()
        self._lost += [placed.again() for placed in self._placed.values()]
        self._placed.clear()
        self._pings.clear()
        if not self.may_lose_link:
            self._add("the link was lost while the gateway lived")

    async def settled(self, timeout_s: float) -> None:
        """No more requests; wait until the stream is whole and the answers are here.

        Raises:
            TimeoutError: it does not come to that.
        """
        self.is_quiet = True
        async with asyncio.timeout(timeout_s):
            while self._ws is None or not self._epoch or self._waiting or self._lost or self._is_behind:
                await asyncio.sleep(0.01)

    async def list_open(self, timeout_s: float) -> None:
        """Ask the core what is open; the answer comes behind all events before it.

        Raises:
            TimeoutError: no answer.
        """
        if self._ws is not None:
            await self._ask(self._ws, "order.list", {})
        async with asyncio.timeout(timeout_s):
            while self.dealings.listed is None:
                await asyncio.sleep(0.01)

    def judge_answers(self) -> None:
        """What was told of each order is what its events say."""
        for cl_ord_id, is_told in self._told.items():
            request = self.dealings.requests[cl_ord_id]
            if is_told != bool(request.accepted):
                self._add(
                    f"{cl_ord_id}: its answer says {'placed' if is_told else 'not executed'}, its events {request}:"
                    f" {self._answers[cl_ord_id]}"
                )

    @property
    def standing(self) -> str:
        """What is not yet as it should be, for people."""
        has_seen = f"{max(self._events, default=0)} events of {self._resuming_to} to be resumed"
        return f"{has_seen}, {len(self._waiting)} requests are not answered"

    async def leave(self) -> None:
        """End the connection, which is our own doing."""
        self.may_lose_link = True
        if self._ws is not None:
            await self._ws.close()

    @property
    def _is_behind(self) -> bool:
        return self._resuming_to > max(self._events, default=0)

    async def _take(self, ws: aiohttp.ClientWebSocketResponse, message: Json) -> None:
        if message.get("ev") == "hello":
            await self._log_on(ws, message["data"])
        elif "ev" in message:
            if isinstance(message.get("seq"), int) and message["ev"] != "snapshot":
                self._take_event(message)
        elif "orders" in (message.get("result") or {}):
            rows = message["result"]["orders"]
            self.dealings.listed = {r["order_id"]: (r["cl_ord_id"], r["cum_qty"], r["leaves_qty"]) for r in rows}
        else:
            self._take_answer(message)
            lost, self._lost = (self._lost, []) if self._is_on else ([], self._lost)
            for placed in lost:
                self.retried += 1
                await self._place(ws, placed)
            await self._trade(ws)

    async def _log_on(self, ws: aiohttp.ClientWebSocketResponse, hello: Json) -> None:
        ts = time.time_ns() // 1_000
        params: Json = {"api_key": self._identity.key_id, "challenge": hello["challenge"], "ts": ts}
        params |= {"name": self._identity.name, "sig": signature(self._identity, hello["challenge"], ts)}
        self._next_seq, self._resuming_to = None, 0
        if self._epoch and hello["epoch"] != self._epoch:
            self._add(f"the epoch changed from {self._epoch} to {hello['epoch']}")
        if self._epoch:  # it was here before: orders of it may have been placed, though it has heard of nothing yet
            seen = len(self._events)
            after = max(self._events, default=0) - self._rng.randint(0, min(_OVERLAP, max(seen - 1, 0)))
            params["resume"] = {"epoch": self._epoch, "seq": after}
            self._next_seq = after + 1
        self._epoch = hello["epoch"]
        await self._ask(ws, "session.logon", params)

    def _take_answer(self, message: Json) -> None:
        self._waiting.discard(message["id"])
        for each in self._pings.pop(message["id"], ()):
            if each in self._placed:
                self._placed[each].is_read = True
        placed = self._placed.pop(message["id"], None)
        if placed is not None:
            self._take_placed(placed, message)
        resume = (message.get("result") or {}).get("resume")
        if resume is None:
            return
        self._is_on = True
        self.on.set()
        if resume["status"] == "replayed":
            self._resuming_to = resume["end"]
        elif self._next_seq is not None and (
            resume["status"] != "none" or self._next_seq <= max(self._events, default=0)
        ):
            self._add(f"resume after {self._next_seq - 1} of {max(self._events, default=0)} events: {resume}")

    def _take_placed(self, placed: Placed, answer: Json) -> None:
        cl_ord_id, error = placed.params["cl_ord_id"], answer.get("error")
        if error is not None and error["outcome"] == "unknown":
            self._lost.append(placed.again())
            return
        is_known = error is None and answer["result"].get("duplicate", False)
        if is_known and "retry" not in placed.params:
            self._add(f"{cl_ord_id} was sent once, and is a duplicate")
        self._told[cl_ord_id] = error is None
        self._answers[cl_ord_id] = f"{error or answer['result']}{' to a retry' if 'retry' in placed.params else ''}"
        self.waited += placed.was_read and error is None and not is_known

    def _take_event(self, event: Json) -> None:
        seq, data = event["seq"], event["data"]
        if self._next_seq is not None and seq != self._next_seq:
            self._add(f"event {seq} where {self._next_seq} was due")
        self._next_seq = seq + 1
        self.resumed += bool(event.get("replay"))
        known = self._events.setdefault(seq, data)
        if known is not data:
            if known != data:
                self._add(f"event {seq} was {known}, is {data}")
            return
        if event["ev"] == "order":
            self.dealings.report(_report(event))

    async def _trade(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """Keep a few orders on the way; a cancel now and then."""
        while not self.is_quiet and len(self._waiting) < _WAITING_MAX:
            order = self._flow.next(self.dealings.open)
            fields = dict(part.split("=") for part in order.body.strip("|").split("|"))
            if order.msg_type == "D":
                self.dealings.ask(order.cl_ord_id, "D", 0)
                await self._place(ws, Placed({**_request("D", fields)[1], "ts": time.time_ns() // 1_000}))
            elif order.msg_type == "F":
                await self._ask(ws, *_request("F", fields))

    async def _place(self, ws: aiohttp.ClientWebSocketResponse, placed: Placed) -> None:
        """Send it, with a ping behind it: its answer may come first."""
        self._placed[self._next_id + 1] = placed
        await self._ask(ws, "order.place", placed.params)
        self._pings[self._next_id + 1] = list(self._placed)
        await self._ask(ws, "ping", {})

    async def _ask(self, ws: aiohttp.ClientWebSocketResponse, method: str, params: Json) -> None:
        self._next_id += 1
        self._waiting.add(self._next_id)
        await ws.send_str(orjson.dumps({"id": self._next_id, "method": method, "params": params}).decode())

    def _add(self, text: str) -> None:
        self._violations.add(f"{self.name}: {text}")


def _request(msg_type: str, fields: Mapping[str, str]) -> tuple[str, Json]:
    """The request of a flow in the words of this door."""
    if msg_type == "F":
        return "order.cancel", {"symbol": fields["55"], "orig_cl_ord_id": fields["41"]}
    side, tif = ("buy", "sell")[int(fields["54"]) - 1], {"1": "gtc", "3": "ioc"}[fields["59"]]
    terms = {"symbol": fields["55"], "side": side, "type": "limit", "tif": tif}
    return "order.place", {**terms, "price": fields["44"], "qty": fields["38"], "cl_ord_id": fields["11"]}


def _report(event: Json) -> Report:
    seq, data = event["seq"], event["data"]
    execution = _EXEC.get(data["exec"], "?")
    trade = (str(data["trade_id"]), data["last_px"], data["last_qty"]) if execution == "F" else ()
    return Report(
        execution,
        data.get("exec_id") or f"seq {seq}",
        data.get("order_id", ""),
        data["cl_ord_id"],
        data["cum_qty"],
        data["leaves_qty"],
        data.get("orig_cl_ord_id", ""),
        trade,
        _SIDE.get(data["side"], ""),
        event["ts"] * 1_000,
    )
