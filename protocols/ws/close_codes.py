"""The codes of Close frames: those of RFC 6455 and its registry that are used here, and the gateway's own from 4000 on.

A code, once published, never changes its meaning. `docs/connect/websocket.md` tells clients what to do on each.
"""

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
WRONG_TYPE = 1003
NO_STATUS = 1005  # never sent: the peer's Close named no code
BAD_UTF8 = 1007
TOO_BIG = 1009
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
TRY_LATER = 1013

UNDECODABLE = 4000
SUPERSEDED = 4001
LOGON_TIMEOUT = 4002
REFUSED = 4003
TOO_SLOW = 4008
SILENCE = 4010
ABUSE = 4029


def is_close_code(code: int) -> bool:
    """True for a code that may be in a Close frame.

    1000-1014 without 1004-1006, which are for local use; 3000-4999 are free.

    Source: RFC 6455 7.4 and the IANA registry.
    """
    return (1000 <= code <= 1014 and not 1004 <= code <= 1006) or 3000 <= code <= 4999
