"""The one list of error codes, for FIX ErrorCode(25016) and WebSocket `error.code`, and the two protocol exceptions.

Names are stable, and a code is never reused. "You are too fast" (3xxx) and "we are too slow" (5xxx) never share a code,
and every code says whether the order may be live (`outcome`).
"""

import msgspec


class RemoteProtocolError(Exception):
    """The peer broke the protocol; the text says how. The function that raises it says what ends: message or link."""


class LocalProtocolError(Exception):
    """The caller asked for what the state does not allow. Nothing was sent, and the state is unchanged."""


class ErrorCode(msgspec.Struct, frozen=True):
    """One row of the list.

    ws: WebSocket status. ord_rej: OrdRejReason(103) on D. cxl_rej: CxlRejReason(102) on F and G. bmr:
    BusinessRejectReason(380). retry: "no", "after" (a time is given), "later", "new_ts" (with a new timestamp), "flag"
    (with the retry flag) or "reconnect".
    """

    code: int
    name: str
    ws: int
    ord_rej: int = 99
    cxl_rej: int = 99
    bmr: int = 0
    retry: str = "no"
    unknown_outcome: bool = False


NOT_LOGGED_ON = 1001
LOGON_REFUSED = 1002
SESSION_IN_USE = 1003
MALFORMED = 1004
NOT_PERMITTED = 1005
UNKNOWN_METHOD = 1006
TOO_MANY_CONNECTIONS = 1007
BAD_SEQUENCE = 1008
BAD_FIELD = 2001
MISSING_FIELD = 2002
UNKNOWN_SYMBOL = 2003
BAD_TICK = 2004
BAD_QUANTITY = 2005
BAD_NOTIONAL = 2006
PRICE_OUT_OF_BAND = 2007
UNSUPPORTED_COMBINATION = 2008
EXPIRED_ON_ARRIVAL = 2010
RATE_LIMITED = 3001
CANCEL_RATE_LIMITED = 3002
MESSAGE_RATE_LIMITED = 3003
QUERY_RATE_LIMITED = 3004
TOO_MANY_OPEN_ORDERS = 3005
COOLING_DOWN = 3006
NEVER_FITS = 3007
LIMIT_ABUSE = 3009
INSUFFICIENT_FUNDS = 4001
UNKNOWN_ORDER = 4002
DUPLICATE_ID = 4003
TOO_LATE = 4004
WOULD_TAKE = 4005
PENDING_CHANGE = 4006
SELF_MATCH = 4007
NO_LIQUIDITY = 4008
MARKET_HALTED = 4010
CANCEL_ONLY = 4011
ENGINE_BUSY = 5001
ENGINE_DOWN = 5002
EXPIRED_IN_QUEUE = 5003
ENGINE_TIMEOUT = 5004
DRAINING = 5005
WITHDRAWN = 5006
INTERNAL = 5009
DISCONNECTED = 6001
DEAD_MAN = 6002
OPERATOR = 6003

