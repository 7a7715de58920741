"""How the demo looks: a live table on a terminal, plain lines elsewhere, nothing if JSON is wanted.

A view only draws the start, every report of the traders, and the end. The clients measure the figures, so a slow
terminal cannot change them.
"""

import sys

import msgspec
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gateway.demo.ledger import Verdict
from gateway.demo.simulate import DoorStats
from protocols.errors import CODES

_TITLES = {"fix": "FIX 4.4", "ws": "WebSocket"}
_ROLES = {"fix": "institution", "ws": "2 market makers"}


class Queue(msgspec.Struct, frozen=True):
    """The bounded queue before the core. burst: the most commands that one turn handed over since the moment before."""

    waiting: int
    burst: int
    max_commands: int


class NodeState(msgspec.Struct, frozen=True):
    """One process of a venue with several. state: "ready", "starting" or "killed". back_s: from its last kill until it
    was ready again.
    """

    name: str
    state: str
    sessions: int | None = None  # of a gateway; a core has none
    kills: int = 0
    back_s: float = 0.0


class Moment(msgspec.Struct, frozen=True):
    """The figures at one time. orders_per_s: new orders per door since the moment before. queue: None if there are
    several nodes, each of which has its own.
    """

    elapsed_s: float
    doors: dict[str, DoorStats]
    orders_per_s: dict[str, float]
    queue: Queue | None
    nodes: tuple[NodeState, ...] = ()


class View:
    """One way to show a run. By itself it shows nothing, for a caller that prints the result."""

    def started(self, urls: dict[str, str], seconds: float | None) -> None:
        """All traders have logged on."""

    def show(self, moment: Moment) -> None:
        """Show the figures."""

    def draining(self) -> None:
        """Trading has ended; answers are awaited, then the two records are compared."""

    def ended(self, moment: Moment, verdict: Verdict) -> None:
        """Show the result. The last call."""


class Lines(View):
    """One plain line now and then: for pipes and logs."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def started(self, urls: dict[str, str], seconds: float | None) -> None:
        for name, url in urls.items():
            _say(f"{name:8} {url}")

    def show(self, moment: Moment) -> None:
        if moment.elapsed_s < self._next_s:
            return
        self._next_s = moment.elapsed_s + 0.9
        parts = [f"{moment.elapsed_s:5.1f} s"]
        for name, door in moment.doors.items():
            refused = sum(door.refusals.values())
            parts.append(
                f"{name} {moment.orders_per_s[name]:.0f} orders/s {door.fills} fills {refused} refused"
                f" p50 {door.p50_us:.0f} us p99 {door.p99_us:.0f} us"
            )
        if moment.queue is not None:
            parts.append(f"queue {moment.queue.waiting}, largest tick {moment.queue.burst}")
        parts += [f"{node.name} {node.state}" for node in moment.nodes]
        _say(" | ".join(parts))

    def draining(self) -> None:
        _say("draining")

    def ended(self, moment: Moment, verdict: Verdict) -> None:
        for name, door in moment.doors.items():
            codes = " ".join(f"{code}:{count}" for code, count in door.refusals.items())
            _say(
                f"{name:8} {door.orders} orders, {door.accepted} accepted, {door.replaces} replaces,"
                f" {door.cancels} cancels, {door.fills} fills, refused {codes or 'none'},"
                f" p50 {door.p50_us:.0f} us, p99 {door.p99_us:.0f} us"
            )
        for node in moment.nodes:
            _say(f"{node.name:9} {node.state}{', ' if node.kills else ''}{_kills_text(node)}")
        if moment.nodes:
            _say(_unanswered_text(moment))
        _say(f"lost {verdict.lost}, doubled {verdict.doubled}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Screen(View):
    """A live table that is drawn in place."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._urls: dict[str, str] = {}
        self._seconds: float | None = None
        self._state = "trading"

    def started(self, urls: dict[str, str], seconds: float | None) -> None:
        self._urls, self._seconds = urls, seconds
        self._live.start()

    def show(self, moment: Moment) -> None:
        self._live.update(self.render(moment), refresh=True)

    def draining(self) -> None:
        self._state = "draining"

    def ended(self, moment: Moment, verdict: Verdict) -> None:
        """Leave the last table on the screen, with the verdict under it."""
        self._state = "done"
        self._live.stop()
        self._console.print(self.render(moment, verdict))

    def render(self, moment: Moment, verdict: Verdict | None = None) -> RenderableType:
        """Everything at one moment; with a verdict it is the summary."""
        parts: list[RenderableType] = [_urls_table(self._urls), "", _doors_table(moment)]
        if moment.nodes:  # above the refusals: a small terminal shows the top
            parts += ["", _nodes_table(moment.nodes), Text(_unanswered_text(moment), style="dim")]
        if any(door.refusals for door in moment.doors.values()):
            parts += ["", _refusals_table(moment.doors)]
        if verdict is not None:
            parts += ["", _verdict_line(verdict)]
        elif moment.queue is not None:
            parts += ["", _queue_line(moment.queue)]
        clock = f"{moment.elapsed_s:.0f} s" + (f" of {self._seconds:g} s" if self._seconds else "")
        title = f"[bold]Penstock[/]  {self._state}  [cyan]{clock}[/]"
        hint = None if verdict is not None else "Ctrl-C drains and ends"
        wide = min(self._console.width, 100)
        body = Group(*parts)
        return Panel(body, box.ROUNDED, title=title, subtitle=hint, border_style="dim", width=wide, padding=(0, 2))


