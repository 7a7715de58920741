"""The first message of a connection, before its session is known: a whole Logon(A), or a reason to close.

An unknown peer gets no answer: a Logout(5) would use up a number of a real session. `refused_logout` is for sessions
that begin anew at each logon, where the operator chose it. The bytes are kept as they came, for the session's own
machine to read again.
"""

import msgspec

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.fix.decoder import DecodedMessage, Decoder
from protocols.fix.dictionary.tables import VERSIONS
from protocols.fix.events import Garbled
from protocols.fix.framing import Framer
from protocols.fix.message import encode
from protocols.fix.session.logon import LogonRefusal
from protocols.fix.session.refusals import logout_body
from protocols.fix.session.settings import SessionSettings
from protocols.fix.tags import SOH, MsgType
from protocols.fix.times import format_ns

REFUSED = "logon refused"
"""The only text that an unknown peer gets, whatever the cause."""


class LogonClaim(msgspec.Struct, frozen=True):
    """Who a peer says it is; nothing is proven. raw: all bytes received so far, to be fed to the session.

    message.fault may be set: the session answers it, once the owner has found the session.
    """

    message: DecodedMessage
    begin_string: str
    raw: bytes


class CloseSilently(msgspec.Struct, frozen=True):
    """Close without an answer. reason: garbled, too_long, begin_string or not_a_logon; text: for the log."""

    reason: str
    text: str


class FirstMessage:
    """Collects the first message of one connection; holds at most `max_bytes` plus one read."""

    def __init__(self, max_bytes: int = 4_096) -> None:
        self._max_bytes = max_bytes
        self._framer = Framer(max_bytes)
        self._raw = bytearray()
        self._is_over = False

    def receive(self, data: bytes) -> LogonClaim | CloseSilently | None:
        """The result of the bytes so far; None = more are needed. Any input is accepted.

        Raises:
            LocalProtocolError: called again after a LogonClaim or a CloseSilently.
        """
        if self._is_over:
            raise LocalProtocolError("the first message has been read")
        self._raw += data
        found = self._framer.feed(data)
        self._is_over = bool(found) or len(self._raw) > self._max_bytes
        if found:
            return self._read(found[0])
        return CloseSilently("too_long", f"no whole message in {self._max_bytes} bytes") if self._is_over else None

    def _read(self, first: bytes | Garbled) -> LogonClaim | CloseSilently:
        if isinstance(first, Garbled):
            return CloseSilently("garbled", first.reason)
        begin_string = first[2 : first.index(b"\x01")].decode("latin-1")
        if begin_string not in VERSIONS:
            return CloseSilently("begin_string", f"BeginString(8) {begin_string!r} is not served")
        try:
            message = Decoder(begin_string).decode(first)
        except RemoteProtocolError as error:
            return CloseSilently("garbled", str(error))
        if message.msg_type != MsgType.LOGON:
            return CloseSilently("not_a_logon", "first message is not a Logon(A)")
        return LogonClaim(message, begin_string, bytes(self._raw))


def refused_logout(settings: SessionSettings, refusal: LogonRefusal | None, utc_ns: int) -> bytes:
    """A Logout(5) with MsgSeqNum(34)=1 for a refused Logon(A). The session's own numbers are not touched.

    Only for a peer whose numbers begin at 1 with this logon: any other would lose count. refusal: the reason, None =
    for an unknown peer, which learns nothing.
    """
    head = f"35={MsgType.LOGOUT}{SOH}34=1{SOH}49={settings.sender_comp_id}{SOH}"
    sending_time = format_ns(utc_ns, settings.time_digits)
    body = f"52={sending_time}{SOH}56={settings.target_comp_id}{SOH}"
    why = logout_body(settings, REFUSED, None)
    if refusal is not None:
        why = logout_body(settings, refusal.text, refusal.session_status, refusal.code)
    return encode(settings.begin_string, head + body + why)
