"""One attacker's connection: a plan of bytes and manners, carried out on a plain socket, and a tally of the outcome.

A plan is made from (seed, wave, attacker) alone, so it can be made again; only times, and the signatures over them,
differ. The socket is a raw one: half of the attacks are about what a well-behaved transport would never do.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Protocol

import msgspec

MAX_FAULTS = 20  # kept with their text; more are only counted
_READ_BYTES = 65_536
_SLOW_READ_BYTES = 256
_SLOW_READ_S = 0.02
_TINY_BUFFER_BYTES = 2_048
_STEADY_BYTES = 32_768  # in each 20 ms: a line of 13 Mbit/s
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST


class Plan(msgspec.Struct):
    """What one attacker does with one connection.

    chunks: what each write carries; made while it runs, so that a flood needs no memory.
    gap_s: pause after each write. reads: takes the answers in full, steadily but slowly, in sips, or not at all.
    stay_s: how long it stays behind its last write. ending: FIN, RST, or FIN of one direction and then silence.
    rest_s: pause before the next attacker of its place comes. limit_s: how long it may take; 0 = as all others.
    source: the address it comes from; "" = any. judge: of what it is told, where that is not the door's usual one.
    """

    chunks: Iterable[bytes]
    gap_s: float = 0.0
    reads: Literal["all", "steady", "sips", "nothing"] = "all"
    stay_s: float = 0.05
    ending: Literal["close", "reset", "half"] = "close"
    rest_s: float = 0.0
    limit_s: float = 0.0
    source: str = ""
    judge: "Callable[[], Replies] | None" = None


class Replies(Protocol):
    """Judges what a door says to one attacker."""

    @property
    def count(self) -> int:
        """Whole replies so far."""
        ...

    def feed(self, data: bytes) -> None:
        """More bytes from the door. Raises BadReply: it said something that is not well-formed."""
        ...

    @property
    def is_done(self) -> bool:
        """Whether all has come that was asked for, and the attacker may go."""
        ...

    def complaint(self, is_ended: bool) -> str:
        """What is wrong with how the conversation went as a whole; "" = nothing. is_ended: by the gateway."""
        ...


class BadReply(Exception):
    """The door broke its own protocol: our bug, whatever was sent to it."""


class Tally(msgspec.Struct):
    """What a number of attackers did and met."""

    attackers: int = 0
    writes: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    replies: int = 0
    refused: int = 0  # connections that the door did not take
    closed_on: int = 0  # connections that the gateway ended before the attacker did
    bad: int = 0
    faults: list[str] = []

    def add(self, other: "Tally") -> None:
        """Count what another tally counted."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        del self.faults[MAX_FAULTS:]

    def fault(self, text: str) -> None:
        """A reply was not well-formed."""
        self.bad += 1
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(text)


class Target(msgspec.Struct, frozen=True):
    """Where one attacker goes, and from which address of loopback: failures are counted by address."""

    port: int
    source: str
    judge: Callable[[], Replies]
    name: str


async def attack(plan: Plan, target: Target, tally: Tally, limit_s: float) -> None:
    """Carry one plan out. Ends after `limit_s` at the latest, however stuck the door leaves it."""
    loop = asyncio.get_running_loop()
    tally.attackers += 1
    sock = _socket(plan, plan.source or target.source)
    replies = (plan.judge or target.judge)()
    reading: asyncio.Task[bool] | None = None
    is_ended = False
    try:
        async with asyncio.timeout(plan.limit_s or limit_s):
            await loop.sock_connect(sock, ("127.0.0.1", target.port))
            if plan.reads != "nothing":
                reading = asyncio.create_task(_read(sock, plan, target.name, replies, tally))
            await _write(sock, plan, tally)
            if reading is None:
                await asyncio.sleep(plan.stay_s)
            else:
                await asyncio.wait([reading], timeout=plan.stay_s)
    except ConnectionRefusedError:
        tally.refused += 1
    except ConnectionError:
        tally.closed_on += 1
    except TimeoutError:
        pass
    finally:
        if reading is not None:
            is_ended = reading.done() and not reading.cancelled() and reading.result()
            tally.closed_on += is_ended
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if complaint := replies.complaint(is_ended):
            tally.fault(f"{target.name}: {complaint}")
        if plan.ending == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sock.close()


def _socket(plan: Plan, source: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    if plan.reads == "steady":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _STEADY_BYTES)
    elif plan.reads != "all":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _TINY_BUFFER_BYTES)
    sock.bind((source, 0))
    return sock


async def _write(sock: socket.socket, plan: Plan, tally: Tally) -> None:
    loop = asyncio.get_running_loop()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for chunk in plan.chunks:
        if chunk:  # an empty one is a pause
            await loop.sock_sendall(sock, chunk)
            tally.writes += 1
            tally.bytes_out += len(chunk)
        await asyncio.sleep(plan.gap_s)
    if plan.ending == "half":
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)


async def _read(sock: socket.socket, plan: Plan, name: str, replies: Replies, tally: Tally) -> bool:
    """Until the gateway ends the connection, which is True, or nothing more is wanted; each reply is judged."""
    loop = asyncio.get_running_loop()
    at_once = {"sips": _SLOW_READ_BYTES, "steady": _STEADY_BYTES}.get(plan.reads, _READ_BYTES)
    with contextlib.suppress(ConnectionError):
        while data := await loop.sock_recv(sock, at_once):
            tally.bytes_in += len(data)
            before = replies.count
            try:
                replies.feed(data)
            except BadReply as bad:
                tally.fault(f"{name}: {bad}")
                return True
            tally.replies += replies.count - before
            if replies.is_done:
                return False
            if plan.reads != "all":
                await asyncio.sleep(_SLOW_READ_S)
    return True


def cut_up(data: bytes, rng: random.Random, most: int = 64) -> Iterator[bytes]:
    """`data` in up to `most` pieces, cut anywhere."""
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(most))) if data else []
    start = 0
    for cut in (*cuts, len(data)):
        if cut > start:
            yield data[start:cut]
            start = cut


def each_byte(data: bytes) -> Iterator[bytes]:
    """`data`, one byte a write."""
    for at in range(len(data)):
        yield data[at : at + 1]


def spoil(data: bytes, rng: random.Random) -> bytes:
    """`data` with a few bytes flipped, cut out, doubled or put in: nobody knows what it means any more."""
    spoilt = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(spoilt)) if spoilt else 0
        kind = rng.randrange(4)
        if kind == 0 and spoilt:
            spoilt[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del spoilt[at : at + rng.randrange(1, 9)]
        elif kind == 2:
            spoilt[at:at] = spoilt[at : at + rng.randrange(1, 30)]
        else:
            spoilt[at:at] = rng.randbytes(rng.randrange(1, 9))
    return bytes(spoilt)
