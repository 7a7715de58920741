"""A store of limits for kill9 that answers late, so that orders wait for their tokens when the gateway is killed.

It outlives every gateway. Half of the accounts have a plan that is too small to be leased: each of their orders is the
store's own decision. What a killed gateway had leased is spent; nothing may ever be spent twice.
"""

import asyncio
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from tests.faults.kill9.check import Dealings, Violations
from tests.support.fault_proxy import FaultProxy
from tests.support.redis_server import redis_server
from tests.support.server import GENEROUS

_DELAY_MS = (1, 15)  # each way
_SLACK_S = 0.25  # how much later than its token an order may reach the core, on a busy machine


class Plan(msgspec.Struct, frozen=True):
    """What one account may spend on orders, in tokens and tokens a second."""

    rate: int
    burst: int


SMALL, LEASED = Plan(rate=150, burst=39), Plan(rate=2_000, burst=200)
_NODES = 10  # of so many gateways each leaves a burst of 39 to the store
_SMALL_ACCOUNTS = ("K11", "K12", "ALPHA")


def _orders(plan: Plan) -> str:
    return f'orders = {{ rate = "{plan.rate}/s", burst = {plan.burst} }}'


LIMITS = f"""
{GENEROUS.replace(_orders(Plan(10_000, 10_000)), _orders(LEASED))}
accounts = {{ {", ".join(f'{name} = "small"' for name in _SMALL_ACCOUNTS)} }}
[plans.small]
extends = "open"
{_orders(SMALL)}
"""


class SlowStore:
    """The store, as gateways reach it."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.outages = 0  # lives in which a gateway took it for away
        self._proxy = proxy

    @property
    def knobs(self) -> str:
        """Its part of the gateway's configuration. The time-out is far above what a busy machine needs."""
        return f'redis = "{self._proxy.url}"\nnodes = {_NODES}\nstore_timeout_ms = 1000'

    def change_pace(self, rng: random.Random) -> None:
        """Another delay, for the next life."""
        self._proxy.delay_s = rng.uniform(*_DELAY_MS) / 1e3


@contextmanager
def slow_store() -> Iterator[SlowStore]:
    """A store, dead at the end. Its proxy has a thread: the clients' loop stands still while gateways start."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    with redis_server() as server:
        thread.start()
        proxy = FaultProxy(server.port)
        asyncio.run_coroutine_threadsafe(proxy.start(), loop).result()
        try:
            yield SlowStore(proxy)
        finally:
            asyncio.run_coroutine_threadsafe(proxy.stop(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


def judge_spending(all_dealings: Mapping[str, Dealings], store: SlowStore, violations: Violations) -> None:
    """In no window of time an account has spent more than its burst and what came in meanwhile, over all lives.

    A gateway that takes the store for away has its own share to spend: one burst more for each such life.
    """
    for account, dealings in all_dealings.items():
        plan = SMALL if account in _SMALL_ACCOUNTS else LEASED
        over = overspent(dealings.spent_ns, plan, plan.burst * (1 + store.outages) + plan.rate * _SLACK_S)
        if over > 0:
            violations.add(f"{account}: {over:.0f} tokens were spent that its plan has not, {plan}")


def overspent(spent_ns: list[int], plan: Plan, full: float) -> float:
    """By how many tokens a bucket that holds so many was overdrawn."""
    level = lowest = full
    last_ns = 0
    for at_ns in sorted(spent_ns):
        level = min(level + plan.rate * (at_ns - last_ns) / 1e9, full) - 1
        last_ns, lowest = at_ns, min(lowest, level)
    return -lowest
