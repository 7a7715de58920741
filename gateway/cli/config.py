"""`penstock config`: write a working example, or check a file and list every mistake in it."""

import sys
from pathlib import Path

import click

from gateway.cli.keys import new_ed25519, write_secret
from gateway.cli.options import FILE
from gateway.config.load import ConfigErrors, load
from gateway.config.schema import Config
from gateway.config.template import init_text
from limits import reload


@click.group()
def config() -> None:
    """Write a configuration, or check one."""


@config.command()
@click.argument("path", type=FILE, default=Path("gateway.toml"))
def init(path: Path) -> None:
    """Write gateway.toml with every setting explained, and beside it limits.toml and the example client's key.

    No file is overwritten.
    """
    limits_path, key_path = path.with_name("limits.toml"), path.with_name("maker.key")
    for existing in (path, limits_path, key_path):
        if existing.exists():
            raise click.ClickException(f"{existing} exists; nothing was written")
    pair = new_ed25519()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_secret(key_path, pair.private_pem)
        limits_path.write_text(reload.default_text(), encoding="utf-8")
        path.write_text(init_text(pair.public_b64), encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{error.filename or path}: {error.strerror}") from error
    click.echo(f"{path}        every setting, explained")
    click.echo(f"{limits_path}   the limits, which may change while the gateway runs")
    click.echo(f"{key_path}   private key of the example's WebSocket client (key-maker-1): keep it secret")
    click.echo(f"start with: penstock run -c {path}")


@config.command()
@click.argument("path", type=FILE, default=Path("gateway.toml"))
def check(path: Path) -> None:
    """Check a configuration file and its limits file. Lists every mistake, and exits with 1 if there is one."""
    try:
        settings = load(path)
    except ConfigErrors as errors:
        click.echo(str(errors), err=True)
        count = len(errors.problems)
        click.echo(f"{count} mistake{'s' * (count != 1)}", err=True)
        sys.exit(1)
    _show(settings)
    if settings.limits.file:
        accounts = [row.name for row in settings.accounts]
        for warning in reload.load(path.parent / settings.limits.file, accounts).warnings:
            click.echo(f"{settings.limits.file}: warning: {warning}", err=True)
    click.echo(f"OK: {path}")


def _show(settings: Config) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    fix, ws = settings.fix, settings.ws
    rows = [(f"FIX {row.name}", f"{row.host}:{row.port} {'TLS' if row.tls else 'plain TCP'}") for row in fix.listeners]
    if ws is not None:
        rows.append(("WebSocket", f"{'wss' if ws.tls else 'ws'}://{ws.host}:{ws.port}{ws.path}"))
    if settings.admin is not None:
        rows.append(("admin", f"http://{settings.admin.host}:{settings.admin.port}"))
    rows += [
        ("FIX sessions", ", ".join(row.comp_id for row in fix.sessions) or "none"),
        ("accounts", ", ".join(row.name for row in settings.accounts) or "none"),
        ("keys", ", ".join(row.id for row in settings.keys) or "none"),
        ("instruments", ", ".join(row.symbol for row in settings.instruments) or "none"),
        ("limits", settings.limits.file or "built in"),
    ]
    table = Table(box=box.SIMPLE, show_header=False)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)
