"""The embedded core keeps the contract of `MatchingCore`."""

from collections.abc import Sequence

import pytest

from gateway.core.embedded import EmbeddedCore
from gateway.core.matching import MatchingCore
from protocols.errors import LocalProtocolError
from protocols.messages import AnyCommand, AnyEvent
from tests.support.venue import Venue, told


class Sink:
    """Keeps each batch of events as words."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, events: Sequence[AnyEvent], now_ns: int) -> None:
        self.batches.append([told(event) for event in events])


@pytest.fixture
def venue() -> Venue:
    return Venue()


@pytest.fixture
def core(venue: Venue) -> EmbeddedCore:
    return EmbeddedCore(venue.engine, 4, lambda *_: None, pytest.fail)


def commands(venue: Venue, *lines: str) -> list[AnyCommand]:
    return [venue.command(line) for line in lines]


def test_one_ticks_commands_are_answered_in_order_with_one_call(venue: Venue, core: EmbeddedCore) -> None:
    sink, road_sees = Sink(), core
    core.subscribe(sink)
    contract: MatchingCore = road_sees
    contract.submit(commands(venue, "alice new a1 buy 5 @ 100", "bob new b1 sell 5 @ 100"), now_ns=7)
    assert sink.batches == [
        [
            "alice 1 new a1: new 5@100 0/5",
            "bob 1 new b1: new 5@100 0/5",
            "bob 2 trade b1: filled 5@100 5/0 t1 5@100 taker",
            "alice 2 trade a1: filled 5@100 5/0 t1 5@100 maker",
        ]
    ]
    assert (contract.latest_seq(1), contract.latest_seq(2), contract.latest_seq(3)) == (2, 2, 0)
    assert (contract.epoch, contract.credit) == ("e-1", 4)


def test_repeated_commands_are_not_reported_at_all(venue: Venue, core: EmbeddedCore) -> None:
    sink = Sink()
    core.subscribe(sink)
    batch = commands(venue, "alice new a1 buy 5 @ 100")
    core.submit(batch, now_ns=1)
    core.submit(batch, now_ns=2)
    core.submit([], now_ns=3)
    assert len(sink.batches) == 1


def test_more_commands_than_credit_are_refused_whole(venue: Venue, core: EmbeddedCore) -> None:
    core.subscribe(Sink())
    before = core.engine.digest()
    with pytest.raises(LocalProtocolError):
        core.submit(commands(venue, *(f"alice new a{n} buy 1 @ 100" for n in range(5))), now_ns=1)
    assert core.engine.digest() == before


def test_nothing_is_executed_before_someone_listens(venue: Venue, core: EmbeddedCore) -> None:
    before = core.engine.digest()
    with pytest.raises(LocalProtocolError):
        core.submit(commands(venue, "alice new a1 buy 1 @ 100"), now_ns=1)
    assert core.engine.digest() == before


def test_from_inside_the_sink_there_is_no_credit_so_no_event_can_overtake(venue: Venue, core: EmbeddedCore) -> None:
    inside: list[int] = []

    def sink(events: Sequence[AnyEvent], now_ns: int) -> None:
        inside.append(core.credit)
        with pytest.raises(LocalProtocolError):
            core.submit(commands(venue, "alice new a2 buy 1 @ 100"), now_ns=2)

    core.subscribe(sink)
    core.submit(commands(venue, "alice new a1 buy 1 @ 100"), now_ns=1)
    assert (inside, core.credit) == ([0], 4)


@pytest.mark.parametrize("where", ["the records", "the engine", "the sink"])
def test_whatever_fails_while_commands_are_executed_is_reported_and_no_more_are_taken(venue: Venue, where: str) -> None:
    """A core in an unknown state answers nothing more: `fail` ends the process."""
    failures: list[Exception] = []

    def fail(*_: object) -> None:
        raise MemoryError

    core = EmbeddedCore(venue.engine, 4, fail if where == "the records" else lambda *_: None, failures.append)
    if where == "the engine":
        venue.engine.execute_all = fail  # type: ignore[method-assign, assignment]
    core.subscribe(fail if where == "the sink" else lambda *_: None)
    with pytest.raises(MemoryError):
        core.submit(commands(venue, "alice new a1 buy 1 @ 100"), now_ns=1)
    assert [type(each) for each in failures] == [MemoryError]
    assert core.credit == 0
    with pytest.raises(LocalProtocolError):
        core.submit(commands(venue, "alice new a2 buy 1 @ 100"), now_ns=2)
    assert len(failures) == 1
