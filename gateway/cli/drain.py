"""`penstock drain`: take one gateway out of service through its admin port, as SIGTERM does.

Exit code 0 with --wait means that it has ended: its clients were sent away, and its sessions are free for others.
"""

import time

import click

from gateway.cli.admin_port import AdminPort, Answer, NoAnswer, asking
from gateway.cli.options import seconds_of

_LOOK_S = 0.1


def _timeout(text: str) -> int:
    return seconds_of(text, "--timeout")


@click.command()
@asking
@click.option("--wait", is_flag=True, help="Return when the gateway has ended.")
@click.option(
    "--timeout",
    "timeout_s",
    type=_timeout,
    default="60s",
    show_default=True,
    metavar="TIME",
    help="With --wait: after this time, say what is still open, and exit with 1. The drain goes on.",
)
def drain(gateway: AdminPort, wait: bool, timeout_s: int) -> None:
    """Have a gateway announce its end, finish what it has, hand its sessions over, and end.

    Open orders stay. Clients log on at another gateway; without one, within venue.drain_ms of its next start.

    Example: penstock drain --wait -c gateway.toml
    """
    asked: dict[str, object] = {}
    told = gateway.ask("POST", "/drain", asked, " (whether it drains is unknown: see /status)")
    click.echo(f"{gateway.url} drains, for {told['drain_ms'] / 1000:g} s at most: {_open(told)}")
    if wait:
        _wait(gateway, timeout_s)


def _wait(gateway: AdminPort, timeout_s: int) -> None:
    """Until nobody listens at the admin port, or another process does."""
    until_s, still = time.monotonic() + timeout_s, ""
    while True:
        try:
            status = gateway.ask("GET", "/status")
        except NoAnswer as error:
            if error.is_closed:
                break
            still = error.message  # a connection that the end has cut, or a process that stands still: look again
        else:
            if not status["draining"]:
                break  # it has ended, and was started again
            still = f"still open: {_open(status)}"
        if time.monotonic() >= until_s:
            raise click.ClickException(f"not drained after {timeout_s} s, {still}")
        time.sleep(_LOOK_S)
    click.echo("drained, and closed")


def _open(status: Answer) -> str:
    """What is still open, for people."""
    sessions = status["sessions"]
    counts = (
        (sessions["fix"], "FIX session"),
        (sessions["ws"], "WebSocket session"),
        (status["unanswered"], "unanswered request"),
        (status["queue"]["commands"], "waiting request"),
    )
    found = [f"{count} {name}{'s' * (count != 1)}" for count, name in counts if count]
    return ", ".join(found) or "nothing"
