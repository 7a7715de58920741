"""One WebSocket connection as a machine: logon, heartbeat, requests in, responses and events out, close.

Bytes and the time go in, events and bytes come out; randomness (connection id, challenge) is an argument. The machine
answers what it cannot read, and before the logon `ping` and `time`; the owner answers everything else. Frames that come
while the owner decides on a logon are kept and read by `accept_logon`, so a client need not wait for the answer.
"""

from protocols import errors
from protocols.errors import LocalProtocolError, Refusal
from protocols.signing import ws_logon_text
from protocols.units import NS_PER_MS, NS_PER_S, NS_PER_US
from protocols.wall import WallClock
from protocols.ws import close_codes, framing
from protocols.ws.codec import CODECS, Malformed
from protocols.ws.events import (
    Answered,
    Closed,
    CloseTransport,
    Event,
    LogonRequested,
    Requested,
    RequestKey,
    UnknownMethod,
)
from protocols.ws.framing import CLOSE, PING, PONG, Broken, Close, DataMessage, Frame, Ping
from protocols.ws.heartbeat import Heartbeat
from protocols.ws.order_reader import PlaceReader
from protocols.ws.output import WsOutput
from protocols.ws.results import BIG_METHODS, EventWire, HelloData, LimitBlock, LogonResult, TimeResult
from protocols.ws.schema import LogonParams, RequestEnvelope
from protocols.ws.settings import TRANSITIONS, ConnectionState, WsSettings

BIG_FACTOR = 4  # how many times larger than other messages a batch may be
MAX_UNDECODABLE = 3  # in a row
MAX_BEFORE_LOGON = 16  # messages; no client needs more to log on
CLOSE_TIMEOUT_NS = NS_PER_S  # wait for the peer's Close, so that ours is read before the transport closes

_REASONS = {close_codes.PROTOCOL_ERROR: "protocol", close_codes.BAD_UTF8: "bad_utf8", close_codes.TOO_BIG: "too_big"}

# Looking up or hashing an Enum member calls Python code: too slow for each message.
_DECIDING = ConnectionState.DECIDING
_LOGGED_ON = ConnectionState.LOGGED_ON
_CLOSING = ConnectionState.CLOSING
_CLOSED = ConnectionState.CLOSED


