"""The goals of the order path, and what a run has reached of each: one table, misses included."""

from collections.abc import Callable, Iterator

import msgspec

from tests.bench.contenders import BEFORE
from tests.bench.results import Figures, Store

_OPEN_P99_US, _OPEN_P99_9_US = 2_000.0, 10_000.0
_NOISE = "(and 5 % for noise)"
_WS_SHAPES = ("1 x 64", "50 x 8", "200 x 8")


class Goal(msgspec.Struct, frozen=True):
    """One row. reached: None = not measured."""

    name: str
    goal: str
    reached: str | None
    is_met: bool = False


def goals(store: Store) -> list[Goal]:
    """Every goal that `make bench` can judge."""
    return [
        *_ratios(store),
        *_linked(store),
        *_scaling(store),
        *_lone(store),
        *_websocket(store),
        *_open(store),
        *_footprint(store),
    ]


def _cost(store: Store, door: str, shape: str, name: str) -> float | None:
    """CPU us of an order."""
    found = store.middle(f"{door} {shape} {name}")
    return found.cpu_us if found is not None and found.cpu_us else None


def _times(store: Store, label: str, goal: float, door: str, shape: str, name: str, other: str) -> Goal:
    """How many times the orders of `other` one CPU-second of `name` carries."""
    ours, theirs = _cost(store, door, shape, name), _cost(store, door, shape, other)
    return _at_least(label, goal, None if ours is None or theirs is None else theirs / ours)


def _at_least(label: str, goal: float, reached: float | None) -> Goal:
    told = None if reached is None else f"{reached:,.2f}x"
    return Goal(label, f">= {goal:g}x", told, reached is not None and reached >= goal)


def _at_most(label: str, goal: float, reached: float | None, unit: str, spec: str = ",.1f") -> Goal:
    told = None if reached is None else f"{reached:{spec}}{unit}"
    return Goal(label, f"<= {goal:{spec}}{unit}", told, reached is not None and reached <= goal)


def _ratios(store: Store) -> Iterator[Goal]:
    crossing = "1 x 64, each crosses"
    yield _times(store, "FIX 1 x 64, beside the commit before", 4.5, "fix", "1 x 64", "memory", BEFORE)
    yield _times(store, "FIX 1 x 64, beside quickfix-py", 10, "fix", "1 x 64", "memory", "quickfix")
    yield _times(store, "FIX 200 x 8, beside the commit before", 4, "fix", "200 x 8", "memory", BEFORE)
    yield _times(store, "FIX 1 x 64, each crosses, beside the commit before", 4, "fix", crossing, "memory", BEFORE)
    yield _times(store, "durability process, beside memory (FIX 1 x 64)", 0.9, "fix", "1 x 64", "process", "memory")
    yield _times(store, "durability disk, beside memory (FIX 1 x 64)", 0.7, "fix", "1 x 64", "disk", "memory")


def _linked(store: Store) -> Iterator[Goal]:
    """A core in another process: what a CPU-second of the gateway carries, and what the way there adds."""
    base = store.middle("fix 1 x 1 memory")
    for name, title in (("link", "core behind Redis"), ("cluster", "one of several")):
        yield _times(
            store, f"FIX 1 x 64, {title}, beside the core in the process", 0.6, "fix", "1 x 64", name, "memory"
        )
        found = store.middle(f"fix 1 x 1 {name}")
        added = None if found is None or base is None else (found.p50_us - base.p50_us) / 1_000
        yield _at_most(f"FIX 1 x 1, {title}, p50 added", 0.4, added, " ms", ",.2f")


