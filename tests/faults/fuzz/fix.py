"""Attacks on the FIX door: what strangers, broken engines and ill-willed clients with good keys may send.

`KINDS` maps the name of an attack to a function (caller) -> Plan. A caller knows who he is, draws everything from his
own random numbers, and builds bytes by himself: he shares no line of protocol code with the gateway but the samples.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Literal

import msgspec

from gateway.client.fix import sending_time, signature
from tests.faults.fuzz.wire import Plan, cut_up, each_byte, spoil
from tests.support.venue_rows import seed_of

Pair = tuple[bytes, bytes]

_SAMPLES = Path(__file__).parents[2] / "protocols/fix/samples.txt"
_FLOOD = 4_000  # messages of one flood
_HEADER = frozenset({b"8", b"9", b"35", b"34", b"49", b"52", b"56", b"10"})

NASTY_VALUES: tuple[bytes, ...] = (
    *(b"", b"\x00", b"0", b"-1", b"+1", b" 1", b"1 ", b"1_000", b"0x10", b"1e5", b"NaN", b"inf", b".", b"-", b"="),
    *(b"\xb2", b"\xb2\xb3", b"\xff\xfe", "٣".encode(), "𝟗".encode(), b"\xed\xa0\x80", b"\x1b[2J", b"\x7f", b"\x85"),
    *(b"9" * 18, b"9" * 19, b"9" * 20, b"9" * 5_000, b"0" * 5_000, b"0." + b"0" * 300 + b"1", b"1." + b"9" * 18),
    *(b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"4294967296", b"00000000000000001"),
    *(b"Y", b"N", b"y", b"GATE", b"ALPHA", b"A" * 65_536, b"A" * 4_000, b"a=b", b"8=FIX.4.4", b"10=000"),
    *(b"20260230-25:61:61", b"00000000-00:00:00", b"99991231-23:59:60.999999999", b"20260101-00:00:00.", b"20260101"),
)
_NO_TAGS = (b"0", b"-1", b"00034", b"", b" 34", b"3 4", b"x", b"\xb2", b"9" * 10, b"9" * 4_500, b"1e2", b"99999")
NASTY_TAGS: tuple[bytes, ...] = (
    *_NO_TAGS,
    *(b"8", b"9", b"10", b"35", b"34", b"43", b"49", b"52", b"56", b"95", b"96", b"89", b"90", b"91", b"122", b"369"),
    *(b"115", b"128", b"129", b"145", b"141", b"789", b"1137", b"25000", b"25016", b"20107", b"555", b"453", b"78"),
)


class Identity(msgspec.Struct, frozen=True):
    """A configured session that the attacker may log on to. key False: it needs no credentials."""

    comp_id: str
    version: str = "FIX.4.4"
    key: bool = True


class Caller:
    """One attacker of this door: his randomness, his session, and the number he is at."""

    def __init__(self, rng: random.Random, identity: Identity) -> None:
        self.rng = rng
        self.identity = identity
        self.number = 0

    def pairs(self, msg_type: str, body: Iterable[tuple[int, object]], number: object = None) -> list[Pair]:
        """A message as fields in wire order, without 8, 9 and 10; takes the next number unless one is given."""
        if number is None:
            self.number += 1
            number = self.number
        head = [(35, msg_type), (34, number), (49, self.identity.comp_id), (52, now()), (56, "GATE")]
        return [(str(tag).encode(), _bytes(value)) for tag, value in (*head, *body)]

    def message(self, msg_type: str, body: Iterable[tuple[int, object]] = (), number: object = None) -> bytes:
        """A whole message."""
        return encode(self.pairs(msg_type, body, number), self.identity.version)

    def logon(
        self, *extra: tuple[int | bytes, object], number: int = 1, seed: bytes | None = None, reset: bool = True
    ) -> bytes:
        """A Logon(A) that is right, but for what the caller adds; the next message has the number behind it."""
        return encode(self.logon_pairs(*extra, number=number, seed=seed, reset=reset), self.identity.version)

    def logon_pairs(
        self, *extra: tuple[int | bytes, object], number: int = 1, seed: bytes | None = None, reset: bool = True
    ) -> list[Pair]:
        """The fields of a Logon(A) without 8, 9 and 10."""
        me, at = self.identity, now()
        body: list[tuple[int, object]] = [(98, 0), (108, self.rng.choice((1, 5, 30)))]
        if reset:
            body.append((141, "Y"))
        if me.version == "FIXT.1.1":
            body.append((1137, 9))
        if me.key:
            signed = signature(seed or seed_of(me.comp_id), ("A", me.comp_id, "GATE", str(number), at))
            body += [(553, f"key-{me.comp_id}"), (95, len(signed)), (96, signed)]
        head = [(35, "A"), (34, number), (49, me.comp_id), (52, at), (56, "GATE")]
        self.number = number
        return [(_bytes(tag), _bytes(value)) for tag, value in (*head, *body, *extra)]

    def order(self, number: object = None, *extra: tuple[int, object]) -> bytes:
        """A NewOrderSingle(D) that is right; half of them rest, half of them may trade with the other half."""
        return self.message("D", [*self.order_fields(), *extra], number)

    def order_fields(self) -> list[tuple[int, object]]:
        """The body of an order."""
        rng = self.rng
        return [
            (11, f"f{rng.getrandbits(48):x}"),
            (38, "0.0125"),
            (40, 2),
            (44, f"{rng.choice((50_000, 60_000))}.{rng.randrange(100):02d}"),
            (54, rng.choice((1, 2))),
            (55, "BTC-USDT"),
            (59, rng.choice((1, 3))),
            (60, now()),
        ]


def now() -> str:
    """SendingTime(52) of now."""
    return sending_time(time.time_ns())


def encode(pairs: list[Pair], version: str = "FIX.4.4", length_off: int = 0, sum_off: int = 0) -> bytes:
    """The message of these fields; BodyLength and CheckSum may be off by so much."""
    body = b"".join(b"%b=%b\x01" % pair for pair in pairs)
    whole = b"8=%b\x019=%d\x01%b" % (version.encode(), max(len(body) + length_off, 0), body)
    return whole + b"10=%03d\x01" % ((sum(whole) + sum_off) % 256)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")


# -- strangers ---------------------------------------------------------------------------------------------------------


def garbage(caller: Caller) -> Plan:
    """Bytes that are no FIX, or only nearly."""
    rng = caller.rng
    data = rng.choice(
        (
            rng.randbytes(rng.randrange(1, 20_000)),
            b"\x00" * 10_000,
            b"\x01" * 10_000,
            b"8=FIX.4.4\x01" * 1_000,
            b"8=FIX.4.4\x019=" + b"9" * rng.randrange(1, 3_000),
            b"8=FIX.4.4\x019=%d\x0135=A\x01" % rng.choice((0, 5, 4_000, 65_000, 999_999_999)) + b"A" * 6_000,
            b"8=FIX.9.9\x019=5\x0135=0\x0110=161\x01",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500),
            spoil(caller.logon(), rng),
            caller.message("D", caller.order_fields()),
            b"9=5\x018=FIX.4.4\x01" * 50,
        )
    )
    return Plan(cut_up(data, rng), ending=_ending(rng), stay_s=rng.choice((0.0, 0.1, 0.5)))


def silent(caller: Caller) -> Plan:
    """Connects, says little or drips a Logon(A), and stays as long as it is let."""
    rng = caller.rng
    logon = caller.logon()
    chunks = rng.choice((iter(()), iter((b"8",)), iter((logon[:-1],)), each_byte(logon)))
    return Plan(chunks, gap_s=0.05, stay_s=10.0, ending=_ending(rng))


def logon_flood(caller: Caller) -> Plan:
    """One Logon(A) after the other: unknown, unproven, unreadable, twice the same."""
    rng = caller.rng
    spoilt = caller.logon_pairs()
    _change(spoilt, rng)
    stranger = Caller(rng, Identity(rng.choice(("NOBODY", "GATE", "X" * 32, "A" * 3_000, "\x1b[31m", "M1", "ALPHA"))))
    logon = rng.choice(
        (
            encode(spoilt, caller.identity.version),
            encode(spoilt, caller.identity.version),
            stranger.logon(seed=rng.randbytes(32)),
            caller.logon(seed=rng.randbytes(32)),
            caller.logon((25_000, rng.choice(NASTY_VALUES[:30]))),
            caller.logon((rng.choice(_NO_TAGS), "1")),
            caller.logon(number=rng.choice((0, 1, 5, 10**9, 2**63, 10**20)), reset=False),
            caller.logon((789, rng.choice((0, 1, 2**63, 10**20))), reset=False),
            caller.logon((554, rng.choice(NASTY_VALUES[:30]))),
        )
    )
    again = repeat(logon, rng.randrange(3))
    return Plan(chain((logon,), again), stay_s=rng.choice((0.0, 0.05, 0.4)), ending=_ending(rng))


# -- sessions that are proven, and go wrong ----------------------------------------------------------------------------


def takeover(caller: Caller) -> Plan:
    """Logs on to the one session that everybody of this kind wants, says something, and is superseded."""
    rng = caller.rng
    caller.identity = Identity("M1")
    stay = rng.choice((0.0, 0.02, 0.2))
    return Plan((caller.logon() + caller.order(), caller.order()), gap_s=stay / 2, stay_s=stay, ending=_ending(rng))


def mutations(caller: Caller) -> Plan:
    """Messages of a running session with fields dropped, doubled, moved, and made nasty."""
    rng = caller.rng

    def chunks() -> Iterator[bytes]:
        yield caller.logon(*rng.choice(_LOGON_EXTRAS))
        for _ in range(60):
            kind, message = _mutated(caller)
            yield from cut_up(message, rng, 4)
            if kind == "garbled":
                caller.number -= 1
            if rng.random() < 0.7:
                yield caller.order()  # a good one between: three bad ones in a row end the session

    return Plan(chunks(), stay_s=0.1, ending=_ending(rng))


def every_byte(caller: Caller) -> Plan:
    """A good conversation, a byte at a time."""
    data = caller.logon() + caller.order() + caller.message("1", [(112, "T")]) + caller.message("5")
    return Plan(each_byte(data), stay_s=0.5)


def resend_storm(caller: Caller) -> Plan:
    """Makes history, and asks for it again and again, in ranges that overlap, are inverted, or huge."""
    rng = caller.rng

    def chunks() -> Iterator[bytes]:
        yield caller.logon((25_036, 1))
        for _ in range(20):
            yield b"".join(caller.order() for _ in range(100))
        for _ in range(40):
            yield b"".join(caller.message("2", [(7, begin), (16, end)]) for begin, end in _ranges(rng, 50))

    return Plan(chunks(), reads=rng.choice(("all", "all", "sips")), stay_s=1.0, ending=_ending(rng))


def question_flood(caller: Caller) -> Plan:
    """Thousands of questions in one write, and the answers read or not."""
    rng = caller.rng
    ids = [rng.choice((b"T", b"x" * 200, b"\xff\x00", b"A" * 4_000)) for _ in range(8)]

    def chunks() -> Iterator[bytes]:
        yield caller.logon()
        for _ in range(10):
            yield b"".join(caller.message("1", [(112, ids[n % 8])]) for n in range(_FLOOD // 10))

    return Plan(chunks(), reads=rng.choice(("all", "nothing", "sips")), stay_s=0.3, ending=_ending(rng))


def order_flood(caller: Caller) -> Plan:
    """Thousands of orders in one write, some with a cancel of everything at the end."""
    rng = caller.rng

    def chunks() -> Iterator[bytes]:
        yield caller.logon((8_013, rng.choice("NSY")))
        for _ in range(4):
            yield b"".join(caller.order() for _ in range(_FLOOD // 8))
        yield caller.message("q", [(11, "mc"), (530, 7), (60, now())])

    return Plan(chunks(), stay_s=0.3, ending=_ending(rng))


def broken_runs(caller: Caller) -> Plan:
    """Runs of orders in one write, with one message in their midst that is spoilt or of another kind."""
    rng = caller.rng

    def chunks() -> Iterator[bytes]:
        yield caller.logon((8_013, rng.choice("NSY")))
        for _ in range(40):
            run = [caller.order() for _ in range(rng.randrange(1, 20))]
            kind, odd = _mutated(caller)
            if kind == "garbled":
                caller.number -= 1
            run += [odd, *(caller.order() for _ in range(rng.randrange(1, 20)))]
            yield from cut_up(b"".join(run), rng, rng.choice((1, 1, 4)))

    return Plan(chunks(), stay_s=0.1, ending=_ending(rng))


def numbers(caller: Caller) -> Plan:
    """SequenceReset(4), PossDupFlag(43) and MsgSeqNum(34) as nobody should use them."""
    rng = caller.rng

    def chunks() -> Iterator[bytes]:
        yield caller.logon(reset=rng.random() < 0.8)
        for _ in range(40):
            yield _odd_number(caller)

    return Plan(chunks(), stay_s=0.2, ending=_ending(rng))


def huge(caller: Caller) -> Plan:
    """Fields, groups and lengths beyond all measure."""
    rng = caller.rng

    def chunks() -> Iterator[bytes]:
        yield caller.logon()
        for _ in range(12):
            yield rng.choice(
                (
                    caller.message("B", [(148, "A" * rng.choice((4_000, 60_000, 65_400, 70_000))), (33, 1), (58, "x")]),
                    caller.message("B", [(148, "h"), (33, 999_999_999), *[(58, "x")] * rng.choice((0, 1, 3_000))]),
                    caller.message("0", [(112, b"\x00" * 65_000)]),
                    caller.message("B", [(148, "h"), (33, 1), (58, "x"), (95, 10**9), (96, "x")]),
                    caller.message("D", [*caller.order_fields(), *((20_000 + n, "x") for n in range(4_000))]),
                    encode(caller.pairs("0", []), length_off=rng.choice((10**8, 65_000, -30))),
                    encode([(b"35", b"0"), *[(b"", b"")] * 20_000]),
                    encode([(b"35", b"0"), *[(b"34", b"1")] * 9_000]),
                    b"8=FIX.4.4\x019=000000005\x0135=0\x0110=16\x01" * 2_000,
                    b"\x01".join([b"10=000"] * 9_000),
                )
            )
            yield caller.order()

    return Plan(chunks(), stay_s=0.1, ending=_ending(rng))


def never_reads(caller: Caller) -> Plan:
    """Asks for as much as it can and reads nothing, so that the gateway has to keep it or end it."""
    rng = caller.rng

    def chunks() -> Iterator[bytes]:
        yield caller.logon((25_036, 1))
        for turn in range(200):
            yield b"".join(caller.order() for _ in range(20))
            yield caller.message("AF", [(584, f"s{turn}"), (585, 7)])
            yield caller.message("2", [(7, 1), (16, 0)])

    return Plan(chunks(), reads="nothing", stay_s=3.0, ending=_ending(rng))


def cut(caller: Caller) -> Plan:
    """Leaves in the middle of a message."""
    rng = caller.rng
    data = caller.logon() + caller.order() + caller.order()
    return Plan((data[: rng.randrange(len(data))],), stay_s=rng.choice((0.0, 0.01)), ending=_ending(rng))


# -- what they are made of ---------------------------------------------------------------------------------------------

_LOGON_EXTRAS: tuple[tuple[tuple[int, object], ...], ...] = (
    (),
    ((8_013, "S"), (20_107, 100)),
    ((20_107, b"\xb2"),),
    ((25_036, b"\xb9"),),
    ((25_000, b"\xb3"),),
    ((789, 1),),
)
_BODIES: tuple[tuple[str, tuple[tuple[int, object], ...]], ...] = (
    ("F", ((11, "c-1"), (41, "f-1"), (55, "BTC-USDT"), (54, 1))),
    ("G", ((11, "r-1"), (41, "f-1"), (55, "BTC-USDT"), (54, 1), (38, "1"), (40, 2), (44, "60000"))),
    ("H", ((11, "f-1"), (55, "BTC-USDT"), (54, 1))),
    ("AF", ((584, "ms-1"), (585, 7))),
    ("q", ((11, "mc-1"), (530, 7))),
    ("XLQ", ((6_136, "lq-1"),)),
    ("B", ((148, "news"), (33, 2), (58, "a"), (58, "b"))),
    ("j", ((45, 1), (372, "8"), (380, 0))),
    ("3", ((45, 1), (58, "no"))),
    ("V", ((262, "md"), (263, 1), (264, 0), (267, 1), (269, 0), (146, 1), (55, "BTC-USDT"))),
    ("i", ((117, "q"), (296, 1), (302, "s"), (304, 1), (295, 1), (299, "e"), (55, "BTC-USDT"), (132, "1"))),
    ("1", ((112, "T-1"),)),
    ("0", ()),
    ("2", ((7, 1), (16, 0))),
    ("A", ((98, 0), (108, 30))),
)


def _sample_bodies() -> list[tuple[str, list[Pair]]]:
    """The messages of the contract's samples, without their headers and trailers."""
    bodies = []
    for line in _SAMPLES.read_bytes().splitlines():
        if line.startswith(b"8="):
            pairs = [(tag, value) for tag, _, value in (field.partition(b"=") for field in line[:-1].split(b"|"))]
            bodies.append((pairs[2][1].decode(), [pair for pair in pairs if pair[0] not in _HEADER]))
    return bodies


