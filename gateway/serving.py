"""The life of the process: start the server, wait for a signal or a failure, drain, stop.

What it is made of, and in which order that is opened and closed, is `gateway.server`'s to know.
"""

import asyncio
import gc
from contextlib import suppress
from pathlib import Path

from gateway.config import schema
from gateway.doors.descriptors import raise_limit
from gateway.server import Server
from gateway.signals import Signals


def spare_collector() -> None:
    """Keep the garbage collector off the road: what the start has made is not looked at again, young objects seldom.

    An order is gone by reference counting alone: looking for cycles took a sixth of its time. What makes cycles are
    strangers whose HTTP is none (their errors hold what they came from), and a look at 50,000 young objects of theirs
    stopped the loop for 20 to 80 ms: so few are looked at in one go, and those that last as seldom as ever.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 200, 50)


async def serve(settings: schema.Config, config_dir: Path, signals: Signals) -> None:
    """Run a gateway until SIGTERM or SIGINT, then drain it; SIGHUP looks at the limits file at once.

    Raises:
        OSError: a port cannot be opened, or a file not read. LimitsUnsound: the limits file has mistakes.
        StoreUnsuitable: the store of limits evicts keys. ModesBroken: the kept modes cannot be read.
        Unfit: the configuration does not go with what the journal has. JournalFailed, GatewayFailed: see `Failures`.
        TooFewDescriptors: see `Server.start`.
    """
    raise_limit()  # the journal opens its files at once
    server = Server(settings, config_dir)
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    signals.serving(loop, asked.set, server.limits.look_at_file)
    waiting = loop.create_task(asked.wait())
    starting = loop.create_task(server.start())
    try:
        await asyncio.wait((waiting, starting), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return  # there is nobody to say goodbye to
        await starting
        spare_collector()
        failure = server.failures.failure
        assert failure is not None
        await asyncio.wait((waiting, failure), return_when=asyncio.FIRST_COMPLETED)
        if failure.done():
            raise failure.result()
        await server.drain()
    finally:
        for task in (waiting, starting):
            task.cancel()
        with suppress(asyncio.CancelledError, Exception):  # what it raised, if anything, is on its way already
            await starting
        await server.stop()
        signals.ended()