def _urls_table(urls: dict[str, str]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    rows = [(Text(name, style="dim"), Text(url, style="cyan")) for name, url in urls.items()]
    for left, right in zip(rows[::2], rows[1::2], strict=True):
        grid.add_row(*left, *right)
    return grid


def _doors_table(moment: Moment) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("door", no_wrap=True)
    for name in ("orders/s", "orders", "fills", "refused", "waiting", "p50", "p99"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, door in moment.doors.items():
        title = Text.assemble((f"{_TITLES[name]:<10}", "bold"), (_ROLES[name], "dim"))
        rate, refused = Text(f"{moment.orders_per_s[name]:,.0f}", style="bold green"), sum(door.refusals.values())
        refusals, times = (
            Text(f"{refused:,}", style="yellow" if refused else ""),
            map(_time, (door.p50_us, door.p99_us)),
        )
        table.add_row(title, rate, f"{door.orders:,}", f"{door.fills:,}", refusals, f"{door.waiting:,}", *times)
    return table


def _time(us: float) -> str:
    return f"{us:,.0f} µs" if us < 10_000 else f"{us / 1000:,.1f} ms"


def _refusals_table(doors: dict[str, DoorStats]) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("refused with")
    for name in doors:
        table.add_column(_TITLES[name], justify="right")
    for code in sorted({code for door in doors.values() for code in door.refusals}):
        name = CODES[code].name if code in CODES else "?"
        counts = [door.refusals.get(code, 0) for door in doors.values()]
        cells = (f"{count:,}" if count else "" for count in counts)
        table.add_row(Text.assemble((str(code), "yellow"), f"  {name}"), *cells)
    return table


def _nodes_table(nodes: tuple[NodeState, ...]) -> RenderableType:
    grid = Table.grid(padding=(0, 3))
    for node in nodes:
        state = Text(node.state, style="green" if node.state == "ready" else "bold red")
        sessions = "" if node.sessions is None else f"{node.sessions} session{'s' * (node.sessions != 1)}"
        grid.add_row(Text(node.name, style="bold"), state, sessions, Text(_kills_text(node), style="dim"))
    return grid


def _kills_text(node: NodeState) -> str:
    if not node.kills:
        return ""
    times = "once" if node.kills == 1 else f"{node.kills} times"
    back = f", back after {node.back_s:.1f} s" if node.state == "ready" else ""
    return f"killed {times}{back}"


def _unanswered_text(moment: Moment) -> str:
    voided, retried = (
        sum(counts) for counts in zip(*((d.voided, d.retried) for d in moment.doors.values()), strict=True)
    )
    return f"not answered when a gateway died: {voided:,} void, {retried:,} sent again"


def _queue_line(queue: Queue) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=queue.max_commands, completed=queue.waiting, width=24)
    text = f"{queue.waiting:,} of {queue.max_commands:,} waiting, largest tick {queue.burst:,}"
    grid.add_row(Text("queue", style="dim"), bar, text)
    return grid


def _verdict_line(verdict: Verdict) -> RenderableType:
    sound = not (verdict.lost or verdict.doubled)
    return Text.assemble(
        ("✔ " if sound else "✘ ", "bold green" if sound else "bold red"),
        "every client's record against the core's own:  lost ",
        (f"{verdict.lost:,}", "bold green" if not verdict.lost else "bold red"),
        "  doubled ",
        (f"{verdict.doubled:,}", "bold green" if not verdict.doubled else "bold red"),
    )