_SAMPLE_BODIES = _sample_bodies()


def _mutated(caller: Caller) -> tuple[Literal["whole", "garbled"], bytes]:
    """One message of any type, spoilt; `garbled` when it has used no number."""
    rng = caller.rng
    source = rng.randrange(3)
    if source == 0:
        pairs = caller.pairs("D", caller.order_fields())
    elif source == 1:
        pairs = caller.pairs(*rng.choice(_BODIES))
    else:
        msg_type, body = rng.choice(_SAMPLE_BODIES)
        pairs = caller.pairs(msg_type, ()) + body
    for _ in range(rng.randrange(1, 4)):
        _change(pairs, rng)
    version, dice = caller.identity.version, rng.random()
    if dice < 0.06:
        return "garbled", encode(pairs, version, length_off=rng.choice((-5, -1, 1, 7, 100)))
    if dice < 0.12:
        return "garbled", encode(pairs, version, sum_off=rng.randrange(1, 255))
    if dice < 0.18:
        return "garbled", spoil(encode(pairs, version), rng)
    return "whole", encode(pairs, version)


def _change(pairs: list[Pair], rng: random.Random) -> None:
    """Spoil the fields of one message in one way."""
    at = rng.randrange(len(pairs))
    tag, value = pairs[at]
    kind = rng.randrange(8)
    if kind == 0:
        del pairs[at]
        pairs.append((b"58", b"in place of what was taken out"))
    elif kind == 1:
        pairs.insert(rng.randrange(len(pairs)), (tag, value))
    elif kind == 2:
        pairs.append(pairs.pop(at))
    elif kind == 3:
        pairs[at] = rng.choice(NASTY_TAGS), value
    elif kind == 4:
        pairs.insert(at, (rng.choice(NASTY_TAGS), rng.choice(NASTY_VALUES)))
    else:
        pairs[at] = tag, rng.choice(NASTY_VALUES)


