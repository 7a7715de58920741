"""The command `penstock`. A sub-command is imported when it is called, not to list it.

aiohttp, redis and rich take tenths of a second to import; a command that only checks a file must not wait for them.

Open `run.py` for `penstock run`; each other module is the sub-command of its name.
"""

from importlib import import_module

import click

# name -> where its click object is, and its line in `penstock --help`
_COMMANDS = {
    "run": ("gateway.cli.run:run", "Start the gateway and serve until SIGTERM or Ctrl-C."),
    "core": ("gateway.cli.core:core", "Run the matching core as a process of its own."),
    "demo": ("gateway.cli.demo:demo", "Start everything on loopback and trade: FIX against WebSocket."),
    "bench": ("gateway.cli.bench:bench", "Load a gateway, and measure what it carries."),
    "config": ("gateway.cli.config:config", "Write a configuration, or check one."),
    "keys": ("gateway.cli.keys:keys", "Make keys for clients."),
    "limits": ("gateway.cli.limits:limits", "Check and compare limits files, and tune running limits."),
    "drain": ("gateway.cli.drain:drain", "Take a running gateway out of service: as SIGTERM, from anywhere."),
    "mode": ("gateway.cli.mode:mode", "Bar new orders, cancel open ones, and accept orders again."),
}


class _LazyGroup(click.Group):
    """A group whose commands are imported by name on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="penstock", prog_name="penstock")
def main() -> None:
    """An edge gateway for exchanges: FIX and WebSocket in, limits, a bounded queue, a matching core."""
