"""Plays the dialogues with a core, one after the other, and gives a verdict on each promise.

It trades, so it refuses a venue that gateways use. Sessions are the next ones that nobody had, accounts are those that
the caller names: two for each promise.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import hiredis
import msgspec

from gateway.remote.conform.dialogue import Cast, Dialogue, Restart
from gateway.remote.conform.party import Traded
from gateway.remote.conform.promises import PROMISES, Promise
from gateway.remote.conform.store import Silent, Store
from gateway.remote.conform.verdict import WITHOUT_RESTART, Broken, NotRestarted, Verdict
from gateway.remote.host import Hello, Welcome
from gateway.remote.keys import BEFORE_ALL, Keys
from gateway.remote.pipe import Address, PipeLost, open_pipe, pairs, rows_of
from gateway.remote.wire import CONTRACT, Encoding
from protocols.units import NS_PER_S

NODES = "conform-"
"""What the names of our nodes begin with."""

_CONNECT_S = 5.0
_RECENT_S = 3_600
_LOOK_BACK = 1_000  # entries
_LEVEL = 1_000  # each dialogue trades a few levels below the one before, so nothing that one has left is hit
_STEP = 10
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Unfit(Exception):
    """The examination cannot begin; the text says why and what to do."""


class ExamTerms(NamedTuple):
    """What is examined, and how. instrument: 0 = the first. names: the promises to test, none = all."""

    keys: Keys
    address: Address
    first_account: int
    instrument: int
    timeout_s: float
    restart_s: float
    restart: Restart | None
    may_join: bool  # also a venue that gateways use
    names: tuple[str, ...] = ()


class CoreSays(NamedTuple):
    """What the core says of itself."""

    epoch: str
    encoding: Encoding
    traded: Traded
    symbol: str


async def examine(terms: ExamTerms, begun: Callable[[CoreSays], None], found: Callable[[Verdict], None]) -> None:
    """Play all dialogues. found: called with each verdict as it is known.

    Raises:
        Unfit: it cannot begin.
    """
    try:
        writer = await open_pipe(terms.address, _CONNECT_S, _ignore)
        reader = await open_pipe(terms.address, _CONNECT_S, _ignore)
    except (OSError, TimeoutError, hiredis.ReplyError) as error:
        raise Unfit(f"Redis cannot be reached: {error or type(error).__name__}") from error
    try:
        await _examine(terms, Store(terms.keys, writer, reader), begun, found)
    except (PipeLost, hiredis.ReplyError) as error:
        raise Unfit(f"Redis is lost: {error}") from error
    finally:
        writer.close()
        reader.close()


async def _examine(
    terms: ExamTerms, store: Store, begun: Callable[[CoreSays], None], found: Callable[[Verdict], None]
) -> None:
    said = await _core_says(store, terms.instrument)
    offset_ns = await store.now_ns() - time.time_ns()
    if not terms.may_join:
        await _check_alone(store, (time.time_ns() + offset_ns) // NS_PER_S)
    run = NODES + _base36(time.time_ns() // 1_000_000)
    session = await _next_session(store, run, terms.timeout_s)
    begun(said)
    now_ns = _rising(lambda: time.time_ns() + offset_ns)
    silence = ""
    for number, promise in enumerate(PROMISES):
        if terms.names and promise.name not in terms.names:
            continue
        account, own = terms.first_account + 2 * number, session + 2 * number
        cast_of = Cast(
            f"{run}-{promise.name}", (account, account + 1), (own, own + 1), said.traded, _LEVEL - _STEP * number,
            said.encoding, said.epoch, terms.timeout_s, terms.restart_s,
        )  # fmt: skip
        why = silence
        if promise.restarts and terms.restart is None:
            why = why or WITHOUT_RESTART
        if why:
            found(Verdict(promise.name, promise.sentence, "not tested", why=why))
            continue
        verdict, silence = await _play(promise, Dialogue(store, cast_of, now_ns, terms.restart))
        found(verdict)


async def _play(promise: Promise, talk: Dialogue) -> tuple[Verdict, str]:
    """One dialogue; and why no more can be tested, "" = they can."""
    try:
        await talk.begin()
    except Silent as error:
        why = f"the core does not answer `hello`: {error}"
        return Verdict(promise.name, promise.sentence, "not tested", why=why), why
    except Broken as broken:
        return Verdict(promise.name, promise.sentence, "broken", broken.expected, broken.seen), ""
    try:
        await promise.play(talk)
        await talk.see_that_it_was_killed()
    except Broken as broken:
        return Verdict(promise.name, promise.sentence, "broken", broken.expected, broken.seen), ""
    except Silent as error:
        return Verdict(promise.name, promise.sentence, "broken", "an answer to `hello`", str(error)), ""
    except NotRestarted as error:
        return Verdict(promise.name, promise.sentence, "not tested", why=str(error)), ""
    finally:
        await talk.end()
    return Verdict(promise.name, promise.sentence, "kept"), ""


async def _core_says(store: Store, instrument: int) -> CoreSays:
    key = store.keys.core
    said = pairs(cast(list[Any], await store.ask("HGETALL", key)))
    if not said:
        raise Unfit(f"{key} is empty: no core has run on the prefix {store.keys.prefix}. Start it, or give --prefix")
    version = said.get(b"version", b"")
    if version != CONTRACT:
        raise Unfit(f"{key}: version is {version.decode() or 'missing'}, and this contract is {CONTRACT.decode()}")
    encoding = said.get(b"encoding", b"").decode()
    if encoding not in ("msgpack", "json"):
        raise Unfit(f'{key}: encoding is "{encoding}". Write "msgpack" or "json"')
    epoch = said.get(b"epoch", b"").decode()
    if not epoch:
        raise Unfit(f"{key}: epoch is missing")
    try:
        instruments = msgspec.json.decode(said.get(b"instruments", b""), type=dict[str, tuple[str, int, int]])
    except msgspec.DecodeError as error:
        raise Unfit(f"{key}: instruments is no object of id -> [symbol, px_exp, qty_exp]: {error}") from error
    chosen = str(instrument) if instrument else next(iter(instruments), "")
    if chosen not in instruments:
        raise Unfit(f"{key}: there is no instrument {chosen or 'at all'}. It has {', '.join(instruments) or 'none'}")
    symbol, px_exp, qty_exp = instruments[chosen]
    traded = Traded(int(chosen), 10**px_exp, 10**qty_exp)
    return CoreSays(epoch, "json" if encoding == "json" else "msgpack", traded, symbol)


async def _check_alone(store: Store, now_s: int) -> None:
    """See that no gateway uses this venue."""
    latest = cast(list[Any], await store.ask("XREVRANGE", store.keys.commands, "+", "-", "COUNT", _LOOK_BACK))
    for entry, fields in rows_of(latest):
        node, age_s = fields.get(b"node", b"").decode("utf-8", "replace"), now_s - entry[0] // 1_000
        if node and not node.startswith(NODES) and age_s < _RECENT_S:
            raise Unfit(
                f'gateway "{node}" wrote to {store.keys.commands} {max(age_s, 0)} s ago, and this tool trades.'
                " Examine a core on another prefix; or stop the gateways, and give --yes"
            )


async def _next_session(store: Store, node: str, seconds: float) -> int:
    """The first session that nobody has had."""
    entry = await store.write(node, "hello", msgspec.json.encode(Hello((), ())))
    try:
        told = (await store.told_to(node, BEFORE_ALL, entry, seconds))[-1]
        last = msgspec.json.decode(told.welcome, type=Welcome).last_session
    except (Silent, Broken, msgspec.DecodeError) as error:
        raise Unfit(f"the core does not answer `hello` with `welcome`: {error}. Is it running?") from error
    await store.write(node, "bye", b"")
    await store.let_go(node)
    return last + 1


def _rising(now_ns: Callable[[], int]) -> Callable[[], int]:
    """The same clock, which never says the same twice: commands are received one after the other."""
    last = 0

    def rising() -> int:
        nonlocal last
        last = max(last + 1, now_ns())
        return last

    return rising


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text


def _ignore(_why: str) -> None:
    """Whoever waits for a reply hears of it."""