def _odd_number(caller: Caller) -> bytes:
    rng, at = caller.rng, caller.number
    number = rng.choice((0, 1, at, at + 1, at + 2, at + 500, -1, 2**31, 2**63, 10**20, "", "1.5", "0001", b"\xb2"))
    new = rng.choice((0, 1, at, at + 1, at + 5, at + 1_000, 2**63, 10**19, 10**20, "", "x"))
    dup: list[tuple[int, object]] = [(43, rng.choice("YYYN"))]
    if rng.random() < 0.7:
        dup.append((122, rng.choice((now(), "20200101-00:00:00", "20990101-00:00:00", "x"))))
    kind = rng.randrange(6)
    if kind == 0:
        return caller.message("4", [(123, rng.choice("YN")), (36, new)], number)
    if kind == 1:
        return caller.message("4", [(36, new)])
    if kind == 2:
        return caller.message("4", [*dup, (123, "Y"), (36, new)], number)
    if kind == 3:
        return caller.message("D", [*dup, *caller.order_fields()], number)
    if kind == 4:
        return caller.message(rng.choice("0125A3"), dup, number)
    return b"".join(caller.order() for _ in range(3))


def _ranges(rng: random.Random, count: int) -> Iterator[tuple[object, object]]:
    for _ in range(count):
        begin, end = rng.randrange(1, 2_000), rng.choice((0, 1, rng.randrange(1, 3_000), 999_999, 2**63, 10**20))
        yield rng.choice(((1, 0), (begin, end), (end, begin), (begin, begin), (2**63, 0), (0, 0)))


def _ending(rng: random.Random) -> Literal["close", "reset", "half"]:
    return rng.choice(("close", "reset", "half"))


KINDS: dict[str, Callable[[Caller], Plan]] = {
    kind.__name__: kind
    for kind in (
        garbage,
        silent,
        logon_flood,
        takeover,
        mutations,
        every_byte,
        resend_storm,
        question_flood,
        order_flood,
        broken_runs,
        numbers,
        huge,
        never_reads,
        cut,
    )
}
