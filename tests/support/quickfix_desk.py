"""A QuickFIX C++ initiator for end-to-end tests: somebody else's FIX engine, with the dictionaries that it ships.

Its callbacks run in its own thread: they only hand text over to the test's loop, and nothing may escape from them (an
exception there kills the thread without a word). Whatever it objects to in our messages is kept in `faults`.
"""

import asyncio
import base64
import importlib.metadata
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import quickfix
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.client.fix import Fields, Pairs, sending_time
from tests.support.desks import Ear

_WITH_TRANSACT_TIME = frozenset("DFGq")
_SETTINGS = """
[DEFAULT]
ConnectionType=initiator
ReconnectInterval=60
HeartBtInt=30
StartTime=00:00:00
EndTime=00:00:00
ResetOnLogon=Y
UseDataDictionary=Y
TimestampPrecision=6

[SESSION]
BeginString=FIX.4.4
SenderCompID={comp_id}
TargetCompID=GATE
SocketConnectHost=127.0.0.1
SocketConnectPort={port}
DataDictionary={dictionary}
"""


def dictionary(name: str) -> str:
    """Path of a data dictionary that the quickfix-py distribution brings, such as `FIX44.xml`."""
    files = importlib.metadata.files("quickfix-py") or []
    return str(next(file for file in files if file.name == name).locate())


def fields_of(message: quickfix.Message) -> Fields:
    """Tag to text, the first value of a tag."""
    pairs = (pair.partition("=") for pair in message.toString().rstrip("\x01").split("\x01"))
    fields: Fields = {}
    for tag, _, value in pairs:
        fields.setdefault(int(tag), value)
    return fields


class QuickfixDesk(quickfix.Application):
    """One FIX.4.4 session over QuickFIX. credentials: where the signature goes, "" (none), "554" or "96"."""

    def __init__(self, comp_id: str, seed: bytes, key_id: str, credentials: str) -> None:
        super().__init__()
        self.ear = Ear()
        self.faults: list[str] = []
        self.logged_on = asyncio.Event()
        self.logged_out = asyncio.Event()
        self._comp_id, self._seed, self._key_id, self._credentials = comp_id, seed, key_id, credentials
        self._loop = asyncio.get_running_loop()
        self._session: quickfix.SessionID | None = None

    # -- called by QuickFIX, in its thread

    def onCreate(self, session: quickfix.SessionID) -> None:
        self._session = session

    def onLogon(self, session: quickfix.SessionID) -> None:
        self._loop.call_soon_threadsafe(self.logged_on.set)

    def onLogout(self, session: quickfix.SessionID) -> None:
        self._loop.call_soon_threadsafe(self.logged_out.set)

    def toAdmin(self, message: quickfix.Message, session: quickfix.SessionID) -> None:
        try:
            kind = fields_of(message)[35]
            if kind == "A" and self._credentials:
                self._sign(message)
            elif kind == "3":
                self.faults.append(message.toString().replace("\x01", "|"))
        except Exception as error:
            self.faults.append(repr(error))

    def fromAdmin(self, message: quickfix.Message, session: quickfix.SessionID) -> None:
        self._hand_over(message)

    def toApp(self, message: quickfix.Message, session: quickfix.SessionID) -> None:
        try:
            if fields_of(message)[35] == "j":
                self.faults.append(message.toString().replace("\x01", "|"))
        except Exception as error:
            self.faults.append(repr(error))

    def fromApp(self, message: quickfix.Message, session: quickfix.SessionID) -> None:
        self._hand_over(message)

    def _hand_over(self, message: quickfix.Message) -> None:
        try:
            self._loop.call_soon_threadsafe(self.ear.hear, fields_of(message))
        except Exception as error:
            self.faults.append(repr(error))

    def _sign(self, message: quickfix.Message) -> None:
        fields = fields_of(message)
        text = "\x01".join(("A", fields[49], fields[56], fields[34], fields[52])).encode()
        signed = base64.b64encode(Ed25519PrivateKey.from_private_bytes(self._seed).sign(text)).decode()
        message.setField(553, self._key_id)
        if self._credentials == "554":
            message.setField(554, signed)
        else:
            message.setField(95, str(len(signed)))
            message.setField(96, signed)

    # -- called by tests

    def send(self, msg_type: str, pairs: Pairs) -> None:
        """Send an application message; TransactTime(60) is added where it belongs."""
        message = quickfix.Message()
        message.getHeader().setField(35, msg_type)
        for tag, value in pairs:
            message.setField(tag, str(value))
        if msg_type in _WITH_TRANSACT_TIME:
            message.setField(60, sending_time(time.time_ns()))
        assert quickfix.Session.sendToTarget(message, self._session)

    async def expect(self, msg_type: str, wanted: dict[int, str] | None = None) -> Fields:
        """The first message of this type with these values."""
        return await self.ear.expect({35: msg_type, **(wanted or {})})  # type: ignore[return-value]


@asynccontextmanager
async def quickfix_desk(
    port: int, comp_id: str, seed: bytes = b"", key_id: str = "", credentials: str = ""
) -> AsyncIterator[QuickfixDesk]:
    """A desk that is logged on; logged out, stopped and destroyed at the end. No fault may have been found by then."""
    with tempfile.TemporaryDirectory(prefix="penstock-quickfix-") as name:
        path = Path(name) / "session.cfg"
        text = _SETTINGS.format(comp_id=comp_id, port=port, dictionary=dictionary("FIX44.xml"))
        path.write_text(text, encoding="utf-8")
        desk = QuickfixDesk(comp_id, seed, key_id, credentials)
        settings = quickfix.SessionSettings(str(path))
        initiator = quickfix.SocketInitiator(desk, quickfix.MemoryStoreFactory(), settings)
        initiator.start()
        try:
            async with asyncio.timeout(10):
                await desk.logged_on.wait()
            yield desk
            assert desk.faults == []
        finally:
            await asyncio.to_thread(initiator.stop, True)
            del initiator
