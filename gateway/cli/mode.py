"""`penstock mode`: cancel-only, halt and kill switch of a running gateway, through its admin port.

Exit code 0 means that the mode is in force, saved (unless the gateway saves nothing), and every mass cancel answered.
Anything less is 1 with the reason on standard error, so that a script cannot take half a kill for a complete one.
"""

import click

from gateway.cli.admin_port import AdminPort, Answer, asking
from gateway.cli.options import seconds_of

SCOPES = ("venue", "account", "session", "instrument")
_MAX_TTL_S = 31 * 86_400  # the gateway's own limit
_WORDS = {"normal": "takes orders", "cancel_only": "takes cancels only", "halted": "is halted"}
_DOUBT = " (whether it is in force is unknown: `penstock mode show`)"


def _ttl(text: str) -> int:
    ttl_s = seconds_of(text)
    if ttl_s > _MAX_TTL_S:
        raise click.BadParameter("31 days at most; without it, the mode stays until it is cleared", param_hint="--ttl")
    return ttl_s


_scope = click.argument("scope", type=click.Choice(SCOPES))
_name = click.argument("name", default="")
_reason = click.option("--reason", required=True, help="why; clients read it in every refusal")
_lasting = click.option(
    "--ttl", "ttl_s", type=_ttl, metavar="TIME", help='end after this time, such as "15m", "2h" or "1d"'
)


@click.group()
def mode() -> None:
    """Bar new orders of the venue, an account, a session or an instrument; cancels and queries always pass.

    Modes survive restarts. NAME is an account, a symbol, or a session: ACCOUNT/SESSION, or only SESSION if that is
    unique.
    """


@mode.command()
@asking
def show(gateway: AdminPort) -> None:
    """Show every mode in force."""
    answer = gateway.ask("GET", "/modes")
    if answer["modes"]:
        _print_table(answer["modes"])
    else:
        click.echo("everything is normal: nothing is barred")
    if not answer["kept"]:
        click.echo("modes are not kept: a restart forgets them", err=True)


@mode.command("set")
@click.argument("mode", type=click.Choice(("cancel_only", "halted")))
@_scope
@_name
@_reason
@_lasting
@asking
def set_mode(gateway: AdminPort, mode: str, scope: str, name: str, reason: str, ttl_s: int | None) -> None:
    """Bar new orders: `set halted instrument BTC-USDT`. Open orders stay."""
    asked = {"scope": scope, "name": name, "mode": mode, "reason": reason, "ttl_s": ttl_s or 0}
    _conclude(gateway.ask("POST", "/modes", asked, _DOUBT))


@mode.command()
@_scope
@_name
@_reason
@_lasting
@click.option("--yes", is_flag=True, help="do not ask before a kill of the whole venue")
@asking
def kill(gateway: AdminPort, scope: str, name: str, reason: str, ttl_s: int | None, yes: bool) -> None:
    """Cancel all open orders and bar new ones: `kill account ACME`.

    A client chooses its session's name, and may come back under another one: to stop a client, kill its account.
    """
    if scope == "venue" and not yes:
        click.confirm(f"Cancel every open order of every account at {gateway.url}?", abort=True, err=True)
    asked = {"scope": scope, "name": name, "reason": reason, "ttl_s": ttl_s or 0, "kill": True}
    _conclude(gateway.ask("POST", "/modes", asked, _DOUBT))


@mode.command()
@_scope
@_name
@click.option("--reason", default="", help="why, for the log")
@asking
def clear(gateway: AdminPort, scope: str, name: str, reason: str) -> None:
    """Accept orders again: `clear account ACME`. What another scope bars stays barred."""
    asked: dict[str, object] = {"scope": scope, "name": name, "mode": "normal", "reason": reason}
    _conclude(gateway.ask("POST", "/modes", asked, _DOUBT))


def _conclude(answer: Answer) -> None:
    """Print what is in force now; exit with 1 if it is less than was requested."""
    subject = f"{answer['scope']} {answer['name']}".rstrip()
    until = f" until {answer['until']}" if answer["until"] else ""
    was = "" if answer["was"] == answer["mode"] else f" (was {answer['was']})"
    click.echo(f"{subject} {_WORDS[answer['mode']]}{until}{was}")
    complaints = [answer["error"]["text"]] if "error" in answer else []
    if sweep := answer.get("sweep"):
        click.echo(f"open orders cancelled: {sweep['canceled']}")
        if sweep["unanswered"]:
            left = f"{sweep['unanswered']} of {sweep['accounts']} mass cancels"
            complaints.append(f"the core has not yet answered {left}")
        if sweep["failure"]:
            complaints.append(f"orders may still be open: {sweep['failure']}")
    if not answer["kept"] and "error" not in answer:
        click.echo("not kept: a restart forgets it", err=True)
    if complaints:
        raise click.ClickException("; ".join(complaints))


def _print_table(rows: list[Answer]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in ("Where", "Mode", "Since, UTC", "Until, UTC", "By", "Reason"):
        # Wide enough for a scope on one line; on a narrow terminal the name is below it.
        width = len("instrument") if head == "Where" else None
        table.add_column(head, overflow="fold", no_wrap=head in {"Mode", "Since, UTC", "Until, UTC"}, min_width=width)
    for row in rows:
        where = f"{row['scope']} {row['name']}".rstrip()
        until = _minute(row["until"]) if row["until"] else "cleared"
        cells = (where, row["mode"], _minute(row["at"]), until, row["by"], row["reason"])
        # Text: a reason may contain what rich would take for markup.
        table.add_row(*map(Text, cells), style="red" if row["mode"] == "halted" else "")
    Console(highlight=False).print(table)


def _minute(time: str) -> str:
    """A time of the answer, shortened for a table."""
    return time[:16].replace("T", " ")
