"""`penstock bench`: load on the doors, and what the answers took; `penstock bench compare`: two results.

Without addresses it starts a gateway of its own on free loopback ports, and a new one for each run.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.options import FILE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from gateway.bench.run import Address, Elsewhere

_ELSEWHERE = ("comp_id", "target_comp_id", "key_id", "key", "symbol", "price", "tick", "qty")


@click.group(invoke_without_command=True)
@click.option("--door", type=click.Choice(("fix", "ws", "both")), default="both", show_default=True)
@click.option("--sessions", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Sessions on a door.")
@click.option(
    "--in-flight",
    type=click.IntRange(1, 10_000),
    default=64,
    show_default=True,
    help="Closed loop: unanswered orders that each session keeps.",
)
@click.option(
    "--rate", type=click.IntRange(1, 1_000_000), help="Open loop instead: orders a second of all sessions together."
)
@click.option("--seconds", type=click.FloatRange(0.1, 3_600), default=5.0, show_default=True, help="Of one run.")
@click.option(
    "--warm-up", type=click.FloatRange(0, 600), default=1.0, show_default=True, help="Seconds before, not measured."
)
@click.option("--runs", type=click.IntRange(1, 100), default=3, show_default=True, help="Runs; medians are shown.")
@click.option(
    "--crossing", type=click.IntRange(0, 100), default=0, show_default=True, help="Percent of the orders that trade."
)
@click.option(
    "--prices",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="Different prices of resting orders on each side.",
)
@click.option(
    "--durability",
    type=click.Choice(("memory", "process", "disk")),
    default="memory",
    show_default=True,
    help="Journal of the gateway that is started.",
)
@click.option("--json", "json_path", type=FILE, help="Write the result to this file, for `compare`.")
@click.option("--fix", metavar="HOST:PORT", help="The FIX door of a running gateway, plain TCP.")
@click.option("--ws", metavar="HOST:PORT", help="The WebSocket door of a running gateway, plain TCP, path /v1/ws.")
@click.option("--comp-id", default="S{n}", show_default=True, help="SenderCompID(49) of session {n}, there.")
@click.option("--target-comp-id", default="GATE", show_default=True, help="TargetCompID(56), there.")
@click.option("--key-id", default="K{n}", show_default=True, help="API key of session {n}, there.")
@click.option("--key", type=FILE, help="Its private key (Ed25519, PEM). On FIX: without it, no credentials.")
@click.option("--symbol", default="BTC-USDT", show_default=True, help="What is traded there.")
@click.option("--price", default="64250.50", show_default=True, help="Where orders cross; others rest around it.")
@click.option("--tick", default="0.01", show_default=True, help="Distance of the resting prices.")
@click.option("--qty", default="0.01250000", show_default=True, help="Quantity of each order.")
@click.pass_context
def bench(ctx: click.Context, /, json_path: Path | None, **options: Any) -> None:
    """Load a gateway and show what it carries, what an order costs, and what the answers took.

    With --in-flight (closed loop) each session keeps so many orders unanswered. With --rate (open loop) orders are due
    at a fixed rate, and latency is counted from when an order was due.
    """
    if ctx.invoked_subcommand is not None:
        return
    from gateway.bench import view
    from gateway.bench.failed import BenchFailed
    from gateway.bench.load import Load
    from gateway.bench.result import new_result
    from gateway.bench.run import measure

    _check(ctx)
    load = Load(
        sessions=options["sessions"],
        in_flight=0 if options["rate"] else options["in_flight"],
        rate=options["rate"] or 0,
        seconds=options["seconds"],
        warm_up=options["warm_up"],
        crossing=options["crossing"],
        prices=options["prices"],
    )
    elsewhere = _elsewhere(options)
    journal = "" if elsewhere else options["durability"]
    doors = tuple(elsewhere.doors) if elsewhere else ("fix", "ws") if options["door"] == "both" else (options["door"],)
    click.echo(view.title(load, journal), err=True)
    try:
        found = measure(
            load, options["runs"], doors, options["durability"], elsewhere, lambda line: click.echo(line, err=True)
        )
        result = new_result(load, journal, found)
        if json_path is not None:
            result.save(json_path)
    except BenchFailed as error:
        raise click.ClickException(str(error)) from None
    view.show(result)


@bench.command()
@click.argument("before", type=FILE)
@click.argument("after", type=FILE)
def compare(before: Path, after: Path) -> None:
    """Show what differs between two results of --json, and what is within their noise."""
    from gateway.bench import view
    from gateway.bench.compare import cautions, deltas
    from gateway.bench.failed import BenchFailed
    from gateway.bench.result import read_result

    try:
        one, other = read_result(before), read_result(after)
        rows = deltas(one, other)
    except BenchFailed as error:
        raise click.ClickException(str(error)) from None
    view.show_deltas(rows, list(cautions(one, other)))


def _check(ctx: click.Context) -> None:
    """Options that contradict each other are refused, not ignored."""
    given = {name for name in ctx.params if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE}
    if {"rate", "in_flight"} <= given:
        raise click.UsageError("--rate is an open loop and --in-flight a closed one: give one of them")
    if given & {"fix", "ws"}:
        for name in ("door", "durability"):
            if name in given:
                raise click.UsageError(f"--{name} is for a gateway that is started: leave it out with --fix and --ws")
    elif mine := [name for name in _ELSEWHERE if name in given]:
        option = mine[0].replace("_", "-")
        raise click.UsageError(f"--{option} is for a running gateway: add --fix HOST:PORT or --ws HOST:PORT")


def _elsewhere(options: dict[str, Any]) -> "Elsewhere | None":
    from gateway.bench.flow import Market
    from gateway.bench.run import Elsewhere
    from gateway.bench.wires import Identity

    doors = {name: _address(name, options[name]) for name in ("fix", "ws") if options[name]}
    if not doors:
        return None
    if "ws" in doors and options["key"] is None:
        raise click.UsageError("--ws needs --key FILE: the private key of --key-id")
    key = None if options["key"] is None else _key(options["key"])
    identity = Identity(options["comp_id"], options["target_comp_id"], options["key_id"], key)
    for name in ("price", "tick", "qty"):
        _decimal(name, options[name])
    market = Market(options["symbol"], options["price"], options["tick"], options["qty"])
    return Elsewhere(doors, identity, market)  # type: ignore[arg-type]


def _address(option: str, text: str) -> "Address":
    from gateway.bench.run import Address

    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise click.BadParameter("write it like 127.0.0.1:9878", param_hint=f"--{option}")
    return Address(host.strip("[]"), int(port))


def _decimal(option: str, text: str) -> None:
    whole, _, decimals = text.partition(".")
    if not (whole + decimals).isdigit() or not text.isascii():
        raise click.BadParameter("write a plain decimal such as 0.01", param_hint=f"--{option}")


def _key(path: Path) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        why = getattr(error, "strerror", None) or "not a private key in PEM"
        raise click.ClickException(f"{path}: {why}. `penstock keys ed25519 --out FILE` makes one.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise click.ClickException(f"{path}: not an Ed25519 key. `penstock keys ed25519 --out FILE` makes one.")
    return key
