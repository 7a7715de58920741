"""A QuickFIX C++ initiator for end-to-end tests: somebody else's FIX engine, with the dictionaries that it ships.

Its callbacks run in its own thread: they only hand text over to the test's loop, and nothing may escape from them (an
exception there kills the thread without a word). Whatever it objects to in our messages is kept in `faults`.
It keeps sessions in a global registry: each desk of a process needs a CompID of its own.
"""

import asyncio
import base64
import importlib.metadata
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import quickfix
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.client.fix import Fields, Pairs, sending_time
from tests.support.desks import Ear

_WITH_TRANSACT_TIME = frozenset("DFGq")
_SETTINGS = """
[DEFAULT]
ConnectionType=initiator
ReconnectInterval={reconnect_s}
HeartBtInt=30
StartTime=00:00:00
EndTime=00:00:00
ResetOnLogon={reset}
UseDataDictionary=Y
ValidateFieldsOutOfOrder=Y
ValidateFieldsHaveValues=Y
ValidateUserDefinedFields=Y
TimestampPrecision=6
SendNextExpectedMsgSeqNum={next_expected}

[SESSION]
BeginString={version}
SenderCompID={comp_id}
TargetCompID=GATE
SocketConnectHost=127.0.0.1
SocketConnectPort={port}
{dictionaries}
"""
_STOCK = {"FIX.4.2": ("FIX42.xml",), "FIX.4.4": ("FIX44.xml",), "FIXT.1.1": ("FIX50SP2.xml", "FIXT11.xml")}


@dataclass(frozen=True)
class Engine:
    """How the engine is set. dictionaries: paths, the application's and on FIXT.1.1 the transport's; () = the stock."""

    version: str = "FIX.4.4"
    dictionaries: tuple[str, ...] = ()
    reset_on_logon: bool = True
    reconnect_s: int = 60
    sends_789: bool = False

    def settings(self, comp_id: str, port: int) -> str:
        """The text of its configuration."""
        paths = self.dictionaries or tuple(dictionary(name) for name in _STOCK[self.version])
        keys = ("DefaultApplVerID=9\nAppDataDictionary", "TransportDataDictionary")
        if len(paths) == 1:
            keys = ("DataDictionary", "")
        return _SETTINGS.format(
            comp_id=comp_id,
            port=port,
            version=self.version,
            reset="Y" if self.reset_on_logon else "N",
            reconnect_s=self.reconnect_s,
            next_expected="Y" if self.sends_789 else "N",
            dictionaries="\n".join(f"{key}={path}" for key, path in zip(keys, paths, strict=False)),
        )


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
    """One session over QuickFIX. credentials: where the signature goes, "" (none), "554" or "96"; key_id "": no 553.

    numbers: MsgSeqNum(34) of all that QuickFIX took, in its order. spoken: the tags it found in each MsgType(35).
    sent: MsgType(35) of every session message that it sent by itself.
    """

    def __init__(self, comp_id: str, seed: bytes, key_id: str, credentials: str) -> None:
        super().__init__()
        self.ear = Ear()
        self.faults: list[str] = []
        self.numbers: list[int] = []
        self.spoken: dict[str, set[int]] = {}
        self.sent: list[str] = []
        self.resets_next_logon = False
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
            self.sent.append(kind)
            if kind == "A" and self.resets_next_logon:
                self.resets_next_logon = False
                message.setField(141, "Y")
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
            fields = fields_of(message)
            self.numbers.append(int(fields[34]))
            self.spoken.setdefault(fields[35], set()).update(fields)
            self._loop.call_soon_threadsafe(self.ear.hear, fields)
        except Exception as error:
            self.faults.append(repr(error))

    def _sign(self, message: quickfix.Message) -> None:
        fields = fields_of(message)
        text = "\x01".join(("A", fields[49], fields[56], fields[34], fields[52])).encode()
        signed = base64.b64encode(Ed25519PrivateKey.from_private_bytes(self._seed).sign(text)).decode()
        if self._key_id:
            message.setField(553, self._key_id)
        if self._credentials == "554":
            message.setField(554, signed)
        else:
            message.setField(95, str(len(signed)))
            message.setField(96, signed)

    # -- called by tests

    def send(self, msg_type: str, pairs: Pairs) -> None:
        """Send a message; TransactTime(60) is added where it belongs."""
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

    async def logs_on(self) -> None:
        """Wait until it is logged on, and forget it, so that the next wait is for the next logon."""
        async with asyncio.timeout(10):
            await self.logged_on.wait()
        self.logged_on.clear()


_DEFAULTS = Engine()


@asynccontextmanager
async def quickfix_desk(
    port: int, comp_id: str, seed: bytes = b"", key_id: str = "", credentials: str = "", engine: Engine = _DEFAULTS
) -> AsyncIterator[QuickfixDesk]:
    """A desk that is logged on; logged out, stopped and destroyed at the end. No fault may have been found by then."""
    with tempfile.TemporaryDirectory(prefix="penstock-quickfix-") as name:
        path = Path(name) / "session.cfg"
        path.write_text(engine.settings(comp_id, port), encoding="utf-8")
        desk = QuickfixDesk(comp_id, seed, key_id, credentials)
        settings = quickfix.SessionSettings(str(path))
        initiator = quickfix.SocketInitiator(desk, quickfix.MemoryStoreFactory(), settings)
        initiator.start()
        try:
            await desk.logs_on()
            yield desk
            assert desk.faults == []
        finally:
            await asyncio.to_thread(initiator.stop, True)
            del initiator
