"""What a WebSocket session can tell its owner. The machine has already done what the wire asks; these are facts.

A connection ends in two steps: `Closed` when the conversation is over (start cancel-on-disconnect, forget the session),
then `CloseTransport` when the transport may be closed. A connection that `WsSession.close` ended gives only the second.
"""

import msgspec

from protocols.errors import Refusal
from protocols.ws.schema import BatchParams, LogonParams, Params

RequestKey = str | int | None


class LogonRequested(msgspec.Struct, frozen=True, gc=False):
    """Someone asks to log on; answer with `accept_logon` or `refuse_logon`. What follows on the wire waits for that.

    signed: the text that params.sig must sign. challenged: our challenge is part of it, so params.ts need not be near
    our clock; without one it must be. A wrong challenge never comes here.
    """

    request_id: RequestKey
    params: LogonParams
    signed: bytes
    challenged: bool
    t_in_ns: int


class Requested(msgspec.Struct, frozen=True, gc=False):
    """A request with sound params. Exactly one `respond` or `fail` answers it; size_bytes is its size on the wire."""

    request_id: RequestKey
    method: str
    params: Params | BatchParams
    size_bytes: int
    t_in_ns: int
    traceparent: str


class UnknownMethod(msgspec.Struct, frozen=True, gc=False):
    """A request of a method that does not exist. The owner answers it with `fail`: with this refusal, or a limit's."""

    request_id: RequestKey
    refusal: Refusal
    t_in_ns: int


class Answered(msgspec.Struct, frozen=True, gc=False):
    """A message that the machine answered by itself: code 0 = well, else why not. For limits and metrics."""

    method: str
    code: int
    size_bytes: int


class Closed(msgspec.Struct, frozen=True, gc=False):
    """The conversation is over: the peer closed it, or we did, for the coded reason. code: close code, 1005 = none."""

    code: int
    reason: str
    text: str
    by_peer: bool


class CloseTransport(msgspec.Struct, frozen=True, gc=False):
    """The owner must close the transport now, after writing the output."""

    reason: str


Event = LogonRequested | Requested | UnknownMethod | Answered | Closed | CloseTransport
