"""`penstock core conform`: play scripted dialogues with a core on the link, and name each promise that it breaks.

Exit code 0 when every promise that was tested is kept, 1 when one is broken or could not be tested, 2 when the
examination cannot begin. Without --restart three promises are left out, and that is no failure.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gateway.remote.conform.examine import CoreSays
    from gateway.remote.conform.verdict import Verdict

_FIRST_ACCOUNT, _MAX_ACCOUNT = 900_000_001, 2_000_000_000


@click.command()
@click.option("--redis", "url", required=True, envvar="PENSTOCK_CORE_REDIS", help="the Redis of the link")
@click.option("--prefix", default="penstock", show_default=True, help="[core] prefix of the venue")
@click.option(
    "--account",
    type=click.IntRange(1, _MAX_ACCOUNT),
    default=_FIRST_ACCOUNT,
    show_default=True,
    help="the first of the 38 accounts that it trades with",
)
@click.option(
    "--instrument", type=click.IntRange(0), default=0, help="the id of what it trades  [default: the first of the core]"
)
@click.option("--restart", "command", help="a shell command that kills the core with -9 and starts it again")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0.1, 600), default=5.0, show_default=True,
    help="seconds to wait for an entry of the core",
)  # fmt: skip
@click.option(
    "--restart-timeout", "restart_s", type=click.FloatRange(0.1, 600), default=30.0, show_default=True,
    help="seconds to wait for the core after a restart",
)  # fmt: skip
@click.option("--only", "names", multiple=True, metavar="PROMISE", help="test this promise alone; may be repeated")
@click.option("--yes", "may_join", is_flag=True, help="also when gateways have used this venue within an hour")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
def conform(
    url: str,
    prefix: str,
    account: int,
    instrument: int,
    command: str | None,
    timeout_s: float,
    restart_s: float,
    names: tuple[str, ...],
    may_join: bool,
    as_json: bool,
) -> None:
    """Play scripted dialogues with the core on a link, and name each promise that it breaks.

    It trades with accounts of its own. Run it on a venue without gateways.

    Example: penstock core conform --redis redis://127.0.0.1:6379/0 --restart ./restart-core
    """
    import asyncio

    from gateway.remote.conform.examine import CoreSays, ExamTerms, Unfit, examine
    from gateway.remote.conform.promises import PROMISES
    from gateway.remote.conform.restart_command import restart_by
    from gateway.remote.conform.verdict import Verdict
    from gateway.remote.keys import Keys
    from gateway.remote.pipe import address_of
    from limits.redis_url import why_not

    if why := why_not(url):
        raise click.BadParameter(why, param_hint="--redis")
    known = [promise.name for promise in PROMISES]
    if unknown := [name for name in names if name not in known]:
        raise click.BadParameter(f"there is no promise {unknown[0]!r}. Use {', '.join(known)}", param_hint="--only")
    restart = restart_by(command, restart_s) if command else None
    address = address_of(url)
    terms = ExamTerms(Keys(prefix), address, account, instrument, timeout_s, restart_s, restart, may_join, names)
    verdicts: list[Verdict] = []
    about: list[CoreSays] = []

    def begun(said: CoreSays) -> None:
        about.append(said)
        if not as_json:
            click.echo(f"The core of {terms.keys.core}: {said.encoding}, epoch {said.epoch}, trades {said.symbol}\n")

    def found(verdict: Verdict) -> None:
        verdicts.append(verdict)
        if not as_json:
            for line in _lines(verdict):
                click.echo(line)

    try:
        asyncio.run(examine(terms, begun, found))
    except Unfit as error:
        click.echo(f"penstock: {error}", err=True)
        sys.exit(2)
    click.echo(_as_json(about[0], verdicts) if as_json else f"\n{_sum(verdicts)}")
    sys.exit(1 if any(verdict.is_failure for verdict in verdicts) else 0)


def _lines(verdict: "Verdict") -> list[str]:
    """One row of the table, and why below it."""
    head = f"{verdict.promise:<14}{verdict.state:<12}"
    if verdict.state == "not tested":
        return [f"{head}{verdict.why}"]
    lines = [f"{head}{verdict.sentence}"]
    if verdict.state == "broken":
        lines += [f"{'':14}expected    {verdict.expected}", f"{'':14}seen        {verdict.seen}"]
    return lines


def _sum(verdicts: "Sequence[Verdict]") -> str:
    states = [verdict.state for verdict in verdicts]
    return ", ".join(f"{states.count(state)} {state}" for state in ("kept", "broken", "not tested"))


def _as_json(said: "CoreSays", verdicts: "Sequence[Verdict]") -> str:
    import msgspec

    told = {"encoding": said.encoding, "epoch": said.epoch, "symbol": said.symbol, "promises": verdicts}
    return msgspec.json.format(msgspec.json.encode(told)).decode()
