"""How output leaves: in order, in slices, and with little memory while a replay runs. Module: fix.session.output."""

import tracemalloc
from collections.abc import Iterator

import pytest

from protocols.errors import LocalProtocolError
from protocols.fix.events import ResendServed
from protocols.fix.session.output import Output
from protocols.fix.session.settings import SessionSettings
from protocols.fix.session.store import Intake, MemoryStore
from protocols.wall import WallClock
from tests.support.dialogue import START_NS, Dialogue, is_replaying
from tests.support.fix_text import fix, pipes


@pytest.fixture
def stage() -> Dialogue:
    dialogue = Dialogue()
    dialogue.log_on()
    return dialogue


def report(stage: Dialogue, n: int) -> int:
    return stage.session.send("8", f"37={n}\x01", stage.now_ns)


def numbers(output: bytes) -> list[tuple[str, int]]:
    """(MsgType, MsgSeqNum) of each message."""
    rows = [dict(field.partition("=")[::2] for field in line.split("|")) for line in pipes(output)]
    return [(row["35"] + ("*" if row.get("43") == "Y" else ""), int(row["34"])) for row in rows]


def test_send_numbers_stores_and_queues(stage: Dialogue) -> None:
    assert report(stage, 1) == 2
    assert report(stage, 2) == 3
    stored = [message for _, message in stage.session.store.read(1, 9)]
    assert stage.session.pending_bytes == sum(map(len, stored))
    stage.says("35=8|34=2|37=1", "35=8|34=3|37=2")
    assert stage.session.pending_bytes == 0


@pytest.mark.parametrize(("msg_type", "body"), [("0", ""), ("A", "98=0\x01"), ("8", "37=1")])
def test_send_refuses_session_messages_and_bodies_without_an_end(stage: Dialogue, msg_type: str, body: str) -> None:
    with pytest.raises(LocalProtocolError):
        stage.session.send(msg_type, body, stage.now_ns)
    assert stage.numbers == (2, 2)


def test_send_takes_any_text_and_replaces_what_latin_1_cannot_say(stage: Dialogue) -> None:
    stage.session.send("8", "58=pénstock 水\x01", stage.now_ns)
    assert "58=pénstock ?" in pipes(stage.output())[0]


def test_output_comes_in_whole_messages_of_about_the_limit(stage: Dialogue) -> None:
    for n in range(10):
        report(stage, n)
    size = stage.session.pending_bytes // 10
    assert len(numbers(stage.session.take_output(3 * size + 5))) == 3
    assert len(numbers(stage.session.take_output(1))) == 1, "one message is whole, however small the limit"
    assert len(numbers(stage.session.take_output())) == 6
    assert stage.session.take_output() == b""


def test_nothing_overtakes_a_replay(stage: Dialogue) -> None:
    for n in (2, 3):
        report(stage, n)
    stage.output()
    stage.hears("35=2|34=2|7=2|16=3")
    report(stage, 4)
    stage.hears("35=1|34=3|112=x")
    report(stage, 6)
    assert numbers(stage.output()) == [("8*", 2), ("8*", 3), ("8", 4), ("0", 5), ("8", 6)]


def test_live_messages_that_wait_after_a_replay_are_the_bytes_that_were_stored(stage: Dialogue) -> None:
    report(stage, 2)
    stage.output()
    stage.hears("35=2|34=2|7=2|16=0")
    report(stage, 3)
    stage.now_ns += 1_000_000_000
    report(stage, 4)
    assert stage.is_replaying
    assert stage.session.pending_bytes == 0, "they wait in the store, not in memory"
    stored = [message for _, message in stage.session.store.read(3, 4)]
    assert stage.output().endswith(b"".join(stored))
    assert not stage.is_replaying


