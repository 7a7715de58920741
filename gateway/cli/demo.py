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
@click.option(
    "--nodes",
    type=click.IntRange(1, 4),
    default=1,
    show_default=True,
    help="Gateways. From 2 on: two cores and a Valkey too, and one after the other is killed and comes back.",
)
def demo(seconds: float | None, as_json: bool, seed: int, nodes: int) -> None:
    """Start everything on loopback and trade: FIX against WebSocket.

    Example: penstock demo --nodes 2 --seconds 20
    """
    if find_spec("simplefix") is None:
        raise click.ClickException("the demo's FIX client needs the package simplefix: in a checkout, make setup")
    from gateway.demo import run as demo_run
    from gateway.demo.account_streams import StreamBroken
    from gateway.demo.child import ChildFailed
    from gateway.demo.valkey import NoValkey

    try:
        status = demo_run.run(seconds=seconds, as_json=as_json, seed=seed, nodes=nodes)
    except (demo_run.TradersFailed, ChildFailed, NoValkey, StreamBroken) as error:
        raise click.ClickException(str(error)) from None
    sys.exit(status)
