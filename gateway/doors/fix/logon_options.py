"""Options of a Logon(A): what it may choose for its session, what refuses it, and the values that the answer reports.

A value that cannot be read counts as absent: the session's configuration applies, and the answer reports the value in
force. Pure.
"""

import msgspec

from gateway.config import schema
from gateway.doors.services import Services
from gateway.sessions.session import Session
from protocols import errors
from protocols.fix import tags
from protocols.fix.dialect import safe_text
from protocols.fix.session.logon import LogonRefusal, whole_number
from protocols.fix.tags import SessionStatus

WINDOW_MAX_MS = 5_000  # RecvWindow(25000) of a Logon: at most, and by default

_COD = {"N": "off", "S": "session", "Y": "account"}
_COD_CHARS = {word: char for char, word in _COD.items()}


class Options(msgspec.Struct, frozen=True):
    """The values in force: from the Logon, else from the session's configuration.

    cancel_on_disconnect: off, session or account. response_mode: 1 everything of the account, 2 answers to this session
    and events of its own orders. window_ms: how old the signature may be.
    """

    cancel_on_disconnect: str
    cod_grace_ms: int
    response_mode: int
    window_ms: int


def options_of(settings: schema.FixSessionRow, logon: dict[int, str]) -> Options:
    """What this Logon(A) puts in force. Each starts from the configuration: no value of an earlier Logon remains."""
    cod = _COD.get(logon.get(tags.CANCEL_ORDERS_ON_DISCONNECT, ""), _COD[settings.cancel_on_disconnect])
    grace_ms = whole_number(logon.get(tags.COD_GRACE_MS))
    mode = logon.get(tags.RESPONSE_MODE, "")
    if settings.kind == "drop_copy":
        mode = "1"
    return Options(
        cancel_on_disconnect=cod,
        cod_grace_ms=settings.cod_grace_ms if grace_ms is None else min(grace_ms, settings.cod_grace_max_ms),
        response_mode=int(mode) if mode in ("1", "2") else settings.response_mode,
        window_ms=window_ms(logon),
    )


def window_ms(logon: dict[int, str]) -> int:
    """RecvWindow(25000) of a Logon(A): how old its signature may be. Decimals are cut off."""
    asked_ms = whole_number(logon.get(tags.RECV_WINDOW, "").partition(".")[0])
    return WINDOW_MAX_MS if asked_ms is None else min(asked_ms, WINDOW_MAX_MS)


def _fields_in_force(settings: schema.FixSessionRow, options: Options, logon: dict[int, str]) -> str:
    """The options as fields of the answering Logon(A). DropCopyFlag(9406) only for drop copies and who sent it."""
    window = f"25000={options.window_ms}\x01" if settings.auth == "key" else ""
    flag = ""
    if settings.kind == "drop_copy":
        flag = "9406=Y\x01"
    elif tags.DROP_COPY_FLAG in logon:
        flag = "9406=N\x01"
    return (
        f"8013={_COD_CHARS[options.cancel_on_disconnect]}\x0120107={options.cod_grace_ms}\x01"
        f"25036={options.response_mode}\x01{window}{flag}"
    )


class LogonTerms:
    """The gateway's policy for each Logon(A) of one session, and what a Logon puts in force."""

    def __init__(self, session: Session, settings: schema.FixSessionRow, services: Services, plain: bool) -> None:
        self._session = session
        self._settings = settings
        self._services = services
        self._plain = plain
        self.is_reset_unreported = False  # its numbers were reset, and no Logon has been accepted since
        session.set_response_mode(options_of(settings, {}).response_mode)

    def objection(self, logon: dict[int, str]) -> LogonRefusal | None:
        """Why a Logon with a valid proof may not begin the session, None when it may."""
        if self._services.orders.venue.draining:
            return LogonRefusal(
                "draining",
                "the gateway is draining, try again later",
                session_status=SessionStatus.LOGON_NOT_ALLOWED_NOW,
                code=errors.DRAINING,
            )
        is_unaware = self._settings.kind == "drop_copy" and logon.get(tags.DROP_COPY_FLAG) != "Y"
        if is_unaware and not self._plain:
            text = "DropCopyFlag(9406)=Y is required: this session only listens"
            return LogonRefusal("bad_logon", text, code=errors.MISSING_FIELD)
        return None

    def logon_body(self, logon: dict[int, str], begins_count: bool) -> str:
        """The answer's own fields: the values in force from now on."""
        if self._plain:
            return ""
        orders = self._services.orders
        latest = ""
        if begins_count or self.is_reset_unreported:
            # Unread reports are lost with the numbers: this shows how far the account's stream is.
            latest = f"20105={orders.dispatch.latest_seq(self._session)}\x01"
        plan = self._services.limiter.policy.plan_of(self._session.client.account).name
        notice = f"58=limits: {safe_text(plan)}, version {self._services.limiter.policy.version}\x01"
        in_force = _fields_in_force(self._settings, options_of(self._settings, logon), logon)
        return f"{latest}20106={orders.dispatch.epoch}\x01{in_force}{notice}"

    def put_in_force(self, logon: dict[int, str]) -> None:
        """The Logon is accepted: put its options in force."""
        session, options = self._session, options_of(self._settings, logon)
        session.cancel_on_disconnect, session.cod_grace_ms = options.cancel_on_disconnect, options.cod_grace_ms
        session.set_response_mode(options.response_mode)
        self.is_reset_unreported = False
