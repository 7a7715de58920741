"""A FIX client that is a script on a raw socket: lines in pipe notation out, messages as fields in, the real clock.

It keeps no numbers and answers nothing by itself, so a test can say what no sane engine would. A line names only what
matters, `35=1|34=2|112=x`; CompIDs and SendingTime(52) are put behind it as `tests.support.dialogue` does.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.dialogue import expand
from tests.support.fix_text import fix

_PATIENCE_S = 5.0
_HEAD = re.compile(rb"8=[^\x01]+\x019=([0-9]+)\x01")
_TRAILER_BYTES = len("10=000|")


class Wire:
    """One TCP connection to a FIX port of loopback."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, comp_id: str, version: str) -> None:
        self.comp_id, self.version = comp_id, version
        self._reader, self._writer = reader, writer

    def say(self, *lines: str) -> None:
        """Send these lines in one piece."""
        now_ns = time.time_ns()
        texts = [expand(line, now_ns, self.comp_id, "GATE", 3) for line in lines]
        self._writer.write(b"".join([fix(text, self.version) for text in texts]))

    async def hear(self, *wanted: str) -> dict[int, str]:
        """The next message, which must have each of these `tag=value`; its fields, the first of a tag."""
        async with asyncio.timeout(_PATIENCE_S):
            head = await self._reader.readuntil(b"\x019=") + await self._reader.readuntil(b"\x01")
            found = _HEAD.fullmatch(head)
            assert found, head
            rest = await self._reader.readexactly(int(found[1]) + _TRAILER_BYTES)
        text = (head + rest).decode().replace("\x01", "|")
        assert {*wanted} <= {*text.split("|")}, f"wanted {wanted}, heard {text}"
        fields: dict[int, str] = {}
        for field in text.strip("|").split("|"):
            tag, _, value = field.partition("=")
            fields.setdefault(int(tag), value)
        return fields

    async def is_dropped(self) -> bool:
        """Whether the gateway closes the connection with nothing more to read; waits for it."""
        async with asyncio.timeout(_PATIENCE_S):
            return await self._reader.read() == b""

    async def log_on(self, seq_num: int = 1, more: str = "", answer: int | None = None) -> dict[int, str]:
        """Send a Logon(A) and hear ours, with MsgSeqNum(34)=`answer`, by default the same number."""
        self.say(f"35=A|34={seq_num}|98=0|108=30{'|1137=9' if self.version == 'FIXT.1.1' else ''}{more}")
        return await self.hear("35=A", f"34={answer or seq_num}")

    def abort(self) -> None:
        """The link breaks, and nothing is said."""
        self._writer.transport.abort()


@asynccontextmanager
async def wire_to(port: int, comp_id: str, version: str = "FIX.4.4") -> AsyncIterator[Wire]:
    """A connection; broken at the end, whatever state the session is in."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    wire = Wire(reader, writer, comp_id, version)
    try:
        yield wire
    finally:
        wire.abort()
