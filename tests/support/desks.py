"""Trading desks for end-to-end tests: our clients with an ear, so that a test says what it sends and what it expects.

`expect` takes the first message that has all the given values out of what was heard, waiting for it if need be;
messages that a test did not ask for stay, and a failure shows them.
"""

import asyncio
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import asynccontextmanager

from gateway.client import fix, ws
from gateway.client.fix import Fields, FixClient, Pairs
from gateway.client.ws import Json, WsClient
from tests.support.venue_rows import seed_of

_PATIENCE_S = 5.0


class Ear:
    """Messages that were heard and not yet asked for, oldest first."""

    def __init__(self) -> None:
        self.heard: list[Mapping[Hashable, object]] = []
        self._more = asyncio.Event()

    def hear(self, message: Mapping[Hashable, object]) -> None:
        """One more message."""
        self.heard.append(message)
        self._more.set()

    async def expect(
        self, wanted: Mapping[Hashable, object], timeout_s: float = _PATIENCE_S
    ) -> Mapping[Hashable, object]:
        """The first message that has all the wanted values; fails when none comes in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    for place, message in enumerate(self.heard):
                        if all(message.get(key) == value for key, value in wanted.items()):
                            return self.heard.pop(place)
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            told = "\n".join(map(str, self.heard)) or "nothing"
            raise AssertionError(f"expected {wanted}, heard:\n{told}") from None


class FixDesk:
    """One FIX session with its ear."""

    def __init__(self, comp_id: str, account: str | None = None, **identity: object) -> None:
        account = account or comp_id
        defaults: dict[str, object] = {"key_id": f"key-{account}", "seed": seed_of(account)}
        self.client = FixClient(fix.FixIdentity(comp_id, **{**defaults, **identity}), self._hear)  # type: ignore[arg-type]
        self.ear = Ear()

    def _hear(self, _: str, fields: Fields) -> None:
        self.ear.hear(fields)  # type: ignore[arg-type]

    async def logon(self, port: int, *, reset: bool = True, fields: Pairs = ()) -> Fields:
        """Log on at `port` of loopback."""
        return await self.client.logon("127.0.0.1", port, reset=reset, fields=fields)

    async def expect(self, msg_type: str, wanted: Mapping[int, str] | None = None) -> Fields:
        """The first message of this type with these values."""
        return await self.ear.expect({35: msg_type, **(wanted or {})})  # type: ignore[return-value]


class WsDesk:
    """One WebSocket identity with its ear: events are heard with their `data` laid flat beside `ev` and `seq`."""

    def __init__(self, account: str, name: str = "", seed: bytes | None = None) -> None:
        self.client = WsClient(ws.WsIdentity(f"key-{account}", seed or seed_of(account), name), self._hear)
        self.ear = Ear()

    def _hear(self, event: Json) -> None:
        data = event["data"]
        assert isinstance(data, dict)
        self.ear.hear({**data, "ev": event["ev"], "seq": event.get("seq"), "replay": event.get("replay", False)})

    async def logon(self, port: int, **params: object) -> Json:
        """Log on at `port` of loopback."""
        return await self.client.logon(ws_url(port), **params)  # type: ignore[arg-type]

    async def place(self, cl_ord_id: str, side: str, qty: str, price: str | None = None, **params: object) -> Json:
        """order.place in BTC-USDT, a market order when price is None; the result."""
        order: Json = {"symbol": "BTC-USDT", "side": side, "type": "market", "qty": qty, "cl_ord_id": cl_ord_id}
        if price is not None:
            order |= {"type": "limit", "price": price}
        return await self.client.call("order.place", {**order, **params})

    async def refusal(self, method: str, params: Json) -> Json:
        """The error of a request that must be refused."""
        try:
            result = await self.client.call(method, params)
        except ws.RequestRefused as refused:
            return refused.error
        raise AssertionError(f"not refused: {result}")

    async def expect(self, ev: str = "order", **wanted: object) -> Mapping[Hashable, object]:
        """The first event of this name with these values in its data."""
        return await self.ear.expect({"ev": ev, **wanted})


def ws_url(port: int) -> str:
    """Where the WebSocket door is."""
    return f"ws://127.0.0.1:{port}/v1/ws"


@asynccontextmanager
async def fix_desk(port: int, comp_id: str, *, fields: Pairs = (), **identity: object) -> AsyncIterator[FixDesk]:
    """A desk that is logged on, numbers reset; logs out at the end."""
    desk = FixDesk(comp_id, **identity)  # type: ignore[arg-type]
    await desk.logon(port, fields=fields)
    try:
        yield desk
    finally:
        await desk.client.logout()


@asynccontextmanager
async def ws_desk(port: int, account: str, name: str = "", **params: object) -> AsyncIterator[WsDesk]:
    """A desk that is logged on; logs out at the end."""
    desk = WsDesk(account, name)
    await desk.logon(port, **params)
    try:
        yield desk
    finally:
        await desk.client.logout()