class WsSession:
    """One connection, from the HTTP upgrade to the end of its transport.

    Args:
        conn_id: name of the connection, for logs and `hello`.
        challenge: random text for the client to sign; never used twice.
        now_ns: own time of the upgrade; the logon time-out starts here.
        wall: UTC beside own time; None = they are the same.
        mask: unmasks the payload of a frame.
    """

    def __init__(
        self,
        settings: WsSettings,
        conn_id: str,
        challenge: str,
        now_ns: int,
        wall: WallClock | None = None,
        mask: framing.Mask = framing.mask_in_place,
    ) -> None:
        self.settings = settings
        self._wall = wall or WallClock()
        self.codec = CODECS[settings.codec]
        self.conn_id = conn_id
        self.challenge = challenge
        self.state = ConnectionState.NEW
        self.order_reader: PlaceReader | None = None
        """Reads plain orders by the run; None = every message is an event of its own."""
        self._reader = framing.FrameReader(settings.pre_logon_max_bytes, mask=mask)
        self.output = WsOutput(self.codec, self._wall, now_ns)
        self._deadline_ns = now_ns + settings.logon_timeout_ms * NS_PER_MS  # of the logon, later of the close
        self._heartbeat = Heartbeat(settings.heartbeat_ms * NS_PER_MS, now_ns)
        self._undecodable = 0
        self._before_logon = 0
        self._logon: LogonRequested | None = None
        self._held: list[Frame] = []
        self._held_bytes = 0

    # What the owner reads.

    @property
    def is_logged_on(self) -> bool:
        """True between an accepted logon and the first Close of either side."""
        return self.state is _LOGGED_ON

    @property
    def is_deciding(self) -> bool:
        """True while a LogonRequested waits for `accept_logon` or `refuse_logon`; false once the connection ended."""
        return self.state is _DECIDING

    @property
    def pending_bytes(self) -> int:
        """Size of the output that `take_output` would give."""
        return len(self.output.unwritten)

    @property
    def next_deadline_ns(self) -> int | None:
        """When to call `tick` next, in own time; None = never."""
        if self.state in {ConnectionState.NEW, ConnectionState.CLOSED}:
            return None
        if self.state is not _LOGGED_ON:
            return self._deadline_ns
        return self._heartbeat.next_ns(self.output.last_sent_ns)

    def utc_us(self, now_ns: int) -> int:
        """The time of day as on the wire."""
        return self._wall.utc_ns(now_ns) // NS_PER_US

    def take_output(self) -> bytes:
        """The bytes to write, in order; the output is empty afterwards."""
        return self.output.take()

    # The connection.

    def connected(self, now_ns: int) -> None:
        """The upgrade is answered: queue `hello`."""
        self._move(ConnectionState.OPEN)
        hello = HelloData(
            conn_id=self.conn_id,
            challenge=self.challenge,
            server=self.settings.server,
            epoch=self.settings.epoch,
            heartbeat_ms=self.settings.heartbeat_ms,
            max_frame=self.settings.max_frame_bytes,
        )
        self.output.write(self.codec.encode(EventWire(ev="hello", ts=self.utc_us(now_ns), data=hello)), now_ns)

    def receive(self, data: bytes, now_ns: int) -> list[Event]:
        """The events of these bytes. Each Requested and LogonRequested needs an answer."""
        if self.state is _CLOSED:
            return []
        heartbeat = self._heartbeat
        heartbeat.last_in_ns, heartbeat.pinged_at_ns = now_ns, None
        return self._read(self._reader.feed(data), now_ns)

    def tick(self, now_ns: int) -> list[Event]:
        """Do what is due: heartbeat, time-outs. Harmless when called early."""
        events: list[Event] = []
        deadline_ns = self.next_deadline_ns
        if deadline_ns is None or now_ns < deadline_ns:
            return events
        if self.state is _CLOSING:
            self._move(ConnectionState.CLOSED)
            events.append(CloseTransport("close_timeout"))
        elif self.state is not _LOGGED_ON:
            self._fail(close_codes.LOGON_TIMEOUT, "logon_timeout", "no logon in time", now_ns, events)
        elif self._heartbeat.awaits_answer:
            self._fail(close_codes.SILENCE, "silence", "no traffic for two heartbeats", now_ns, events)
        else:
            self._heartbeat.pinged_at_ns = now_ns
            self.output.control(PING, b"", now_ns)
        return events

    def pause(self, now_ns: int) -> None:
        """The gateway stops reading: from now on silence is not the peer's fault. Pings still go out."""
        self._heartbeat.pause(now_ns)

    def resume(self, now_ns: int) -> None:
        """The gateway reads again: the time of the pause does not count."""
        paused_ns = self._heartbeat.resume(now_ns)
        if not self.output.is_over:
            self._deadline_ns += paused_ns

    def close(self, code: int, reason: str, now_ns: int, drops_unwritten: bool = False) -> None:
        """End the conversation with a Close frame; `CloseTransport` follows the peer's answer, or comes after 1 s.

        Nothing is written after it: later answers and events are dropped. No effect if the conversation is over.
        drops_unwritten: frames that are not taken yet are dropped too, for a peer too slow to read as far as the Close.
        """
        if self.output.is_over:
            return
        if drops_unwritten:
            self.output.unwritten.clear()
        self.output.control(CLOSE, framing.encode_close(code, reason), now_ns)
        self._move(ConnectionState.CLOSING)
        self._deadline_ns = now_ns + (0 if self._reader.has_closed else CLOSE_TIMEOUT_NS)
        self._held.clear()

    def lost(self) -> None:
        """The transport is gone."""
        self.state = _CLOSED
        self.output.is_over, self.output.takes_events = True, False
        self._held.clear()
        self.output.unwritten.clear()

    # Logon.

    def logged_on(self, now_ns: int) -> None:
        """The client logged on in the headers of the upgrade; call it after `connected`."""
        self._enter()
        self._heartbeat.last_in_ns = now_ns

    def accept_logon(
        self, request_id: RequestKey, result: LogonResult, now_ns: int, limits: tuple[LimitBlock, ...] | None = None
    ) -> list[Event]:
        """Accept a LogonRequested, and return the events of what the client sent after it.

        No effect if the connection ended while the owner decided: see `is_deciding`.
        """
        logon = self._decided(request_id)
        if logon is None:
            return []
        self._enter()
        self.set_heartbeat(result.heartbeat_ms)
        self.output.respond(request_id, result, now_ns, logon.t_in_ns, limits)
        held, self._held, self._held_bytes = self._held, [], 0
        return self._read(held, now_ns)

    def refuse_logon(
        self,
        request_id: RequestKey,
        now_ns: int,
        refusal: Refusal | None = None,
        code: int = close_codes.REFUSED,
        reason: str = "",
    ) -> None:
        """Refuse a LogonRequested, and close.

        Args:
            refusal: sent to the client; None = logon_refused without a cause, the same for every failed proof.
            code, reason: of the Close frame: 4003, or 1013 with `retry_after_ms=N` if the client may try again.
        """
        logon = self._decided(request_id)
        if logon is None:
            return
        refusal = refusal or Refusal(errors.LOGON_REFUSED, "logon refused")
        self.output.fail(request_id, refusal, now_ns, logon.t_in_ns)
        self.close(code, reason or refusal.text, now_ns)

    def set_heartbeat(self, heartbeat_ms: int) -> None:
        """Ping after this time without input, and close after twice this time."""
        self._heartbeat.interval_ns = heartbeat_ms * NS_PER_MS

    def _decided(self, request_id: RequestKey) -> LogonRequested | None:
        logon, self._logon = self._logon, None
        if self.output.is_over:
            return None
        if logon is None or logon.request_id != request_id:
            self._logon = logon
            raise LocalProtocolError(f"no logon {request_id!r} waits for a decision")
        return logon

    def _enter(self) -> None:
        self._move(ConnectionState.LOGGED_ON)
        self._reader.max_message_bytes = self.settings.max_frame_bytes * BIG_FACTOR

    # Inside.

    def _move(self, state: ConnectionState) -> None:
        if state not in TRANSITIONS[self.state]:
            raise LocalProtocolError(f"{self.state.value} cannot become {state.value}")
        self.state = state
        self.output.is_over = state is _CLOSING or state is _CLOSED
        self.output.takes_events = state is _LOGGED_ON

    def _fail(self, code: int, reason: str, text: str, now_ns: int, events: list[Event]) -> None:
        self.close(code, text, now_ns)
        events.append(Closed(code, reason, text, by_peer=False))

    def _read(self, frames: list[Frame], now_ns: int) -> list[Event]:
        events: list[Event] = []
        at, reader, utc_ns = 0, self.order_reader, self._wall.utc_ns(now_ns)
        while at < len(frames):
            if reader and self.state is _LOGGED_ON and (run := reader.read(frames, at, utc_ns)) is not None:
                self._undecodable = 0
                events.append(run)
                at += len(run.orders)
                continue
            if self.state is _DECIDING:
                self._hold(frames[at:], now_ns, events)
                break
            frame = frames[at]
            at += 1
            if self.state is _CLOSING:
                continue  # the reader knows whether the peer has closed: see below
            if isinstance(frame, DataMessage):
                self._read_message(frame, now_ns, events)
            else:
                self._read_control(frame, now_ns, events)
        if self.state is _CLOSING and self._reader.has_closed:
            self._move(ConnectionState.CLOSED)
            events.append(CloseTransport("closed"))
        return events

    def _hold(self, frames: list[Frame], now_ns: int, events: list[Event]) -> None:
        self._held += frames
        self._held_bytes += sum(len(frame.data) for frame in frames if isinstance(frame, DataMessage))
        if self._held_bytes > self.settings.max_frame_bytes or len(self._held) > self.settings.pre_logon_max_bytes:
            self._fail(close_codes.TOO_BIG, "too_big", "too much before the logon was answered", now_ns, events)

    def _read_control(self, frame: Frame, now_ns: int, events: list[Event]) -> None:
        if isinstance(frame, Ping):
            self.output.control(PONG, frame.payload, now_ns)
            events.append(Answered("ping", 0, len(frame.payload)))
        elif isinstance(frame, Close):
            self.output.control(CLOSE, framing.encode_close(frame.code), now_ns)
            self._move(ConnectionState.CLOSED)
            events.append(Closed(frame.code or close_codes.NO_STATUS, "peer", frame.reason, by_peer=True))
            events.append(CloseTransport("closed"))
        elif isinstance(frame, Broken):
            self._fail(frame.close_code, _REASONS[frame.close_code], frame.text, now_ns, events)

    def _read_message(self, message: DataMessage, now_ns: int, events: list[Event]) -> None:
        data = bytes(message.data)
        if message.binary != self.codec.binary:
            kind = "binary" if self.codec.binary else "text"
            self._fail(
                close_codes.WRONG_TYPE, "wrong_type", f"{self.codec.subprotocol} wants {kind} frames", now_ns, events
            )
            return
        try:
            request = self.codec.request(data)
        except Malformed as error:
            self._unreadable(None, "", Refusal(errors.MALFORMED, str(error)), data, now_ns, events)
            return
        if self.state is not _LOGGED_ON:
            self._read_before_logon(request, data, now_ns, events)
            return
        method = request.method
        if len(data) > self.settings.max_frame_bytes and method not in BIG_METHODS:
            text = f"message over {self.settings.max_frame_bytes} bytes"
            self._fail(close_codes.TOO_BIG, "too_big", text, now_ns, events)
            return
        params = self.codec.params(request, data)
        if isinstance(params, Refusal) and params.code != errors.UNKNOWN_METHOD:
            self._unreadable(request.id, method, params, data, now_ns, events)
            return
        self._undecodable = 0
        if isinstance(params, Refusal):
            events.append(UnknownMethod(request.id, params, self._wall.utc_ns(now_ns)))
        elif method == "session.logon":
            in_use = Refusal(errors.SESSION_IN_USE, "this connection is logged on already")
            self.output.fail(request.id, in_use, now_ns, self._wall.utc_ns(now_ns))
            events.append(Answered(method, errors.SESSION_IN_USE, len(data)))
        else:
            t_in_ns = now_ns + self._wall.offset_ns
            events.append(Requested(request.id, method, params, len(data), t_in_ns, request.traceparent))

    def _unreadable(
        self, request_id: RequestKey, method: str, refusal: Refusal, data: bytes, now_ns: int, events: list[Event]
    ) -> None:
        self.output.fail(request_id, refusal, now_ns, self._wall.utc_ns(now_ns))
        events.append(Answered(method, refusal.code, len(data)))
        self._undecodable = self._undecodable + 1 if refusal.code == errors.MALFORMED else 0
        if self._undecodable >= MAX_UNDECODABLE:
            text = f"{MAX_UNDECODABLE} messages in a row do not decode"
            self._fail(close_codes.UNDECODABLE, "undecodable", text, now_ns, events)

    def _answer_itself(self, request: RequestEnvelope, data: bytes, now_ns: int, events: list[Event]) -> None:
        """Answer `ping` or `time` before the logon, when there is no session with limits yet."""
        result: object = TimeResult(self.utc_us(now_ns)) if request.method == "time" else {}
        self.output.respond(request.id, result, now_ns, self._wall.utc_ns(now_ns))
        events.append(Answered(request.method, 0, len(data)))

    def _read_before_logon(self, request: RequestEnvelope, data: bytes, now_ns: int, events: list[Event]) -> None:
        """A message before the logon."""
        self._before_logon += 1
        if self._before_logon > MAX_BEFORE_LOGON:
            text = f"over {MAX_BEFORE_LOGON} messages before the logon"
            self._fail(close_codes.LOGON_TIMEOUT, "no_logon", text, now_ns, events)
            return
        if request.method not in _BEFORE_LOGON:
            self._unreadable(
                request.id, request.method, Refusal(errors.NOT_LOGGED_ON, "log on first"), data, now_ns, events
            )
            return
        params = self.codec.params(request, data)
        if isinstance(params, Refusal):
            self._unreadable(request.id, request.method, params, data, now_ns, events)
        elif isinstance(params, LogonParams):
            self._request_logon(request, params, now_ns, events)
        else:
            self._answer_itself(request, data, now_ns, events)

    def _request_logon(self, request: RequestEnvelope, params: LogonParams, now_ns: int, events: list[Event]) -> None:
        challenge = params.challenge or ""
        signed = ws_logon_text(params.api_key, challenge, params.ts)
        logon = LogonRequested(request.id, params, signed, bool(challenge), self._wall.utc_ns(now_ns))
        self._move(ConnectionState.DECIDING)
        self._logon = logon
        if challenge and challenge != self.challenge:  # of another connection: a replay, or a client's error
            self.refuse_logon(request.id, now_ns)
            events.append(
                Closed(close_codes.REFUSED, "challenge", "logon with another connection's challenge", by_peer=False)
            )
            return
        events.append(logon)


_BEFORE_LOGON = frozenset({"session.logon", "ping", "time"})
