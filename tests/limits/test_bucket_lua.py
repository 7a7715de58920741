"""bucket.lua against its Python twin: the same state, the same answers, step by step, on a real server.

The script's clock is replaced, so that time is an argument here too; nothing else in it is touched.

Module: redis_store.
"""

from collections.abc import Iterator
from copy import copy

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from limits.bucket import MILLI, parse_rate
from limits.redis_store import script_text
from limits.store import Answer, Ask, Batch, BucketState, Terms
from tests.support.ledger import Ledger, Ledgers
from tests.support.redis_server import RedisServer, redis_server

START_US = 1_795_348_800_000_000
TTL_US = 500_000
KEYS = ["gw:{A}:account::orders", "gw:{A}:session:S:orders"]


class Script:
    """The script on a real server, with our clock: keys expire by that clock too."""

    def __init__(self, server: RedisServer) -> None:
        self.client = server.client()
        text = script_text()
        for real, ours in (
            ("redis.call('TIME')", "{ARGV[2], ARGV[3]}"),
            ("redis.call('PEXPIRE', key, ttl_ms, b.lives)", "assert(ttl_ms > 0)"),
        ):
            assert text.count(real) == 1
            text = text.replace(real, ours)
        self.client.script_load(text)
        self._run = self.client.register_script(text)
        self.expires: dict[str, int] = {}

    def run(self, keys: list[str], batch: Batch, clock_us: int) -> Answer:
        for key in [key for key, at_us in self.expires.items() if at_us <= clock_us]:
            self.client.delete(key)
            del self.expires[key]
        reply = self._run(keys=keys, args=_arguments(batch, clock_us))
        answer = msgspec.msgpack.decode(reply, type=Answer)
        for key, state in zip(keys, answer.states, strict=True):
            lives_us = 0 if state.pulled_us else self.expires.get(key, 0)
            self.expires[key] = max(state.expires_us, lives_us)
        return answer

    def steps(self, key: str, ledger: Ledger, calls: list[tuple[int, Batch]]) -> list[tuple[Answer, dict[str, str]]]:
        """The answer to each call on a bucket that is as the ledger, and what it leaves behind: in one round trip."""
        with self.client.pipeline(transaction=False) as pipe:
            for clock_us, batch in calls:
                pipe.delete(key)
                pipe.hset(key, mapping=fields_of(ledger))
                pipe.evalsha(self._run.sha, 1, key, *_arguments(batch, clock_us))
                pipe.hgetall(key)
            replies = pipe.execute()
        answers = [msgspec.msgpack.decode(reply, type=Answer) for reply in replies[2::4]]
        return list(zip(answers, map(_text, replies[3::4]), strict=True))

    def stored(self, key: str) -> dict[str, str]:
        return _text(self.client.hgetall(key))

    def step(self, key: str, ledger: Ledger, batch: Batch, clock_us: int) -> tuple[Answer, dict[str, str]]:
        """The answer to one call on a bucket that is as the ledger, and what it leaves behind: in one round trip."""
        with self.client.pipeline(transaction=False) as pipe:
            pipe.delete(key)
            pipe.hset(key, mapping=fields_of(ledger))
            self._run(keys=[key], args=_arguments(batch, clock_us), client=pipe)
            pipe.hgetall(key)
            *_, reply, stored = pipe.execute()
        return msgspec.msgpack.decode(reply, type=Answer), _text(stored)


