"""The life of the process: start the server, wait for a signal or a failure, drain, stop.

The parts of the server, and the order in which they open and close, are in `gateway.server`.
"""

import asyncio
import gc
from contextlib import suppress
from pathlib import Path

from gateway.config import schema
from gateway.doors.descriptors import raise_limit
from gateway.server import Server
from gateway.signals import Signals
from gateway.workers import tell_ready


def spare_collector() -> None:
    """Keep the garbage collector off the order path: never scan what the start has made, and young objects seldom.

    Reference counting alone frees an order; scanning for cycles took a sixth of its time. Cycles come from strangers
    that send broken HTTP (their errors refer to their causes). A scan of 50,000 young objects stopped the loop for 20
    to 80 ms, so each scan is limited to 5,000, and older objects are scanned as seldom as before.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 200, 50)


async def serve(settings: schema.Config, config_dir: Path, signals: Signals) -> None:
    """Run a gateway until SIGTERM, SIGINT or an operator ends it, then drain it; SIGHUP reads the limits file at once.

    Raises:
        OSError: a port cannot be opened, or a file cannot be read. LimitsUnsound: the limits file has mistakes.
        StoreUnsuitable: the store of limits evicts keys. ModesBroken: the saved modes cannot be read.
        ConfigMismatch: the configuration contradicts the journal. JournalFailed, GatewayFailed: see `Failures`.
        TooFewDescriptors: see `Server.start`.
    """
    raise_limit()  # the journal opens its files at once
    server = Server(settings, config_dir)
    loop = asyncio.get_running_loop()
    asked = server.asked_to_end
    signals.serving(loop, asked.set, server.limits.look_at_file)
    waiting = loop.create_task(asked.wait())
    starting = loop.create_task(server.start())
    try:
        await asyncio.wait((waiting, starting), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return  # no client is connected yet
        await starting
        spare_collector()
        tell_ready()
        failure = server.failures.failure
        assert failure is not None
        await asyncio.wait((waiting, failure), return_when=asyncio.FIRST_COMPLETED)
        if failure.done():
            raise failure.result()
        await server.drain()
    finally:
        for task in (waiting, starting):
            task.cancel()
        with suppress(asyncio.CancelledError, Exception):  # its error, if any, is being raised already
            await starting
        await server.stop()
        signals.ended()
