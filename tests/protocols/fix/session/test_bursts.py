"""A burst of output, or a slow reader: messages wait in the store, and the session does not end for it.

Module: fix.session.output.
"""

import pytest

from protocols.fix.session.settings import SessionState
from protocols.fix.session.store import MemoryStore
from tests.support.dialogue import Dialogue
from tests.support.fix_text import pipes

TEXT = "58=" + "x" * 200
READY_BYTES = 65_536


@pytest.fixture(params=["FIX.4.2", "FIX.4.4", "FIXT.1.1"])
def stage(request: pytest.FixtureRequest) -> Dialogue:
    """Logged on, both sides at number 2."""
    stage = Dialogue(request.param)
    stage.log_on()
    return stage


def burst(stage: Dialogue, count: int) -> list[int]:
    """Send `count` reports in one turn; returns their numbers."""
    return [stage.session.send("8", f"37={n}\x01{TEXT}\x01", stage.now_ns) for n in range(count)]


def number_of(line: str) -> int:
    return int(line.partition("|34=")[2].partition("|")[0])


def wire(data: bytes) -> list[tuple[str, int, int]]:
    """Each message: its type, its number, and the number that has to follow it."""
    read = []
    for line in pipes(data):
        fields = dict(field.split("=", 1) for field in line.strip("|").split("|"))
        assert "43" not in fields, "nothing of a burst is sent again"
        number = int(fields["34"])
        read.append((fields["35"], number, int(fields.get("36", number + 1))))
    return read


def sent_without_a_gap(seen: list[tuple[str, int, int]], first: int) -> None:
    expected = first
    for _, number, following in seen:
        assert number == expected
        expected = following


def test_a_burst_is_ready_up_to_a_bound_and_the_rest_is_read_from_the_store_as_the_peer_takes_it(
    stage: Dialogue,
) -> None:
    reports = burst(stage, 3_000)
    assert READY_BYTES <= stage.session.pending_bytes < READY_BYTES + 400
    assert stage.session.behind >= 2_700
    seen, most = [], 0
    while stage.session.has_output:
        if stage.session.must_read:
            assert stage.session.take_ready(1 << 20) == b""
            assert 0 < stage.session.read_on(stage.now_ns) <= 100
        most = max(most, stage.session.pending_bytes)
        seen += wire(stage.session.take_ready(READY_BYTES))
    assert most < READY_BYTES + 400
    assert stage.session.behind == 0
    sent_without_a_gap(seen, reports[0])
    assert [number for kind, number, _ in seen if kind == "8"] == reports
    assert {kind for kind, _, _ in seen} == {"8", "4"}
    burst(stage, 1)
    sent_without_a_gap(wire(stage.output()), seen[-1][2])


def test_what_fits_reserves_no_number_for_a_logout(stage: Dialogue) -> None:
    reports = burst(stage, 200)
    assert reports == list(range(2, 202))
    assert [kind for kind, _, _ in wire(stage.output())] == ["8"] * 200


@pytest.mark.parametrize("taken", [0, 1, 100, 2_000, 2_950])
def test_a_logout_follows_what_was_written_with_no_gap_and_the_next_logon_gets_the_rest(
    stage: Dialogue, taken: int
) -> None:
    reports = burst(stage, 3_000)
    stage.hears("35=1|34=2|112=behind the burst")
    seen: list[tuple[str, int, int]] = []
    while len(seen) < taken:
        seen += wire(stage.session.take_output(1_000, stage.now_ns))
    before = len(seen)
    stage.session.terminate(stage.now_ns, "too slow to read")
    assert stage.session.behind <= 65
    while stage.session.has_output:
        if stage.session.must_read:
            stage.session.read_on(stage.now_ns)
        seen += wire(stage.session.take_ready(READY_BYTES))
    assert len(seen) - before <= READY_BYTES // 250 + 66, "a bounded rest, so that the Logout comes soon"
    sent_without_a_gap(seen, reports[0])
    assert seen[-1][0] == "5"
    stage.session.disconnected(stage.now_ns)
    stage.connect()
    stage.hears(f"35=A|34=3|98=0|108=30{stage.appl_ver_id}", f"35=2|34=4|7={seen[-1][2]}|16=0")
    again = [line for line in pipes(stage.output()) if line.startswith("35=8|")]
    assert [number_of(line) for line in again] == [number for number in reports if number > seen[-1][1]]
    assert all("|43=Y|" in line for line in again)


def test_a_logout_that_waits_after_a_burst_is_put_before_it_when_the_peer_takes_nothing(stage: Dialogue) -> None:
    reports = burst(stage, 3_000)
    stage.session.logout(stage.now_ns, "the gateway is going down")
    assert stage.session.state is SessionState.LOGOUT_SENT
    stage.session.terminate(stage.now_ns, "too slow to read")
    seen = wire(stage.output())
    sent_without_a_gap(seen, reports[0])
    assert [kind for kind, _, _ in seen].count("5") == 1
    assert seen[-1][0] == "5"
    assert len(seen) < 400


def test_a_logout_of_an_orderly_end_comes_after_the_whole_burst(stage: Dialogue) -> None:
    reports = burst(stage, 3_000)
    stage.session.logout(stage.now_ns, "the gateway is going down")
    seen = wire(stage.output())
    sent_without_a_gap(seen, reports[0])
    assert [number for kind, number, _ in seen if kind == "8"] == reports
    assert seen[-1][0] == "5"


def test_a_peer_that_requested_a_replay_is_not_behind_while_it_is_written(stage: Dialogue) -> None:
    for _ in range(40):
        burst(stage, 100)
        stage.output()
    stage.hears("35=2|34=2|7=1|16=0")
    burst(stage, 500)
    assert stage.is_replaying
    assert stage.session.behind == 0
    while stage.session.behind == 0:
        stage.session.take_output(10_000, stage.now_ns)
    assert stage.session.behind == 500 + 7
    stage.output()
    assert stage.session.behind == 0


def test_a_reserved_number_that_was_not_used_is_gap_filled_when_it_is_requested() -> None:
    store = MemoryStore()
    stage = Dialogue(store=store)
    stage.log_on()
    reports = burst(stage, 1_000)
    stage.output()
    left = sorted(set(range(2, store.next_out)) - set(reports))
    assert len(left) > 5
    stage.hears("35=2|34=2|7=2|16=0")
    fills = [line for line in pipes(stage.output()) if line.startswith("35=4|")]
    assert [number_of(line) for line in fills] == left
    assert all("|43=Y|" in line and line.endswith("|123=Y") for line in fills)
