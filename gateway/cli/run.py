"""`penstock run`: load, check, serve.

Exit code 0 after a drain, 1 after a failure, 2 if the configuration is refused: a supervisor should not restart on 2,
because nothing will have changed.
"""

import logging
import sys
from pathlib import Path

import click

from gateway.cli.options import config_option
from gateway.signals import Signals


@click.command()
@config_option("the configuration file")
@click.option("--workers", type=click.IntRange(1, 64), help="So many processes on the same ports; needs [cluster].")
@click.option("--worker", type=click.IntRange(1, 64), hidden=True)
def run(path: Path, workers: int | None, worker: int | None) -> None:
    """Start the gateway and serve until SIGTERM or Ctrl-C, which drain it.

    With --workers: SIGTERM drains all of them, SIGHUP has them read the limits file, SIGUSR1 replaces one after the
    other. One that dies is started again.
    """
    signals = Signals()  # before anything slow
    from gateway.config.load import ConfigErrors, load
    from gateway.workers import supervise, why_not_several, worker_settings

    try:
        settings = load(path)
    except ConfigErrors as errors:
        click.echo(str(errors), err=True)
        sys.exit(2)
    if workers is not None:
        if why := why_not_several(settings):
            click.echo(f"{path}: {why}", err=True)
            sys.exit(2)
        sys.exit(supervise(path, workers, signals))
    if worker is not None:
        settings = worker_settings(settings, worker)
    # Imported here, so that a refused file is reported without waiting for them.
    import uvloop

    from gateway.admin.modes_file import ModesBroken
    from gateway.doors.descriptors import TooFewDescriptors
    from gateway.failures import GatewayFailed
    from gateway.journal.record import JournalCorrupt, JournalFailed, JournalInUse
    from gateway.limiting.service import LimitsUnsound
    from gateway.recovery.known_ids import ConfigMismatch
    from gateway.remote.link import LinkRefused
    from gateway.serving import serve
    from gateway.telemetry import logs
    from gateway.telemetry.spans import OtlpMissing
    from limits.store import StoreUnsuitable

    writer = logs.setup(settings.logs.level)
    try:
        uvloop.run(serve(settings, path.parent.absolute(), signals))
    except (LimitsUnsound, ModesBroken, StoreUnsuitable, TooFewDescriptors, ConfigMismatch, LinkRefused) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except (OSError, OtlpMissing, GatewayFailed, JournalCorrupt, JournalFailed, JournalInUse) as error:
        _fail(str(error))
    except Exception:
        logs.log_event(logging.getLogger("penstock"), "gateway.failed", exc_info=True)
        _fail("an unexpected error; see the log")
    finally:
        signals.ended()
        writer.close()


def _fail(text: str) -> None:
    click.echo(f"penstock: {text}", err=True)
    sys.exit(1)