_LIST = (
    ErrorCode(NOT_LOGGED_ON, "not_logged_on", 401),
    ErrorCode(LOGON_REFUSED, "logon_refused", 401),
    ErrorCode(SESSION_IN_USE, "session_in_use", 409, retry="later"),
    ErrorCode(MALFORMED, "malformed", 400),
    ErrorCode(NOT_PERMITTED, "not_permitted", 403, ord_rej=0, bmr=6),
    ErrorCode(UNKNOWN_METHOD, "unknown_method", 404, bmr=3),
    ErrorCode(TOO_MANY_CONNECTIONS, "too_many_connections", 429, retry="later"),
    ErrorCode(BAD_SEQUENCE, "bad_sequence", 400),
    ErrorCode(BAD_FIELD, "bad_field", 400),
    ErrorCode(MISSING_FIELD, "missing_field", 400, bmr=5),
    ErrorCode(UNKNOWN_SYMBOL, "unknown_symbol", 404, ord_rej=1, bmr=2),
    ErrorCode(BAD_TICK, "bad_tick", 422, ord_rej=18),
    ErrorCode(BAD_QUANTITY, "bad_quantity", 422, ord_rej=13),
    ErrorCode(BAD_NOTIONAL, "bad_notional", 422, ord_rej=3),
    ErrorCode(PRICE_OUT_OF_BAND, "price_out_of_band", 422, ord_rej=16),
    ErrorCode(UNSUPPORTED_COMBINATION, "unsupported_combination", 422, ord_rej=11),
    ErrorCode(EXPIRED_ON_ARRIVAL, "expired_on_arrival", 400, ord_rej=8, retry="new_ts"),
    ErrorCode(RATE_LIMITED, "rate_limited", 429, bmr=8, retry="after"),
    ErrorCode(CANCEL_RATE_LIMITED, "cancel_rate_limited", 429, bmr=8, retry="after"),
    ErrorCode(MESSAGE_RATE_LIMITED, "message_rate_limited", 429, bmr=8, retry="after"),
    ErrorCode(QUERY_RATE_LIMITED, "query_rate_limited", 429, bmr=8, retry="after"),
    ErrorCode(TOO_MANY_OPEN_ORDERS, "too_many_open_orders", 429, ord_rej=3, retry="after"),
    ErrorCode(COOLING_DOWN, "cooling_down", 429, bmr=8, retry="after"),
    ErrorCode(NEVER_FITS, "never_fits", 429, bmr=8),
    ErrorCode(LIMIT_ABUSE, "limit_abuse", 429, bmr=9, retry="later"),
    ErrorCode(INSUFFICIENT_FUNDS, "insufficient_funds", 422, ord_rej=3),
    ErrorCode(UNKNOWN_ORDER, "unknown_order", 404, ord_rej=5, cxl_rej=1),
    ErrorCode(DUPLICATE_ID, "duplicate_id", 409, ord_rej=6, cxl_rej=6),
    ErrorCode(TOO_LATE, "too_late", 409, cxl_rej=0),
    ErrorCode(WOULD_TAKE, "would_take", 422),
    ErrorCode(PENDING_CHANGE, "pending_change", 409, cxl_rej=3, retry="after"),
    ErrorCode(SELF_MATCH, "self_match", 422),
    ErrorCode(NO_LIQUIDITY, "no_liquidity", 200),
    ErrorCode(MARKET_HALTED, "market_halted", 422, ord_rej=2, retry="later"),
    ErrorCode(CANCEL_ONLY, "cancel_only", 422, ord_rej=2, retry="later"),
    ErrorCode(ENGINE_BUSY, "engine_busy", 503, bmr=4, retry="after"),
    ErrorCode(ENGINE_DOWN, "engine_down", 503, bmr=4, retry="later"),
    ErrorCode(EXPIRED_IN_QUEUE, "expired_in_queue", 503, ord_rej=8, retry="new_ts"),
    ErrorCode(ENGINE_TIMEOUT, "engine_timeout", 504, retry="flag", unknown_outcome=True),
    ErrorCode(DRAINING, "draining", 503, bmr=4, retry="reconnect"),
    ErrorCode(WITHDRAWN, "withdrawn", 503),
    ErrorCode(INTERNAL, "internal", 504, retry="flag", unknown_outcome=True),
    ErrorCode(DISCONNECTED, "disconnected", 200),
    ErrorCode(DEAD_MAN, "dead_man", 200),
    ErrorCode(OPERATOR, "operator", 200),
)
CODES: dict[int, ErrorCode] = {row.code: row for row in _LIST}


class Refusal(msgspec.Struct, frozen=True):
    """The gateway's own negative answer to a request. It is not an event, so it is not in the account's stream.

    retry_after_ms: earliest useful resend, 0 = not given. field: the key to blame. data: details, for WebSocket only.
    """

    code: int
    text: str
    retry_after_ms: int = 0
    field: str = ""
    data: dict[str, object] | None = None

    @property
    def outcome(self) -> str:
        """`not_executed` (safe to resend) or `unknown` (reconcile by client id)."""
        return "unknown" if CODES[self.code].unknown_outcome else "not_executed"