def test_live_messages_that_the_store_dropped_meanwhile_are_filled_over() -> None:
    stage = Dialogue(store=MemoryStore(max_messages=3))
    stage.log_on()
    report(stage, 2)
    stage.output()
    stage.hears("35=2|34=2|7=2|16=0")
    for n in range(3, 9):
        report(stage, n)
    output = stage.output()
    assert numbers(output) == [("4*", 2), ("4", 3), ("8", 6), ("8", 7), ("8", 8)]
    assert "36=3" in pipes(output)[0]
    assert "36=6" in pipes(output)[1]


def test_an_identical_request_while_its_replay_runs_is_served_to_the_end_and_then_from_the_begin(
    stage: Dialogue,
) -> None:
    for n in range(2, 12):
        report(stage, n)
    stage.output()
    assert stage.hears("35=2|34=2|7=2|16=11", "35=2|34=3|7=2|16=11") == [ResendServed(2, 11)] * 2
    first = stage.session.take_output(200)
    written = numbers(first)[-1][1]
    stage.hears(*[f"35=2|34={n}|7=2|16=11" for n in range(4, 9)])
    served = numbers(first + stage.output())
    assert served == [("8*", n) for n in [*range(2, 12), *range(2, written + 1)]]


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_range_requested_in_many_pieces_at_once_comes_whole_and_once(stage: Dialogue, size: int) -> None:
    for n in range(2, 1_002):
        report(stage, n)
        stage.output()
    pieces = range(2, 1_002, size)
    stage.hears(*[f"35=2|34={k}|7={n}|16={min(n + size - 1, 1_001)}" for k, n in enumerate(pieces, 2)])
    assert stage.session.is_logged_on
    assert numbers(stage.output()) == [("8*", n) for n in range(2, 1_002)]


def test_pieces_that_are_requested_backwards_come_in_order(stage: Dialogue) -> None:
    for n in range(2, 42):
        report(stage, n)
    stage.output()
    stage.hears(*[f"35=2|34={k}|7={n}|16={n}" for k, n in enumerate(range(41, 1, -1), 2)])
    assert numbers(stage.output()) == [("8*", n) for n in range(2, 42)]


def test_numbers_far_apart_come_with_what_lies_between_when_they_are_too_many(stage: Dialogue) -> None:
    for n in range(2, 502):
        report(stage, n)
    stage.output()
    asked = list(range(2, 502, 3))
    stage.hears(*[f"35=2|34={k}|7={n}|16={n}" for k, n in enumerate(asked, 2)])
    served = [n for _, n in numbers(stage.output())]
    assert set(asked) <= set(served)
    assert served == sorted(set(served))


def test_what_waits_for_its_first_sending_is_not_sent_again_before(stage: Dialogue) -> None:
    for n in (2, 3):
        report(stage, n)
    stage.output()
    stage.hears("35=2|34=2|7=2|16=3")
    report(stage, 4)
    stage.hears("35=1|34=3|112=x", "35=2|34=4|7=2|16=0", "35=2|34=5|7=4|16=5")
    report(stage, 6)
    assert numbers(stage.output()) == [("8*", 2), ("8*", 3), ("8", 4), ("0", 5), ("8", 6)]


def test_a_logout_that_ends_a_replay_leaves_none_for_the_next_connection(stage: Dialogue) -> None:
    for n in range(2, 30):
        report(stage, n)
    stage.output()
    stage.hears(*[f"35=2|34={n}|7={n}|16=29" for n in range(2, 20)])
    stage.session.terminate(stage.now_ns, "over")
    assert not stage.is_replaying
    assert [kind for kind, _ in numbers(stage.output())] == ["5"]
    stage.session.disconnected(stage.now_ns)
    stage.log_on(seq_num=20)
    stage.hears(*[f"35=2|34={n}|7={n}|16=29" for n in range(21, 30)])
    assert [row for row in numbers(stage.output()) if row[0] == "8*"] == [("8*", n) for n in range(21, 30)]


