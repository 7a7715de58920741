"""The attackers' process: carries out one wave after the other as its parent tells it, and reports what came of each.

It is a process of its own, and nice to the others, so that what the healthy sessions measure is the gateway and not the
noise beside them. It says `ready` first; then one line of JSON in is one wave, one line out its tally, and the end of
its input ends it.
"""

import asyncio
import os
import random
import sys
from collections.abc import Callable
from typing import Any, Literal

import msgspec
import uvloop

from tests.faults.fuzz import bursts as fuzz_bursts
from tests.faults.fuzz import fix as fuzz_fix
from tests.faults.fuzz import strangers as fuzz_strangers
from tests.faults.fuzz import ws as fuzz_ws
from tests.faults.fuzz.owed import TlsReplies
from tests.faults.fuzz.replies import FixReplies, WsReplies
from tests.faults.fuzz.wire import Plan, Replies, Tally, Target, attack

MIXED = "mixed"  # each attacker of the wave draws its own kind
ACCOUNTS = tuple(f"M{n}" for n in range(1, 9))  # whose keys the attackers hold
PLAIN = (
    fuzz_fix.Identity("P42", "FIX.4.2", key=False),
    fuzz_fix.Identity("P44", "FIX.4.4", key=False),
    fuzz_fix.Identity("P50", "FIXT.1.1", key=False),
)
_OPEN = ACCOUNTS[1::2]  # their limits let them have as many orders as they like
_OPEN_SESSIONS = tuple(map(fuzz_fix.Identity, _OPEN))
_FIX_SESSIONS = (*(fuzz_fix.Identity(name) for name in ACCOUNTS), *PLAIN)
_ONE_ATTACK_S = 4.0
_NICE = 5
READY = b"ready\n"

Door = Literal["fix", "ws", "tls", "admin"]
DOORS: tuple[Door, ...] = ("fix", "ws", "tls", "admin")
KINDS: dict[Door, dict[str, Callable[[Any], Plan]]] = {
    "fix": {**fuzz_fix.KINDS, **fuzz_strangers.FIX_KINDS, **fuzz_bursts.FIX_KINDS},
    "ws": {**fuzz_ws.KINDS, **fuzz_strangers.WS_KINDS, **fuzz_bursts.WS_KINDS},
    "tls": dict(fuzz_strangers.TLS_KINDS),
    "admin": dict(fuzz_strangers.ADMIN_KINDS),
}
"""The attacks on each port, by name. `tls` is a FIX port too; `admin` the operators'."""

BURSTS = frozenset((*fuzz_bursts.FIX_KINDS, *fuzz_bursts.WS_KINDS))
"""The attackers of these are good clients, each with a session of its own: they come alone, or among themselves."""

_JUDGES: dict[Door, Callable[[], Replies]] = {
    "fix": FixReplies,
    "ws": WsReplies,
    "tls": TlsReplies,
    "admin": WsReplies,  # which reads HTTP
}


class Wave(msgspec.Struct, frozen=True):
    """`width` attackers at a time, one kind of attack, for `seconds`."""

    seed: int
    number: int
    door: Door
    kind: str
    width: int
    seconds: float
    port: int
    epoch: str = ""


def plan(wave: Wave, index: int) -> Plan:
    """What attacker `index` of the wave does: the same for the same arguments, but for the time in it."""
    rng = random.Random(f"{wave.seed}/{wave.number}/{index}")
    slot = index % wave.width
    name = rng.choice(sorted(KINDS[wave.door].keys() - BURSTS)) if wave.kind == MIXED else wave.kind
    kind, turn, is_burst = KINDS[wave.door][name], wave.number + slot, name in BURSTS
    if wave.door != "ws":
        sessions = _OPEN_SESSIONS if is_burst else _FIX_SESSIONS
        return kind(fuzz_fix.Caller(rng, sessions[turn % len(sessions)]))
    account = _OPEN[(wave.number + slot // 2) % len(_OPEN)] if is_burst else ACCOUNTS[turn % len(ACCOUNTS)]
    return kind(fuzz_ws.Caller(rng, fuzz_ws.Identity.of(account), wave.epoch))


def target(wave: Wave, index: int) -> Target:
    """Half of the attackers share one address, the others come from everywhere."""
    source = f"127.1.{index // 250 % 250}.{1 + index % 250}" if index % 2 else "127.0.0.2"
    name = f"{wave.door} {wave.kind}, wave {wave.number}, attacker {index}"
    return Target(wave.port, source, _JUDGES[wave.door], name)


async def carry_out(wave: Wave) -> Tally:
    """Run the wave to its end."""
    clock = asyncio.get_running_loop().time
    until = clock() + wave.seconds
    tally = Tally()

    async def worker(index: int) -> None:
        while (left := until - clock()) > 0:
            planned = plan(wave, index)
            await attack(planned, target(wave, index), tally, min(left + 0.1, _ONE_ATTACK_S))
            await asyncio.sleep(min(planned.rest_s, max(until - clock(), 0.0)))
            index += wave.width

    await asyncio.gather(*(worker(slot) for slot in range(wave.width)))
    return tally


async def _main() -> None:
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    decode, encode = msgspec.json.Decoder(Wave).decode, msgspec.json.Encoder().encode
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    os.nice(_NICE)
    while line := await stdin.readline():
        tally = await carry_out(decode(line))
        sys.stdout.buffer.write(encode(tally) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(_main())
