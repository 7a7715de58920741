"""What a WebSocket session reports to its owner. The machine has done before what the protocol requires.

A connection ends in two steps: `Closed` when the conversation is over (start cancel-on-disconnect, release the
session), then `CloseTransport` when the transport may be closed. After `WsSession.close` there is only the second.
"""

import msgspec

from protocols.errors import Refusal
from protocols.ws.order_run import PlaceRun
from protocols.ws.schema import BatchParams, LogonParams, Params

RequestKey = str | int | None


class LogonRequested(msgspec.Struct, frozen=True, gc=False):
    """A peer requests to log on; answer with `accept_logon` or `refuse_logon`. Its later messages wait for that.

    signed: the text that params.sig must sign. challenged: it contains our challenge; without one, params.ts must be
    close to our clock. A wrong challenge is refused before.
    """

    request_id: RequestKey
    params: LogonParams
    signed: bytes
    challenged: bool
    t_in_ns: int


class Requested(msgspec.Struct, frozen=True, gc=False):
    """A request with valid params. Exactly one `respond` or `fail` answers it. size_bytes: on the wire."""

    request_id: RequestKey
    method: str
    params: Params | BatchParams
    size_bytes: int
    t_in_ns: int
    traceparent: str


class UnknownMethod(msgspec.Struct, frozen=True, gc=False):
    """A request of an unknown method. The owner answers it with `fail`: this refusal, or that of a limit."""

    request_id: RequestKey
    refusal: Refusal
    t_in_ns: int


class Answered(msgspec.Struct, frozen=True, gc=False):
    """A message that the machine answered by itself. code 0 = success, else the error. For limits and metrics."""

    method: str
    code: int
    size_bytes: int


class Closed(msgspec.Struct, frozen=True, gc=False):
    """The conversation is over. reason: a word for logs and metrics. code: close code, 1005 = the peer gave none."""

    code: int
    reason: str
    text: str
    by_peer: bool


class CloseTransport(msgspec.Struct, frozen=True, gc=False):
    """The owner must close the transport now, after writing the output."""

    reason: str


Event = LogonRequested | Requested | PlaceRun | UnknownMethod | Answered | Closed | CloseTransport
