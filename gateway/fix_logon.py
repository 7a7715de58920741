"""What a Logon(A) may choose for its session, and how our answer tells it. Pure.

A value that cannot be read counts as not sent: the session's configuration holds, and the answer says what is in force.
"""

import msgspec

from gateway import config
from protocols.fix import tags
from protocols.fix.session_logon import whole_number

WINDOW_MAX_MS = 5_000  # RecvWindow(25000) of a Logon: at most, and by default

_COD = {"N": "off", "S": "session", "Y": "account"}
_COD_CHARS = {word: char for char, word in _COD.items()}


class Options(msgspec.Struct, frozen=True):
    """The values in force: the Logon's own, else the session's configuration.

    cancel_on_disconnect: off, session or account. response_mode: 1 everything of the account, 2 answers to this session
    and events of its own orders. window_ms: how old the signature may be.
    """

    cancel_on_disconnect: str
    cod_grace_ms: int
    response_mode: int
    window_ms: int


def options_of(settings: config.FixSession, logon: dict[int, str]) -> Options:
    """What this Logon(A) puts in force. It starts from the configuration each time: nothing of the last one lasts."""
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


def in_force(settings: config.FixSession, options: Options, logon: dict[int, str]) -> str:
    """The options as fields of our Logon(A). DropCopyFlag(9406) is told to those whom it may concern."""
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