def test_a_request_inside_one_that_waits_is_served_by_it(stage: Dialogue) -> None:
    for n in range(2, 12):
        report(stage, n)
    stage.output()
    stage.hears("35=2|34=2|7=2|16=11", "35=2|34=3|7=5|16=7", "35=2|34=4|7=2|16=0")
    assert numbers(stage.output()) == [("8*", n) for n in range(2, 12)]


def test_a_replay_in_small_slices_is_the_same_as_in_one(stage: Dialogue) -> None:
    for n in range(2, 600):
        if n % 7 < 3:
            stage.hears(f"35=1|34={stage.numbers[0]}|112=x")
        else:
            report(stage, n)
    stage.output()
    request = "35=2|34={}|7=1|16=0"
    stage.hears(request.format(stage.numbers[0]))
    whole = stage.session.take_output(10_000_000, stage.now_ns)
    stage.hears(request.format(stage.numbers[0]))
    slices = []
    while stage.session.has_output:
        slices.append(stage.session.take_output(100, stage.now_ns))
    assert all(slices)
    assert max(map(len, slices)) < 400
    assert b"".join(slices) == whole


def test_a_long_run_without_messages_is_filled_over_in_steps_that_bound_the_work(stage: Dialogue) -> None:
    stage.session.store.next_out = 200_000
    stage.hears("35=2|34=2|7=1|16=0")
    fills = pipes(stage.output())
    assert [line.partition("36=")[2] for line in fills] == [
        "65537|123=Y",
        "131073|123=Y",
        "196609|123=Y",
        "200000|123=Y",
    ]


def test_a_replay_has_the_time_it_is_written_at(stage: Dialogue) -> None:
    report(stage, 2)
    stage.output()
    stage.hears("35=2|34=2|7=2|16=0")
    stage.now_ns += 3_000_000_000
    stage.says("35=8|34=2|43=Y|122=20261122-12:00:00.000|37=2")


def test_a_reset_forgets_a_replay_of_the_old_numbers(stage: Dialogue) -> None:
    report(stage, 2)
    stage.output()
    stage.hears("35=2|34=2|7=1|16=0", "35=A|34=1|98=0|108=30|141=Y")
    stage.says("35=A|34=1|98=0|108=30|141=Y")


class _LongStore:
    """A store with a million messages that exist only when they are read."""

    next_in = 1
    next_out = 1_000_001

    def __init__(self) -> None:
        self.intake = Intake()
        self.largest_read = 0

    def put(self, seq_num: int, message: bytes) -> None: ...

    def reset(self) -> None: ...

    def read(self, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
        self.largest_read = max(self.largest_read, end - begin + 1)
        for n in range(begin, end + 1):
            yield n, fix(f"35=8|34={n}|49=GATE|52=20261122-12:00:00.000|56=MM1|37=x")


def test_a_replay_of_a_million_messages_needs_the_memory_of_a_slice() -> None:
    store = _LongStore()
    stage = Dialogue(store=store)
    stage.log_on()
    stage.hears("35=2|34=2|7=1|16=0")
    tracemalloc.start()
    for _ in range(20):
        assert 65_536 <= len(stage.session.take_output(65_536, stage.now_ns)) < 66_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert store.largest_read <= 256
    assert stage.session.has_output


@pytest.mark.parametrize("forget", ["truncate", "clear", "forget_ranges"])
def test_a_replay_that_is_given_up_is_not_taken_for_one_that_still_runs(forget: str) -> None:
    settings = SessionSettings(begin_string="FIX.4.4", sender_comp_id="GATE", target_comp_id="MM1")
    output = Output(settings, MemoryStore(), WallClock())
    for n in range(1, 6):
        output.send_stored("8", f"37={n}\x01", START_NS, live=False)
    output.replay(1, 5)
    getattr(output, forget)()
    assert not is_replaying(output)
    assert output.take(65_536, START_NS) == b""
    output.replay(2, 3)
    assert is_replaying(output)
    assert numbers(output.take(65_536, START_NS)) == [("8*", 2), ("8*", 3)]
    assert not is_replaying(output)