def _arguments(batch: Batch, clock_us: int) -> list[object]:
    return [msgspec.msgpack.encode(batch), clock_us // 1_000_000, clock_us % 1_000_000]


def _text(stored: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in stored.items()}


def fields_of(ledger: Ledger) -> dict[str, str]:
    """The hash that the script would have written."""
    fields = {"level": str(ledger.level), "as_of": str(ledger.as_of_us), "spare": str(ledger.spare_us)}
    fields["plan"] = f"{ledger.load} {ledger.amount} {ledger.period_us} {ledger.burst}"
    for node, record in ledger.nodes.items():
        fields[f"n:{node}"] = f"{record.held_milli} {record.expiry_us} {record.seq} {record.paid_milli}"
    return fields


@pytest.fixture(scope="module")
def script() -> Iterator[Script]:
    with redis_server() as server:
        yield Script(server)


plans = st.builds(
    lambda load, rate, burst: (load, parse_rate(rate), burst),
    st.integers(1, 3),
    st.sampled_from(["50/s", "5000/s", "10/min", "1/2s", "3/7s", "1/day"]),
    st.integers(1, 40),
)
milli = st.one_of(st.integers(0, 3_000), st.sampled_from([0, 1000, 10_000]))
asks = st.builds(
    lambda bucket, node, seq, left, back, refund, owed, paid, want, need: Ask(
        bucket, node, seq, left, back, refund, owed, min(owed, paid), want, need, TTL_US
    ),
    st.integers(0, 1),
    st.sampled_from(["n1", "n2", "n3"]),
    st.integers(1, 12),
    milli,
    milli,
    milli,
    st.one_of(milli, st.integers(0, 200_000)),
    milli,
    st.integers(0, 30),
    st.integers(0, 4),
)
takes = st.builds(
    lambda cost, positions: [cost, *positions],
    st.integers(0, 5_000),
    st.sampled_from([[0], [1], [0, 1], [1, 0]]),
)
elapsed_us = st.one_of(
    st.integers(0, 2_000),
    st.integers(0, 900_000),
    st.integers(-400_000, 0),
    st.integers(0, 120_000_000),
    st.sampled_from([-600_000_000, 600_000_000]),
)
seen = st.sampled_from(["never", "truly", "later", "earlier"])
steps = st.lists(
    st.tuples(elapsed_us, plans, seen, st.lists(asks, max_size=3), st.lists(takes, max_size=3)), min_size=1, max_size=12
)


@settings(max_examples=120, deadline=None, phases=[Phase.generate])  # shrinking through a server takes minutes
@given(steps=steps)
def test_the_script_and_its_twin_are_equal_step_by_step(script, steps):
    script.client.flushall()
    script.expires.clear()
    twin, now_us = Ledgers(), START_US
    known = [(0, 0, 0, 0), (0, 0, 0, 0)]
    for elapsed, (load, rate, burst), what, some_asks, some_takes in steps:
        now_us += elapsed
        ahead_us = 50_000 if what == "later" else 0
        hints = [
            (0, 0, 0, 0) if what == "never" or not at else (at + ahead_us, until + ahead_us, spare, level)
            for at, until, spare, level in known
        ]
        terms = [Terms(load, rate.amount, rate.period_us, burst, *hint) for hint in hints]
        batch = Batch(terms, some_asks, some_takes)
        ours, theirs = twin.run(KEYS, batch, now_us), script.run(KEYS, batch, now_us)
        assert theirs == ours
        for key in KEYS:
            ledger = twin.by_key[key]
            assert script.stored(key) == fields_of(ledger)
            assert ledger.level <= ledger.room
        if what != "earlier":
            known = [(state.as_of_us, state.expires_us, state.spare_us, state.level_milli) for state in ours.states]


def test_the_number_of_a_lease_outlives_it_by_a_minute_and_no_more(script):
    key, twin, slow = "gw:{A}:account::minute", Ledgers(), Terms(1, 1, 86_400_000_000, 5)
    ask = Ask(0, "n1", 7, 0, 0, 0, 0, 0, 1, 1, TTL_US)
    for elapsed_us, is_known in ((0, True), (TTL_US, True), (60_000_000 + TTL_US, True), (60_000_001 + TTL_US, False)):
        batch = Batch([slow], [] if elapsed_us else [ask], [])
        script.run([key], batch, START_US + elapsed_us)
        twin.run([key], batch, START_US + elapsed_us)
        assert ("n:n1" in script.stored(key)) is is_known
        assert script.stored(key) == fields_of(twin.by_key[key])


# -- exhaustively, for small buckets -----------------------------------------------------------------------------------


def small_actions(ledger: Ledger) -> Iterator[tuple[int, Batch]]:
    """(microseconds that pass first, batch): all that can happen to a bucket of one token per second and two nodes.

    Time goes back by less than the bucket takes to fill, and by more. Half a token's time has brought nothing since the
    node saw the bucket: the debts of `a` are paid out of it first; `b` has never seen it.
    """
    terms = [Terms(1, 1, 1_000_000, ledger.burst)]
    for elapsed in (0, 500_000, -500_000, -5_000_000):
        yield elapsed, Batch(terms, [], [[MILLI, 0]])
    for node in ("a", "b"):
        record = ledger.nodes.get(node)
        seq, held, paid = (record.seq, record.held_milli, record.paid_milli) if record else (0, 0, 0)
        for number, left, back, refund, debt, want, need in (
            (seq + 1, 0, 0, 0, 0, 2, 1),  # all spent, asks for more
            (seq + 1, held, 0, 0, 0, 2, 0),  # nothing spent, fetches ahead
            (seq + 1, 0, held, 0, 0, 0, 0),  # hands back
            (seq + 1, 0, 2000, 0, 0, 0, 0),  # hands back what is not on record
            (seq + 1, 0, 0, 1000, 0, 0, 0),  # refunds
            (seq + 1, held, 0, 0, 1000, 1, 0),  # has admitted one by itself
            (seq, 0, 0, 1000, 1000, 2, 1),  # an old number
        ):
            ask = Ask(0, node, number, left, back, refund, paid + debt, 0, want, need, TTL_US)
            seen = (ledger.as_of_us, ledger.as_of_us, ledger.spare_us - 500_000) if node == "a" else (0, 0, 0)
            yield 0, Batch([Terms(1, 1, 1_000_000, ledger.burst, *seen)], [ask], [])


def copy_of(ledgers: Ledgers) -> Ledgers:
    twin = Ledgers()
    twin.expires_us.update(ledgers.expires_us)
    for key, ledger in ledgers.by_key.items():
        twin.by_key[key] = copy(ledger)
        twin.by_key[key].nodes = {node: copy(record) for node, record in ledger.nodes.items()}
    return twin


def relative(ledger: Ledger, now_us: int) -> tuple[object, ...]:
    """The state up to a shift in time and in numbers."""
    nodes = sorted((node, each.held_milli, each.expiry_us - now_us) for node, each in ledger.nodes.items())
    return ledger.level, ledger.as_of_us - now_us, ledger.burst, tuple(nodes)


@pytest.mark.parametrize("burst", [1, 2])
def test_they_are_equal_in_every_state_of_a_small_bucket_to_depth_seven(script, burst):
    key = "gw:{A}:account::small"
    start = Ledgers()
    start.run([key], Batch([Terms(1, 1, 1_000_000, burst)], [], []), START_US)
    seen_states, frontier = set(), [(start, START_US)]
    for _ in range(7):
        reached = []
        for ledgers, now_us in frontier:
            before, expires_us = ledgers.by_key[key], ledgers.expires_us[key]
            calls = [(now_us + elapsed, batch) for elapsed, batch in small_actions(before)]
            calls = [(at_us, batch) for at_us, batch in calls if at_us < expires_us]  # else all begins anew
            for (at_us, batch), theirs in zip(calls, script.steps(key, before, calls), strict=True):
                twin = copy_of(ledgers)
                ours = twin.run([key], batch, at_us)
                after = twin.by_key[key]
                assert theirs == (ours, fields_of(after))
                assert after.level <= after.room  # I1
                assert after.as_of_us <= at_us + after.fills_us
                state = relative(after, at_us)
                if state not in seen_states:
                    seen_states.add(state)
                    reached.append((twin, at_us))
        frontier = reached
    assert len(seen_states) > 50


# -- what the script alone does ----------------------------------------------------------------------------------------


def test_a_key_never_lives_for_ever_and_never_dies_at_once(script):
    """A TTL that rounds to 0 would delete the bucket with every call, and so stop limiting when burst/rate is small."""
    client = script.client
    real = client.register_script(script_text())
    for rate, burst in [("5000/s", 1), ("5000/s", 100), ("1/s", 1), ("1/day", 3)]:
        key = f"gw:{{T}}:account::{rate}-{burst}"
        parsed = parse_rate(rate)
        batch = Batch([Terms(1, parsed.amount, parsed.period_us, burst)], [], [[MILLI, 0]])
        answer = msgspec.msgpack.decode(real(keys=[key], args=[msgspec.msgpack.encode(batch)]), type=Answer)
        ttl_ms = (answer.states[0].expires_us - answer.clock_us) / 1000
        full_ms = parsed.period_us / parsed.amount / 1000
        assert full_ms + 1 <= ttl_ms <= full_ms + 3
        if full_ms >= 1000:  # the others may be gone before they can be asked
            assert ttl_ms - 900 < client.pttl(key) <= ttl_ms


def test_a_key_lives_as_long_as_under_the_widest_plan_it_has_had_and_no_longer_than_a_clock_put_right_allows(script):
    client = script.client
    real, key = client.register_script(script_text()), "gw:{T}:account::lives"

    def call(load: int, burst: int, *takes: list[int]) -> BucketState:
        batch = Batch([Terms(load, 1, 100_000, burst)], [], list(takes))
        return msgspec.msgpack.decode(real(keys=[key], args=[msgspec.msgpack.encode(batch)]), type=Answer).states[0]

    call(1, 200, [200 * MILLI, 0])
    assert 19_000 < client.pttl(key) <= 20_001
    call(2, 10)
    assert 18_000 < client.pttl(key) <= 20_001
    client.hset(key, "as_of", (client.time()[0] + 600) * 1_000_000)
    client.pexpire(key, 600_000)
    assert call(2, 10).pulled_us > 590_000_000
    assert client.pttl(key) <= 2_002
    client.hset(key, "as_of", (client.time()[0] + 600) * 1_000_000)
    client.persist(key)
    call(2, 10)
    assert 0 < client.pttl(key) <= 2_002


def test_a_bucket_with_four_leases_takes_less_than_400_bytes(script):
    client = script.client
    real = client.register_script(script_text())
    key = "gw:{ACCOUNT-12}:account::orders"
    rate = parse_rate("2000/s")
    asks = [Ask(0, f"{node:08x}", 1_000_000 + node, 0, 0, 0, 0, 0, 100, 1, TTL_US) for node in range(4)]
    real(keys=[key], args=[msgspec.msgpack.encode(Batch([Terms(42, rate.amount, rate.period_us, 4000)], asks, []))])
    assert client.memory_usage(key) <= 400
