"""The healthy sessions: they trade beside the attackers, or come back all the time, and note how long it took.

One order at a time, far from the others' market, each answered and cancelled again. They must meet no refusal, no
answer that takes too long, and no end of their connection: each is a violation. Two more leave and come back all the
time: whatever strangers do at their door, and under their name, they must get in at once.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping

import aiohttp

from gateway.client import fix, ws
from gateway.client.fix import Fields, FixClient
from gateway.client.ws import WsClient
from tests.faults.fuzz.watch import Latencies, Violations
from tests.support.desks import ws_url
from tests.support.venue_rows import seed_of

_BETWEEN_ORDERS_S = 0.01
_AWAY_S = 0.25
_LOGON_PATIENCE = 2.0  # a logon is a connection, a challenge and two signatures: so many answers' time

Come = Callable[[], Awaitable[Callable[[], Awaitable[None]]]]
"""Logs on, and ends with how to leave."""


class Trader:
    """A healthy session: one order at a time, far from the others' market, each answered and cancelled again."""

    def __init__(self, name: str, violations: Violations, patience_s: float) -> None:
        self.name = name
        self.latencies = Latencies()
        self.orders = 0
        self._violations = violations
        self._patience_s = patience_s

    def take_latencies(self) -> Latencies:
        """What was measured since the last call."""
        taken, self.latencies = self.latencies, Latencies()
        return taken

    async def trade(self, ask: Callable[[str], Awaitable[str]], cancel: Callable[[str], Awaitable[str]]) -> None:
        """Until cancelled. `ask` and `cancel` end with "" when the answer was the one hoped for, else with its text."""
        clock = time.perf_counter  # uvloop's own time stands still within one turn of the loop
        while True:
            self.orders += 1
            name = f"{self.name}-{self.orders}"
            for act in (ask, cancel):
                began = clock()
                try:
                    async with asyncio.timeout(self._patience_s):
                        complaint = await act(name)
                except TimeoutError:
                    self._violations.add(f"{self.name}: no answer in {self._patience_s} s")
                except ConnectionError as error:
                    self._violations.add(f"{self.name}: lost its connection: {error}")
                    return
                else:
                    self.latencies.seconds.append(clock() - began)
                    if complaint:
                        self._violations.add(f"{self.name}: {complaint}")
            await asyncio.sleep(_BETWEEN_ORDERS_S)


class FixTrader(Trader):
    """A healthy FIX session of account ALPHA."""

    def __init__(self, violations: Violations, patience_s: float) -> None:
        super().__init__("healthy-fix", violations, patience_s)
        self.client = FixClient(fix.FixIdentity("ALPHA", "key-ALPHA", seed_of("ALPHA")), self._hear)
        self._awaited: dict[str, asyncio.Future[Fields]] = {}

    def _hear(self, _: str, fields: Fields) -> None:
        waiting = self._awaited.pop(fields.get(11, ""), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(fields)

    async def log_on(self, port: int) -> None:
        """Log on with both numbers at 1."""
        await self.client.logon("127.0.0.1", port, reset=True)

    async def run(self) -> None:
        """Trade until cancelled, then log out."""
        try:
            await self.trade(self._place, self._cancel)
        finally:
            with contextlib.suppress(ConnectionError):
                await self.client.logout()

    async def _place(self, name: str) -> str:
        return await self._ask(name, "0", lambda: self.client.place(name, "ETH-USDT", "1", "1", "10.00"))

    async def _cancel(self, name: str) -> str:
        cancel = f"{name}-c"
        return await self._ask(cancel, "4", lambda: self.client.cancel(cancel, name, "ETH-USDT", "1"))

    async def _ask(self, name: str, exec_type: str, send: Callable[[], object]) -> str:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Fields] = loop.create_future()
        self._awaited[name] = answer
        gone = loop.create_task(self.client.closed.wait())
        try:
            send()
            await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            self._awaited.pop(name, None)
        if not answer.done():
            raise ConnectionError(self.client.logout_text or "closed by the gateway")
        fields = answer.result()
        return "" if fields.get(150) == exec_type else f"refused: {fields}"


class WsTrader(Trader):
    """A healthy WebSocket session of account BETA."""

    def __init__(self, violations: Violations, patience_s: float) -> None:
        super().__init__("healthy-ws", violations, patience_s)
        self.client = WsClient(ws.WsIdentity("key-BETA", seed_of("BETA")))

    async def log_on(self, port: int) -> None:
        """Log on as a session without a name."""
        await self.client.logon(ws_url(port))

    async def run(self) -> None:
        """Trade until cancelled, then log out."""
        try:
            await self.trade(self._place, self._cancel)
        finally:
            await self.client.logout()

    async def _place(self, name: str) -> str:
        order: dict[str, object] = {
            "symbol": "ETH-USDT",
            "side": "buy",
            "type": "limit",
            "price": "10.00",
            "qty": "1",
            "cl_ord_id": name,
        }
        return await self._call("order.place", order)

    async def _cancel(self, name: str) -> str:
        return await self._call("order.cancel", {"symbol": "ETH-USDT", "orig_cl_ord_id": name})

    async def _call(self, method: str, params: dict[str, object]) -> str:
        try:
            await self.client.call(method, params)
        except ws.RequestRefused as refused:
            return f"refused: {refused}"
        return ""


class Returner:
    """A healthy session that logs on, logs out, and does so again. logons: how often; latencies: how long each took."""

    def __init__(self, name: str, violations: Violations, patience_s: float, come: Come) -> None:
        self.name = name
        self.logons = 0
        self.latencies = Latencies()
        self._violations = violations
        self._patience_s = _LOGON_PATIENCE * patience_s
        self._come = come

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.logons += 1
            began = time.perf_counter()
            try:
                async with asyncio.timeout(self._patience_s):
                    leave = await self._come()
            except TimeoutError:
                self._violations.add(f"{self.name}: not let in within {self._patience_s:g} s")
            except (ConnectionError, aiohttp.ClientError, ws.RequestRefused) as error:
                self._violations.add(f"{self.name}: not let in: {error}")
            else:
                self.latencies.seconds.append(time.perf_counter() - began)
                await leave()
            await asyncio.sleep(_AWAY_S)


def returners(ports: Mapping[str, int], violations: Violations, patience_s: float) -> dict[str, Returner]:
    """One for each door."""
    comes: dict[str, Come] = {"fix": lambda: _come_by_fix(ports["fix"]), "ws": lambda: _come_by_ws(ports["ws"])}
    return {door: Returner(f"returning-{door}", violations, patience_s, come) for door, come in comes.items()}


async def _come_by_fix(port: int) -> Callable[[], Awaitable[None]]:
    client = FixClient(fix.FixIdentity("BETA", "key-BETA", seed_of("BETA")))
    await client.logon("127.0.0.1", port, reset=True)
    return client.logout


async def _come_by_ws(port: int) -> Callable[[], Awaitable[None]]:
    client = WsClient(ws.WsIdentity("key-ALPHA", seed_of("ALPHA"), name="home"))
    await client.logon(ws_url(port))
    return client.logout
