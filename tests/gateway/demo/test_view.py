"""What the demo shows: the figures it gets, on a terminal and as plain lines, and nothing else with --json."""

import io

import pytest
from msgspec import structs
from rich.console import Console

from gateway.demo.ledger import Verdict
from gateway.demo.simulate import DoorStats
from gateway.demo.view import Lines, Moment, NodeState, Queue, Screen, View

URLS = {
    "FIX": "tcp://127.0.0.1:1",
    "WS": "ws://127.0.0.1:2/v1/ws",
    "metrics": "http://h/metrics",
    "ready": "http://h/readyz",
}
MOMENT = Moment(
    6.5,
    {
        "fix": DoorStats(2_345, 2_100, 190, 210, 1_790, {2003: 12, 3001: 240}, 3, 310.0, 2_890.0),
        "ws": DoorStats(3_012, 2_800, 2_500, 1_400, 1_888, {3001: 181}, 12, 420.0, 13_340.0),
    },
    {"fix": 233.0, "ws": 311.0},
    Queue(3, 41, 8_192),
)


def screen(verdict: Verdict | None = None, width: int = 100) -> str:
    """The table as text."""
    console = Console(file=io.StringIO(), width=width)
    view = Screen(console)
    view.started(URLS, 10)
    view.show(MOMENT)
    if verdict is not None:
        view.draining()
        view.ended(MOMENT, verdict)
    else:
        console.print(view.render(MOMENT))
    out = console.file
    assert isinstance(out, io.StringIO)
    return out.getvalue()


def row(text: str, name: str) -> list[str]:
    """The words of the line that has `name`."""
    return next(line for line in text.splitlines() if name in line).split()


def test_the_table_has_each_doors_figures_in_its_row() -> None:
    text = screen()
    assert row(text, "FIX 4.4   inst")[4:-1] == ["233", "2,345", "1,790", "252", "3", "310", "µs", "2,890", "µs"]
    assert row(text, "2 market")[5:-1] == ["311", "3,012", "1,888", "181", "12", "420", "µs", "13.3", "ms"]
    assert "3 of 8,192 waiting, largest tick 41" in text
    assert all(url in text for url in URLS.values())


def test_refusals_are_listed_by_code_with_their_names() -> None:
    text = screen()
    assert row(text, "rate_limited")[1:-1] == ["3001", "rate_limited", "240", "181"]
    assert row(text, "unknown_symbol")[1:-1] == ["2003", "unknown_symbol", "12"]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_table_fits_a_terminal_of_24_lines(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    view = Screen(console)
    view._urls = URLS
    codes = dict.fromkeys((2001, 2003, 2004, 2005, 2006, 2007, 3001, 4003, 4004, 4005), 1)
    doors = {"fix": DoorStats(refusals=codes), "ws": DoorStats(refusals=codes)}
    console.print(view.render(Moment(1, doors, {"fix": 1.0, "ws": 1.0}, Queue(0, 0, 8_192))))
    out = console.file
    assert isinstance(out, io.StringIO)
    lines = out.getvalue().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= min(width, 100)


def test_the_summary_says_what_was_lost_and_doubled() -> None:
    assert "✔ every client's record against the core's own:  lost 0  doubled 0" in screen(Verdict())
    assert "✘" in screen(Verdict(missing=2, doubled=1))
    assert "lost 2  doubled 1" in screen(Verdict(missing=2, doubled=1))


def test_plain_lines_come_once_a_second_and_end_with_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    view = Lines()
    view.started(URLS, None)
    for elapsed_s in (0.5, 1.0, 1.5):
        view.show(Moment(elapsed_s, MOMENT.doors, MOMENT.orders_per_s, MOMENT.queue))
    view.draining()
    view.ended(MOMENT, Verdict(unanswered=1))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "FIX",
        "WS",
        "metrics",
        "ready",
        "0.5",
        "1.5",
        "draining",
        "fix",
        "ws",
        "lost",
    ]
    assert "fix 233 orders/s 1790 fills 252 refused p50 310 us p99 2890 us" in lines[4]
    assert lines[-1] == "lost 1, doubled 0"


NODES = (NodeState("gateway-1", "ready", 2, 1, 1.84), NodeState("core-1", "killed", None, 2))


def test_each_process_has_a_line_with_its_state_and_how_often_it_was_killed() -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(Screen(console).render(structs.replace(MOMENT, queue=None, nodes=NODES)))
    out = console.file
    assert isinstance(out, io.StringIO)
    gateway = row(out.getvalue(), "gateway-1")[1:-1]
    assert " ".join(gateway) == "gateway-1 ready 2 sessions killed once, back after 1.8 s"
    assert row(out.getvalue(), "core-1")[1:-1] == ["core-1", "killed", "killed", "2", "times"]
    assert "largest tick" not in out.getvalue(), "each gateway has a queue of its own"


def test_plain_lines_name_each_process(capsys: pytest.CaptureFixture[str]) -> None:
    fix = structs.replace(MOMENT.doors["fix"], voided=4)
    ws = structs.replace(MOMENT.doors["ws"], voided=1, retried=2)
    moment, view = structs.replace(MOMENT, doors={"fix": fix, "ws": ws}, queue=None, nodes=NODES), Lines()
    view.show(moment)
    view.ended(moment, Verdict())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("| gateway-1 ready | core-1 killed")
    assert lines[-4:] == [
        "gateway-1 ready, killed once, back after 1.8 s",
        "core-1    killed, killed 2 times",
        "not answered when a gateway died: 5 void, 2 sent again",
        "lost 0, doubled 0",
    ]


def test_silence_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    view = View()
    view.started(URLS, None)
    view.show(MOMENT)
    view.draining()
    view.ended(MOMENT, Verdict())
    assert capsys.readouterr().out == ""
