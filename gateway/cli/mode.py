"""`penstock mode`: cancel-only, halt and kill switch of a running gateway, through its admin port.

Exit code 0 means that the mode is in force, saved (unless the gateway saves nothing), and every mass cancel answered.
Anything less is 1 with the reason on standard error, so that a script cannot take half a kill for a complete one.
"""

import http.client
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec

from gateway.cli.options import FILE, config_option, seconds_of
from gateway.config.load import ConfigErrors, load

SCOPES = ("venue", "account", "session", "instrument")
_TIMEOUT_S = 15.0
_MAX_TTL_S = 31 * 86_400  # the gateway's own limit
_MAX_ANSWER_BYTES = 16_777_216
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  how to reach a listener on every address
_WORDS = {"normal": "takes orders", "cancel_only": "takes cancels only", "halted": "is halted"}
_Answer = dict[str, Any]


class _Gateway(msgspec.Struct, frozen=True):
    """Where the admin port is, and the operator's token."""

    url: str
    token: str

    def ask(self, method: str, asked: dict[str, object] | None = None) -> _Answer:
        """The answer's JSON. A refusal, or no answer, ends the command with its text."""
        try:
            status, body = self._exchange(method, b"" if asked is None else msgspec.json.encode(asked))
        except (OSError, http.client.HTTPException) as error:
            doubt = "" if method == "GET" else " (whether it is in force is unknown: `penstock mode show`)"
            raise click.ClickException(f"{self.url} does not answer: {error or type(error).__name__}{doubt}") from error
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except msgspec.DecodeError:
            raise click.ClickException(f"{self.url} is not an admin port of Penstock: status {status}") from None
        if status >= 400 and "mode" not in answer:
            wrong = answer.get("error", {})
            field = f"{wrong['field']}: " if wrong.get("field") else ""
            raise click.ClickException(f"{field}{wrong.get('text', f'status {status}')}")
        return answer

    def _exchange(self, method: str, body: bytes) -> tuple[int, bytes]:
        # Directly to the port: no proxy and no redirect may see an operator's token.
        where = urlsplit(self.url)
        kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
        link = kind(where.hostname or "", where.port, timeout=_TIMEOUT_S)
        headers = {"Content-Type": "application/json"} if body else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            link.request(method, f"{where.path.rstrip('/')}/modes", body or None, headers)
            response = link.getresponse()
            return response.status, response.read(_MAX_ANSWER_BYTES)
        finally:
            link.close()


def _asking(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select a gateway, and pass that gateway as the first argument."""

    @config_option("the gateway's configuration, which has the address of its admin port")
    @click.option("--url", default="", help="address of the admin port, such as http://10.0.0.5:9090, instead of -c")
    @click.option(
        "--token-file",
        type=FILE,
        envvar="PENSTOCK_TOKEN_FILE",
        help="file with your token of [[admin.tokens]]",
    )
    @wraps(command)
    def call(path: Path, url: str, token_file: Path | None, **arguments: object) -> None:
        command(_Gateway(_checked(url) or _url_of(path), _token_in(token_file)), **arguments)

    return call


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
@_asking
def show(gateway: _Gateway) -> None:
    """Show every mode in force."""
    answer = gateway.ask("GET")
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
@_asking
def set_mode(gateway: _Gateway, mode: str, scope: str, name: str, reason: str, ttl_s: int | None) -> None:
    """Bar new orders: `set halted instrument BTC-USDT`. Open orders stay."""
    asked = {"scope": scope, "name": name, "mode": mode, "reason": reason, "ttl_s": ttl_s or 0}
    _conclude(gateway.ask("POST", asked))


@mode.command()
@_scope
@_name
@_reason
@_lasting
@click.option("--yes", is_flag=True, help="do not ask before a kill of the whole venue")
@_asking
def kill(gateway: _Gateway, scope: str, name: str, reason: str, ttl_s: int | None, yes: bool) -> None:
    """Cancel all open orders and bar new ones: `kill account ACME`.

    A client chooses its session's name, and may come back under another one: to stop a client, kill its account.
    """
    if scope == "venue" and not yes:
        click.confirm(f"Cancel every open order of every account at {gateway.url}?", abort=True, err=True)
    asked = {"scope": scope, "name": name, "reason": reason, "ttl_s": ttl_s or 0, "kill": True}
    _conclude(gateway.ask("POST", asked))


@mode.command()
@_scope
@_name
@click.option("--reason", default="", help="why, for the log")
@_asking
def clear(gateway: _Gateway, scope: str, name: str, reason: str) -> None:
    """Accept orders again: `clear account ACME`. What another scope bars stays barred."""
    _conclude(gateway.ask("POST", {"scope": scope, "name": name, "mode": "normal", "reason": reason}))


def _conclude(answer: _Answer) -> None:
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


def _print_table(rows: list[_Answer]) -> None:
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


def _checked(url: str) -> str:
    if not url:
        return ""
    try:
        where = urlsplit(url)
        is_sound = where.scheme in ("http", "https") and bool(where.hostname) and where.port != 0
    except ValueError:
        is_sound = False
    if not is_sound:
        raise click.BadParameter("write it like http://127.0.0.1:9090", param_hint="--url")
    return url


def _url_of(path: Path) -> str:
    try:
        admin = load(path).admin
    except ConfigErrors as errors:
        raise click.ClickException(f"{errors}\nor say where the admin port is: --url http://HOST:PORT") from errors
    if admin is None or not admin.port:
        why = "has no [admin]" if admin is None else "leaves the admin port open (0)"
        raise click.ClickException(f"{path} {why}: say where it is with --url http://HOST:PORT")
    host = _ANY_ADDRESS.get(admin.host, admin.host)
    return f"http://[{host}]:{admin.port}" if ":" in host else f"http://{host}:{admin.port}"


def _token_in(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{path}: {getattr(error, 'strerror', None) or 'not ASCII text'}") from error
    if not token or not token.isprintable():
        raise click.ClickException(f"{path} does not hold one token on one line")
    return token
