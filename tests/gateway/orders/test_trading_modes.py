"""Modes of the road: what bars whom, and what each session is told of it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.orders.trading_modes import STRICTNESS, ModeChange, Modes, session_name

NOW = 1_795_000_000_000_000_000
SECOND = 1_000_000_000
VENUE = ModeChange("venue", "", "cancel_only", "opening", "ops", NOW)
ACME = ModeChange("account", "ACME", "cancel_only", "runaway algorithm", "ops", NOW)
DESK = ModeChange("session", "ACME/MM1", "halted", "its own wish", "ops", NOW)
BTC = ModeChange("instrument", "BTC-USDT", "halted", "index is stale", "ops", NOW, instrument=7)


def modes(*changes):
    found = Modes()
    for change in changes:
        found = found.apply(change)
    return found


def barred(found, account="ACME", session="MM1", instrument=7):
    refusal = found.refusal(account, session, instrument)
    return None if refusal is None else (refusal.code, refusal.text)


def test_nothing_is_barred_while_it_is_quiet():
    assert not Modes().in_force
    assert barred(Modes()) is None
    assert Modes().next_expiry_ns is None


@pytest.mark.parametrize(
    ("change", "answer", "others"),
    [
        (VENUE, (4011, "the venue takes cancels only: opening"), []),
        (ACME, (4011, "account ACME takes cancels only: runaway algorithm"), [("BETA", "MM1", 7)]),
        (DESK, (4010, "session MM1 is halted: its own wish"), [("ACME", "MM2", 7), ("BETA", "MM1", 7)]),
        (BTC, (4010, "BTC-USDT is halted: index is stale"), [("ACME", "MM1", 8)]),
    ],
    ids=lambda value: getattr(value, "scope", None),
)
def test_a_mode_bars_its_scope_with_its_reason_and_nobody_else(change, answer, others):
    found = modes(change)
    assert found.in_force
    assert barred(found) == answer
    assert [barred(found, *other) for other in others] == [None] * len(others)


def test_the_strictest_mode_counts_and_among_equals_the_widest_scope_is_named():
    assert barred(modes(VENUE, ACME, DESK))[0] == 4010
    assert barred(modes(ACME, VENUE))[1].startswith("the venue")
    assert barred(modes(BTC, DESK))[1].startswith("session MM1")


def test_a_second_change_of_a_place_replaces_the_first_and_normal_takes_it_away():
    halted = msgspec.structs.replace(ACME, mode="halted", reason="worse")
    assert barred(modes(ACME, halted)) == (4010, "account ACME is halted: worse")
    assert modes(ACME, BTC, msgspec.structs.replace(ACME, mode="normal")) == modes(BTC)


def test_an_older_snapshot_is_not_changed_by_a_newer_one():
    older = modes(ACME)
    older.apply(BTC)
    assert older == modes(ACME)


def test_a_mode_set_for_a_time_ends_at_its_time_and_not_a_nanosecond_earlier():
    short = msgspec.structs.replace(ACME, ttl_s=5)
    found = modes(short, BTC)
    assert found.next_expiry_ns == NOW + 5 * SECOND
    assert found.expire(NOW + 5 * SECOND - 1) is found
    assert found.expire(NOW + 5 * SECOND) == modes(BTC)
    assert modes(BTC).next_expiry_ns is None


def test_places_are_counted_by_mode_for_the_metric():
    assert modes(VENUE, ACME, BTC).counts == {"cancel_only": 2, "halted": 1}
    assert Modes().counts == {"cancel_only": 0, "halted": 0}


def told(after, before=None, account="ACME", session="MM1"):
    states = after.news(before or Modes(), account, 3, session, NOW)
    return [(state.state, state.account, state.instrument, state.text) for state in states]


def test_sessions_are_told_what_changed_for_them_and_only_that():
    assert told(modes(ACME)) == [("cancel_only", 3, 0, "account ACME takes cancels only: runaway algorithm")]
    assert told(modes(ACME), account="BETA") == []
    assert told(modes(DESK), session="MM2") == []
    assert told(modes(VENUE)) == [("cancel_only", 0, 0, "the venue takes cancels only: opening")]
    assert told(Modes(), before=modes(ACME)) == [("normal", 3, 0, "account ACME takes orders again")]


def test_a_wider_mode_that_changes_nothing_for_a_session_is_no_news():
    assert told(modes(DESK, VENUE), before=modes(DESK)) == []
    assert told(modes(VENUE), before=modes(DESK, VENUE)) == [
        ("cancel_only", 0, 0, "the venue takes cancels only: opening")
    ]


def test_the_state_of_an_instrument_is_news_for_everybody_and_is_told_apart_from_the_venues():
    (state,) = modes(BTC, VENUE).market_news(modes(VENUE), NOW)
    assert (state.state, state.instrument, state.text) == ("halted", 7, "BTC-USDT is halted: index is stale")
    assert (state.account, state.seq, state.t_core) == (0, 0, NOW)
    (state,) = Modes().market_news(modes(BTC), NOW)
    assert (state.state, state.instrument, state.text) == ("normal", 7, "BTC-USDT takes orders again")
    assert modes(BTC).market_news(modes(BTC), NOW) == []


_accounts, _sessions, _symbols = ("ACME", "BETA"), ("MM1", "MM2"), {1: "BTC", 2: "ETH"}


@st.composite
def _changes(draw):
    scope = draw(st.sampled_from(("venue", "account", "session", "instrument")))
    instrument = draw(st.sampled_from(list(_symbols))) if scope == "instrument" else 0
    name = {
        "venue": st.just(""),
        "account": st.sampled_from(_accounts),
        "session": st.builds(session_name, st.sampled_from(_accounts), st.sampled_from(_sessions)),
        "instrument": st.just(_symbols.get(instrument)),
    }[scope]
    mode = draw(st.sampled_from(list(STRICTNESS)))
    return ModeChange(scope, draw(name), mode, "why", "ops", NOW, draw(st.integers(0, 3)), instrument)


@given(st.lists(st.one_of(_changes(), st.integers(1, 2)), max_size=12))
def test_a_client_that_believes_its_notices_knows_at_every_moment_whether_its_orders_are_barred(steps):
    """It keeps one state for all and one for each instrument, and takes the stricter."""
    found, now = Modes(), NOW
    believed = {(account, session): {} for account in _accounts for session in _sessions}
    for step in steps:
        now += step * SECOND if isinstance(step, int) else 0
        after = found.expire(now) if isinstance(step, int) else found.apply(step)
        for (account, session), states in believed.items():
            for state in (*after.news(found, account, 1, session, now), *after.market_news(found, now)):
                states[state.instrument] = state.state
        found = after
        for (account, session), states in believed.items():
            for instrument in _symbols:
                strictest = max(states.get(0, "normal"), states.get(instrument, "normal"), key=STRICTNESS.__getitem__)
                code = {"normal": None, "cancel_only": 4011, "halted": 4010}[strictest]
                answer = found.refusal(account, session, instrument)
                assert (None if answer is None else answer.code) == code
