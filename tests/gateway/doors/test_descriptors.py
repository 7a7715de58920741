"""The journal's and the operators' descriptors come first, whatever the limit; an operator is told what mends it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.doors.crowd import Crowd
from gateway.doors.descriptors import OWN, Descriptors, TooFewDescriptors, share_out

KEPT = OWN + 32 + 3 * Crowd.SLACK


class TwoDoors:
    def __init__(self, fix: int = 1_000, ws: int = 1_000) -> None:
        self.doors = {"fix": Crowd(fix), "ws": Crowd(ws)}
        self.segments = 5
        self.lines: list[dict[str, object]] = []
        self.descriptors = Descriptors(
            self.doors, 32, lambda: self.segments, 258, lambda event, **fields: self.lines.append(fields)
        )

    @property
    def places(self) -> tuple[int, int]:
        return self.doors["fix"].places, self.doors["ws"].places


def test_where_there_is_room_each_door_has_what_it_is_configured_for() -> None:
    both = TwoDoors()
    both.descriptors.start(KEPT + 258 + 2_000)
    both.segments = 258
    both.descriptors.look()
    assert both.places == (1_000, 1_000)
    assert both.lines == []


def test_where_there_is_not_they_share_what_is_left_and_one_line_says_what_to_do() -> None:
    both = TwoDoors(fix=3_000)
    both.descriptors.start(KEPT + 5 + 400)
    both.descriptors.look()
    assert both.places == (300, 100)
    (line,) = both.lines
    assert line["connections"] == {"fix": 300, "ws": 100}
    assert f"`ulimit -n {KEPT + 258 + 4_000}`" in str(line["mend"])
    assert "max_connections" in str(line["mend"])


def test_as_the_journal_grows_the_doors_have_fewer_places_and_strangers_go() -> None:
    both = TwoDoors()
    both.descriptors.start(KEPT + 5 + 60)
    assert both.places == (30, 30)
    gone: list[int] = []
    for number in range(30):
        guest = type("Guest", (), {"crowd_out": lambda _, number=number: gone.append(number)})()
        assert both.doors["fix"].admit(f"a{number}")
        both.doors["fix"].enter(guest, f"a{number}")
    both.segments = 25
    both.descriptors.look()
    assert both.places == (20, 20)
    assert gone == list(range(10))
    both.segments = 5
    both.descriptors.look()
    assert both.places == (30, 30)


def test_a_limit_without_room_to_speak_of_stops_the_start() -> None:
    TwoDoors().descriptors.start(KEPT + 5 + 32)
    with pytest.raises(TooFewDescriptors, match=f"the limit of open files is {KEPT + 36}, and {KEPT + 5} are kept"):
        TwoDoors().descriptors.start(KEPT + 36)


@given(st.integers(-100, 3_000), st.integers(1, 1_500), st.integers(1, 1_500))
def test_no_more_is_given_out_than_there_is_and_no_door_gets_more_than_it_wants(room: int, fix: int, ws: int) -> None:
    shares = share_out(room, {"fix": fix, "ws": ws})
    assert 0 <= shares["fix"] <= fix
    assert 0 <= shares["ws"] <= ws
    assert sum(shares.values()) <= max(room, 0)
    assert sum(shares.values()) >= min(room, fix + ws) - 1
