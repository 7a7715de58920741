"""QuickFIX C++ as an acceptor in Python, messages in memory: `python -m ...quickfix_acceptor SESSIONS`.

It checks messages with its FIX44 dictionary, keeps its sequence numbers, and reports an order as new. It has no limits,
book or journal.
"""

import sys
import tempfile
import threading
import time
from pathlib import Path

import quickfix

from protocols.fix.times import format_ns
from tests.support.quickfix_desk import dictionary
from tests.support.server import free_ports

_COPIED = (11, 55, 54, 38, 40, 44, 59, 526)
_HEAD = """
[DEFAULT]
ConnectionType=acceptor
BeginString=FIX.4.4
SenderCompID=GATE
SocketAcceptPort={port}
SocketReuseAddress=Y
SocketNodelay=Y
StartTime=00:00:00
EndTime=00:00:00
HeartBtInt=60
ResetOnLogon=Y
TimestampPrecision=6
UseDataDictionary=Y
DataDictionary={dictionary}
"""


class Reporter(quickfix.Application):
    """Every order is new."""

    def __init__(self) -> None:
        super().__init__()
        self._number = 0

    def onCreate(self, session: quickfix.SessionID) -> None: ...

    def onLogon(self, session: quickfix.SessionID) -> None: ...

    def onLogout(self, session: quickfix.SessionID) -> None: ...

    def toAdmin(self, message: quickfix.Message, session: quickfix.SessionID) -> None: ...

    def toApp(self, message: quickfix.Message, session: quickfix.SessionID) -> None: ...

    def fromAdmin(self, message: quickfix.Message, session: quickfix.SessionID) -> None: ...

    def fromApp(self, message: quickfix.Message, session: quickfix.SessionID) -> None:
        number = self._number = self._number + 1
        report = quickfix.Message()
        report.getHeader().setField(35, "8")
        for tag in _COPIED:
            report.setField(tag, message.getField(tag))
        name = str(number)
        stamp = format_ns(time.time_ns())
        own = ((37, name), (17, name), (150, "0"), (39, "0"), (14, "0"), (151, message.getField(38)), (6, "0"))
        for tag, value in (*own, (60, stamp)):
            report.setField(tag, value)
        quickfix.Session.sendToTarget(report, session)


def main() -> None:
    """Serve until killed."""
    port = free_ports("fix")["fix"]
    sections = [f"[SESSION]\nTargetCompID=S{n}\n" for n in range(1, int(sys.argv[1]) + 1)]
    with tempfile.TemporaryDirectory(prefix="penstock-quickfix-") as name:
        path = Path(name) / "acceptor.cfg"
        path.write_text(_HEAD.format(port=port, dictionary=dictionary("FIX44.xml")) + "".join(sections), "utf-8")
        acceptor = quickfix.SocketAcceptor(
            Reporter(), quickfix.MemoryStoreFactory(), quickfix.SessionSettings(str(path))
        )
        acceptor.start()
    print(port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
