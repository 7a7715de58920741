"""Restarts a core with the command that the operator gave."""

import asyncio

from gateway.remote.conform.dialogue import Restart
from gateway.remote.conform.verdict import NotRestarted


def restart_by(command: str, seconds: float) -> Restart:
    """What runs the command in a shell and waits for its end. The core that it starts must be in the background.

    It raises NotRestarted when the command fails, or does not end within this time.
    """

    async def restart() -> None:
        nothing = asyncio.subprocess.DEVNULL  # a core would keep our output open, and its reader waiting
        process = await asyncio.create_subprocess_shell(command, stdin=nothing, stdout=nothing)
        try:
            async with asyncio.timeout(seconds):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise NotRestarted(
                f"the command of --restart did not end within {seconds:g} s: start the core in the background"
            ) from None
        if status:
            raise NotRestarted(f"the command of --restart ended with {status}")

    return restart