def _scaling(store: Store) -> Iterator[Goal]:
    """What an order costs more with 1,000 sessions, without what the echo costs more then."""
    one, echo = _cost(store, "fix", "1 x 8", "memory"), _cost(store, "fix", "1 x 8", "echo")
    echo_many = _cost(store, "fix", "1,000 x 8", "echo")
    for label, shape in (("own accounts", "1,000 x 8"), ("one account", "1,000 x 8, one account")):
        many, growth = _cost(store, "fix", shape, "memory"), None
        if one is not None and echo is not None and many is not None and echo_many is not None:
            growth = (many - (echo_many - echo)) / one - 1
        told = None if growth is None else f"{growth:+.0%}"
        is_met = growth is not None and abs(growth) <= 0.15
        yield Goal(f"cost of an order, 1 to 1,000 sessions of {label}, beyond the echo's", "within 15 %", told, is_met)


def _lone(store: Store) -> Iterator[Goal]:
    ours, echo = _cost(store, "fix", "1 x 1", "memory"), _cost(store, "fix", "1 x 1", "echo")
    above = None if ours is None or echo is None else ours - echo
    yield _at_most("a turn with one order, CPU above the echo's", 40, above, " us")
    yield _times(store, "a turn with one order, beside the commit before", 2, "fix", "1 x 1", "memory", BEFORE)
    base = store.middle("fix 1 x 1 echo")
    quantiles: tuple[tuple[str, float, Callable[[Figures], float]], ...] = (
        ("p50", 1.6, lambda each: each.p50_us),
        ("p99", 2.0, lambda each: each.p99_us),
    )
    for door, title in (("fix", "FIX"), ("ws", "WebSocket")):
        found = store.middle(f"{door} 1 x 1 memory")
        for name, goal, of in quantiles:
            ratio = None if found is None or base is None else of(found) / of(base)
            yield _at_most(f"{title} 1 x 1, {name} beside the TCP echo's", goal, ratio, "x", ",.2f")


def _websocket(store: Store) -> Iterator[Goal]:
    """Answers and events for a CPU-second, beside the echo's answers."""
    for shape in _WS_SHAPES:
        ours, theirs = (store.middle(f"ws {shape} {name}") for name in ("memory", "aiohttp"))
        ratio = None
        if ours is not None and theirs is not None and theirs.cpu_us and ours.cpu_us:
            ratio = ours.messages / ours.cpu_us * theirs.cpu_us
        yield _at_least(f"WebSocket {shape}, messages beside aiohttp's", 1.2, ratio)


def _open(store: Store) -> Iterator[Goal]:
    for door, title in (("fix", "FIX"), ("ws", "WebSocket")):
        name, key = f"{title}, 20,000 orders/s for a minute", f"{door} open memory"
        failed = store.done.get(f"{key} 1")
        if failed is not None and failed.failure:
            yield Goal(f"{name}, p99", f"<= {_OPEN_P99_US / 1_000:.1f} ms", failed.failure)
            continue
        found = store.middle(key)
        yield _at_most(f"{name}, p99", _OPEN_P99_US / 1_000, found and found.p99_us / 1_000, " ms")
        yield _at_most(f"{name}, p99.9", _OPEN_P99_9_US / 1_000, found and found.p99_9_us / 1_000, " ms")
        shed = None if found is None else found.refused + found.unanswered
        yield _at_most(f"{name}, refused or unanswered", 0, shed, "", ",.0f")


def _footprint(store: Store) -> Iterator[Goal]:
    """Beside the goals the commit before: both are measured in the same way."""
    ours, before = (
        found.footprint if (found := store.done.get(f"footprint {name} 1")) is not None else None
        for name in ("memory", BEFORE)
    )
    yield _at_most("memory of an idle WebSocket session", 12.6, ours and ours.ws_idle_kib, " KiB")
    yield _at_most("memory of an idle configured FIX session", 100, ours and ours.fix_configured_kib, " KiB")
    if ours is None or before is None:
        return
    yield _at_most(f"start-up, beside the commit before {_NOISE}", before.start_s * 1.05, ours.start_s, " s", ",.2f")
    idle = before.ws_idle_kib * 1.05
    yield _at_most(f"an idle WebSocket session, beside the commit before {_NOISE}", idle, ours.ws_idle_kib, " KiB")
