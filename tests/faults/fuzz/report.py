"""The verdict on a run and its summary: what was thrown at the gateway, what the healthy noticed, what is left of it.

A bound is stated with the number that it judges. Latency is judged against the quiet spells of the same run, for the
machine it runs on may be slow or busy; memory against what the configuration allows to be kept.
"""

import msgspec
from rich.console import Console
from rich.table import Table

from tests.faults.fuzz.attack import Wave
from tests.faults.fuzz.venue import Settings
from tests.faults.fuzz.watch import Latencies, Violations
from tests.faults.fuzz.wire import Tally

_MIB = 1 << 20
_WORST_ROWS = 8

# Promise 8, for one attacker at a time: p99 <= 2 x quiet + 5 ms. A crowd shares the processor with the healthy.
_SLOWER, _SLACK_MS, _CROWD_SLACK_MS = 2.0, 5.0, 25.0

# What memory may grow by, beside what it was in the quiet phase.
_ALLOCATOR_BYTES = 32 * _MIB  # message shapes learnt, log lines queued, freed pages that are not given back
_CONNECTION_BYTES = 2 * _MIB  # out.max_bytes, a read of 256 KiB, a message on its way in, the transport's own
_EVENT_BYTES = 1_024  # one event of an account's stream, of which stream.retain_events are kept
_ORDER_BYTES = 1_024  # one order, while it is open or its id is remembered
_MESSAGE_BYTES = 64  # where in the journal a message lies that may be asked for again


class WaveResult(msgspec.Struct):
    """What one wave did, and how the healthy sessions fared meanwhile."""

    wave: Wave
    tally: Tally
    latencies: dict[str, Latencies]
    cpu_percent: float


class Report(msgspec.Struct):
    """A whole run."""

    settings: Settings
    quiet: dict[str, Latencies]  # before the waves, and between them
    waves: list[WaveResult]
    facts: dict[str, str]
    violations: Violations
    lateness: Latencies  # of the measuring process itself: what the machine adds to every latency, twice

    def under_attack(self, trader: str, by_crowds: bool) -> Latencies:
        """What a healthy session measured while there was one attacker at a time, or a crowd of them."""
        results = (result for result in self.waves if (result.wave.width > 1) is by_crowds)
        return Latencies([second for result in results for second in result.latencies[trader].seconds])

    def latency_bound_ms(self, trader: str, by_crowds: bool) -> float:
        """What p99 of a healthy session under attack may be."""
        slack_ms = (_CROWD_SLACK_MS if by_crowds else _SLACK_MS) + 2 * self.lateness.quantile_ms(0.99)
        return _SLOWER * self.quiet[trader].quantile_ms(0.99) + slack_ms

    def tally(self) -> Tally:
        """All waves together."""
        whole = Tally()
        for result in self.waves:
            whole.add(result.tally)
        return whole

    def replay_command(self) -> str:
        """What to type to have it again."""
        settings = self.settings
        door = "all" if len(settings.doors) > 1 else settings.doors[0]
        return f"python -m tests.faults.fuzz --seconds {settings.seconds:g} --seed {settings.seed} --door {door}"


def memory_bound_bytes(quiet_bytes: int, connections: int, events: int, orders: int, messages: int) -> int:
    """What the resident size may be.

    Args:
        quiet_bytes: what it was before there were attackers.
        connections: the most that were open at once. events: as many as all streams may keep.
        orders: accepted in all. messages: sent in all.
    """
    kept = events * _EVENT_BYTES + orders * _ORDER_BYTES + messages * _MESSAGE_BYTES
    return quiet_bytes + _ALLOCATOR_BYTES + connections * _CONNECTION_BYTES + kept


def judge_latency(report: Report) -> None:
    """Add a violation for each healthy session that the attackers made wait."""
    for trader in report.quiet:
        for by_crowds in (False, True):
            measured = report.under_attack(trader, by_crowds)
            p99, bound = measured.quantile_ms(0.99), report.latency_bound_ms(trader, by_crowds)
            if measured.seconds and p99 > bound:
                whom = "crowds" if by_crowds else "one attacker"
                report.violations.add(f"{trader}: p99 {p99:.1f} ms under {whom}, bound {bound:.1f} ms")


def show(report: Report, console: Console) -> None:
    """The summary, for people."""
    tally = report.tally()
    facts = Table(title="fuzz of a running gateway", show_header=False, title_justify="left")
    facts.add_row("attackers", f"{tally.attackers:,} in {len(report.waves)} waves")
    facts.add_row("sent", f"{tally.writes:,} writes, {tally.bytes_out / _MIB:,.1f} MiB")
    facts.add_row("replies", f"{tally.replies:,} in {tally.bytes_in / _MIB:,.1f} MiB, {tally.bad} not well-formed")
    facts.add_row("ended by the gateway", f"{tally.closed_on:,} connections; {tally.refused} not taken")
    for name, value in report.facts.items():
        facts.add_row(name, value)
    for trader, quiet in report.quiet.items():
        facts.add_row(f"{trader} quiet", row(quiet))
        for whom, by_crowds in (("one attacker", False), ("crowds", True)):
            bound = f"; bound of p99 {report.latency_bound_ms(trader, by_crowds):.1f} ms"
            facts.add_row(f"{trader}, {whom}", row(report.under_attack(trader, by_crowds)) + bound)
    facts.add_row("violations", str(report.violations.count))
    console.print(facts)
    console.print(_worst(report))
    for sort in report.violations.sorts.values():
        console.print(f"{sort.count} x {sort.first}", markup=False, highlight=False, soft_wrap=True)
    if report.violations.count:
        console.print(f"again: {report.replay_command()}", markup=False)
        console.print("one wave of it: add --wave N", markup=False)


def row(latencies: Latencies) -> str:
    """Quantiles, for people."""
    p50, p99, worst = (latencies.quantile_ms(q) for q in (0.5, 0.99, 1.0))
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {worst:.2f} ms of {len(latencies.seconds):,} answers"


def _worst(report: Report) -> Table:
    """The waves that the healthy sessions felt most."""
    table = Table("wave", "attack", "at a time", "attackers", "MiB", "cpu", title="felt most", title_justify="left")
    for trader in report.quiet:
        table.add_column(f"{trader} p99/max ms", justify="right")

    def felt(result: WaveResult) -> float:
        return max(latencies.quantile_ms(0.99) for latencies in result.latencies.values())

    for result in sorted(report.waves, key=felt, reverse=True)[:_WORST_ROWS]:
        wave, tally = result.wave, result.tally
        told = [str(wave.number), f"{wave.door} {wave.kind}", str(wave.width), f"{tally.attackers:,}"]
        told += [f"{tally.bytes_out / _MIB:.1f}", f"{result.cpu_percent:.0f} %"]
        told += [f"{each.quantile_ms(0.99):.1f} / {each.quantile_ms(1):.1f}" for each in result.latencies.values()]
        table.add_row(*told)
    return table
