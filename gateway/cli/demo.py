"""`penstock demo`: the whole gateway on loopback, with trades through both doors, checked by the core's own record.

The exit status is 0 only if both doors traded and nothing was lost or doubled. The FIX clients need simplefix, which
the gateway does not: it comes with the extra `demo`.
"""

import sys
from importlib.util import find_spec

import click


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1, max=86_400), help="Stop after this time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end, and nothing else.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed for the traders' choices.")
def demo(seconds: float | None, as_json: bool, seed: int) -> None:
    """Start everything on loopback and trade: FIX against WebSocket."""
    if find_spec("simplefix") is None:
        raise click.ClickException("the demo's FIX client needs the package simplefix: in a checkout, make setup")
    from gateway.demo import run as demo_run

    try:
        status = demo_run.run(seconds=seconds, as_json=as_json, seed=seed)
    except demo_run.TradersFailed as error:
        raise click.ClickException(str(error)) from None
    sys.exit(status)
