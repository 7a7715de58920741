"""The exact texts that a client signs to log on, one for each door; every type of key signs the same text.

Keys and signatures are checked in `gateway.auth`. If one byte of a text changes, no client in the field can log on:
tests compare them with the published test vectors.
"""

from collections.abc import Mapping

_SOH = "\x01"


def fix_logon_text(fields: Mapping[int, str]) -> bytes:
    """What a FIX client signs: `A`, then 49, 56, 34 and 52 as sent, joined by SOH.

    Args:
        fields: the Logon's header and body fields, tag to text; SenderCompID(49), TargetCompID(56), MsgSeqNum(34) and
            SendingTime(52) are read.

    Raises:
        KeyError: one of the four fields is missing (the session layer refuses such a Logon before).
    """
    return _SOH.join(("A", fields[49], fields[56], fields[34], fields[52])).encode("latin-1", "replace")


def ws_logon_text(api_key: str, challenge: str, ts: int) -> bytes:
    """What a WebSocket client signs in `session.logon`; ts in microseconds UTC, challenge "" = none was used."""
    return f"session.logon\n{api_key}\n{challenge}\n{ts}".encode("utf-8", "replace")


def ws_header_text(api_key: str, ts: int) -> bytes:
    """What a client signs to log on in the headers of the upgrade: the same text with an empty challenge."""
    return ws_logon_text(api_key, "", ts)
