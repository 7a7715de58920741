"""What may be sent to a session: the tags, values and time digits of its version and dialect.

`penstock` clients load our published dictionary and get everything; `plain` clients get only tags and values that
their version of the standard defines. A value that the version lacks becomes the nearest standard one: a new error code
needs nothing here. The sets below are the standard's enumerations, version by version.
"""

from functools import lru_cache

from protocols import errors
from protocols.errors import CODES
from protocols.fix.times import format_ns
from protocols.messages import ExecType, OrderEvent, Origin

FIX42, FIX44, FIXT11 = "FIX.4.2", "FIX.4.4", "FIXT.1.1"

# The values of each version, of those that the error codes use. FIX 5.0 SP2 defines all of them, but no stock
# dictionary has its throttle reasons.
_ORD_REJ_REASONS = {FIX42: frozenset(range(9)), FIX44: frozenset((*range(12), 13, 14, 15, 99))}
_CXL_REJ_REASONS = {FIX42: frozenset(range(4)), FIX44: frozenset((*range(7), 99))}
_BUSINESS_REJECT_REASONS = {FIX42: frozenset(range(6)), FIX44: frozenset(range(8)), FIXT11: frozenset(range(8))}

_CANCEL_ON_CONNECTION_LOSS, _CANCEL_ON_LOGOUT = 12, 13
_SMP_AGGRESSIVE, _SMP_PASSIVE = 18, 19
_MARKET_OPTION = 8
_BROKER_OPTION = 4
_RESTATED_OTHER = 99
_LAST_STOCK_RESTATEMENT = 11  # stock dictionaries of FIX 5.0 SP2 end there; some engines reject higher values
_MASS_CANCEL_OTHER = 99
_MASS_CANCEL_NOT_SUPPORTED, _UNKNOWN_SECURITY = 0, 1  # of 532, a single character in FIX.4.4
_UNSOLICITED_CANCELS = frozenset((errors.DISCONNECTED, errors.DEAD_MAN, errors.OPERATOR, errors.SELF_MATCH))


class Dialect:
    """The choices that a (version, dialect) pair makes."""

    def __init__(self, version: str, dialect: str) -> None:
        """version: BeginString(8) of the session. dialect: "penstock" or "plain".

        Raises:
            ValueError: another version or dialect: an error of the caller.
        """
        if version not in (FIX42, FIX44, FIXT11) or dialect not in ("penstock", "plain"):
            raise ValueError(f"no dialect {dialect!r} of {version!r}")
        self.version = version
        self.is_plain = dialect == "plain"
        self.is_fix42 = version == FIX42
        self.is_fixt = version == FIXT11
        self.time_digits = 3 if self.is_plain else 6
        self.has_fix43_fields = not self.is_fix42  # 526, 851 and the fee group came later
        self.trade_id_tag = 880 if self.is_fixt else 0 if self.is_plain else 1003
        self._ord_rej = self._reasons(_ORD_REJ_REASONS, "ord_rej", 0 if self.is_fix42 else 99)
        self._cxl_rej = self._reasons(_CXL_REJ_REASONS, "cxl_rej", 2 if self.is_fix42 else 99)
        self._bmr = self._reasons(_BUSINESS_REJECT_REASONS, "bmr", 0)
        self.throttle_reason = self._bmr[errors.MESSAGE_RATE_LIMITED]

    def _reasons(self, known: dict[str, frozenset[int]], column: str, otherwise: int) -> dict[int, int]:
        legal = known.get(self.version) if self.is_plain else None
        rows = {code: int(getattr(row, column)) for code, row in CODES.items()}
        return {code: reason if legal is None or reason in legal else otherwise for code, reason in rows.items()}

    def ord_rej_reason(self, code: int) -> int:
        """OrdRejReason(103) for an error code."""
        return self._ord_rej.get(code, self._ord_rej[errors.ENGINE_BUSY])

    def cxl_rej_reason(self, code: int) -> int:
        """CxlRejReason(102) for an error code."""
        return self._cxl_rej.get(code, self._cxl_rej[errors.ENGINE_BUSY])

    def business_reject_reason(self, code: int) -> int:
        """BusinessRejectReason(380) for an error code."""
        return self._bmr.get(code, 0)

    def restatement_reason(self, event: OrderEvent) -> int | None:
        """ExecRestatementReason(378) of an unrequested cancel or a restatement; None for any other event.

        On a self-match, the aggressive order is the one whose own command caused it: only its event has a cmd_id.
        """
        restated = event.exec_type is ExecType.RESTATED
        if not restated and not (event.exec_type is ExecType.CANCELED and event.code in _UNSOLICITED_CANCELS):
            return None
        if not self.is_fixt:
            return _BROKER_OPTION if self.is_plain and self.is_fix42 else _MARKET_OPTION
        reason = _RESTATED_OTHER if restated else _MARKET_OPTION
        if event.code == errors.DISCONNECTED:
            reason = _CANCEL_ON_LOGOUT if event.origin is Origin.LOGOUT else _CANCEL_ON_CONNECTION_LOSS
        elif event.code == errors.SELF_MATCH:
            reason = _SMP_AGGRESSIVE if event.cmd_id else _SMP_PASSIVE
        return _RESTATED_OTHER if self.is_plain and reason > _LAST_STOCK_RESTATEMENT else reason

    def mass_cancel_reject_reason(self, code: int) -> int:
        """MassCancelRejectReason(532) for an error code."""
        if not self.is_plain:
            return _MASS_CANCEL_OTHER
        return _UNKNOWN_SECURITY if code == errors.UNKNOWN_SYMBOL else _MASS_CANCEL_NOT_SUPPORTED

    def time(self, at_ns: int) -> str:
        """A UTCTimestamp with the session's digits."""
        return format_ns(at_ns, self.time_digits)

    def refusal_tail(self, code: int, text: str, retry_after_ms: int = 0, seq: int | None = None) -> str:
        """The end of every refusal: ErrorCode, RetryAfterMs, Outcome and AccountSeq if the dialect has them, then Text.

        retry_after_ms 0, seq None: the field is left out.
        """
        if self.is_plain:
            return f"58={text}\x01"
        row = CODES.get(code)
        outcome = 1 if row is not None and row.unknown_outcome else 0
        retry = f"20101={retry_after_ms}\x01" if retry_after_ms > 0 else ""
        number = "" if seq is None else f"20105={seq}\x01"
        return f"25016={code}\x01{retry}20102={outcome}\x01{number}58={text}\x01"


def safe_text(text: str, limit: int = 256) -> str:
    """`text` made safe for the wire: printable ASCII, anything else as `?`, at most `limit` characters.

    Text comes from operators, cores and WebSocket clients: a SOH would forge fields, a line feed would forge log lines.
    """
    if len(text) > limit:
        text = text[:limit]
    if text.isascii() and text.isprintable():
        return text
    return "".join([c if " " <= c <= "~" else "?" for c in text])


def reason_text(code: int, text: str) -> str:
    """The reason, safe for the wire: the text, else the name of the code; never empty."""
    if text:
        return safe_text(text)
    row = CODES.get(code)
    return row.name.replace("_", " ") if row is not None else "refused"


@lru_cache(maxsize=6)
def dialect_of(version: str, dialect: str) -> Dialect:
    """Shared by all sessions of this version and dialect: its tables take 7 kB."""
    return Dialect(version, dialect)
