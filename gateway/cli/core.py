"""`penstock core`: the matching core as a process of its own; `penstock core conform` is in `conform.py`.

It reads the same configuration as the gateways: instruments, `[core]` and `[stream]`. Exit code 0 after SIGTERM,
1 after a failure, 2 if the configuration is refused.
"""

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from gateway.cli.conform import conform
from gateway.cli.options import config_option
from gateway.signals import Signals

if TYPE_CHECKING:
    from gateway.remote.core_process import CoreTerms


@click.group(invoke_without_command=True)
@config_option("the configuration file")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where this core keeps its snapshots.  [default: core, beside the configuration]",
)
@click.option(
    "--accept-loss",
    "accepts_loss",
    is_flag=True,
    help="Redis came back without its latest writes: begin a new epoch without them, and end. Clients are told.",
)
@click.pass_context
def core(context: click.Context, path: Path, directory: Path | None, accepts_loss: bool) -> None:
    """Execute the orders of all gateways with this [core] prefix, until SIGTERM or Ctrl-C.

    Start a second one, with a directory of its own, as a hot standby.

    Example: penstock core --config gateway.toml --directory /var/lib/penstock/core
    """
    if context.invoked_subcommand is not None:
        given = [
            name for name in ("path", "directory") if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        ]
        if given:
            raise click.UsageError(f"{context.invoked_subcommand} reads no configuration: give it --redis and --prefix")
        return
    signals = Signals()
    from gateway.config.load import ConfigErrors, build_instruments, core_url, load

    try:
        settings = load(path)
    except ConfigErrors as errors:
        click.echo(str(errors), err=True)
        sys.exit(2)
    if settings.core.link != "redis":
        click.echo(f'{path}: [core] link is "{settings.core.link}": the gateway has its core in itself', err=True)
        sys.exit(2)
    from gateway.remote.core_process import CoreTerms
    from gateway.remote.keys import Keys
    from gateway.remote.pipe import address_of

    terms = CoreTerms(
        Keys(settings.core.prefix),
        address_of(core_url(settings)),
        tuple(build_instruments(settings).by_id.values()),
        settings.core.dedupe_ids,
        settings.stream.retain_events,
        directory or path.parent.absolute() / "core",
        settings.core.acked_by_replicas,
        accepts_loss,
    )
    sys.exit(_serve(terms, settings.logs.level, signals))


def _serve(terms: "CoreTerms", level: str, signals: Signals) -> int:
    """Run a core until it is asked to stop; the exit status."""
    import logging

    import uvloop

    from gateway.remote.core_process import CoreFailed, CoreProcess
    from gateway.serving import spare_collector
    from gateway.telemetry import logs

    writer = logs.setup(level)

    async def serve() -> None:
        process = CoreProcess(terms, partial(logs.log_event, logging.getLogger("penstock")))
        signals.serving(asyncio.get_running_loop(), process.stop, lambda: None)
        spare_collector()
        await process.run()

    try:
        terms.directory.mkdir(parents=True, exist_ok=True)
        uvloop.run(serve())
    except (CoreFailed, OSError) as error:
        click.echo(f"penstock: {error}", err=True)
        return 1
    finally:
        signals.ended()
        writer.close()
    return 0


core.add_command(conform)
