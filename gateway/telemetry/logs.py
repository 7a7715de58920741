"""JSON lines on standard error: each event declared once, secrets masked, control characters escaped, never blocking.

Nothing is logged per message. A line is made by the caller, and written by a thread from a bounded queue: a stuck pipe
costs lines, which are counted and reported later, and never stops the event loop.
"""

import logging
import queue
import re
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from io import FileIO, RawIOBase

import msgspec
import orjson

MAX_TEXT = 4_096  # characters of one value; a client chooses some of them
MAX_QUEUED_LINES = 10_000
_MAX_DEPTH = 4
_MAX_ITEMS = 64
_MASK = "***"


class LogEvent(msgspec.Struct, frozen=True):
    """One declared event: its level and its meaning.

    is_paced: a stranger can cause it as often as it likes, so only a few lines per `cause` or `reason` are written;
    `kept_back` says how many were left out since the last one.
    """

    level: int
    meaning: str
    is_paced: bool = False


_info, _warning, _error = (partial(LogEvent, level) for level in (logging.INFO, logging.WARNING, logging.ERROR))
EVENTS: dict[str, LogEvent] = {
    "gateway.bounds": _info("upper bound on memory for this configuration, by part"),
    "gateway.started": _info("all doors are open; `ports` names them"),
    "gateway.recovered": _info("the journal was read back; the gateway continues from the state of the last process"),
    "core.away": _error("the core, or the Redis between, cannot be reached; `text` says why; orders wait, then 5002"),
    "mode.heard": _warning("an operator of another gateway changed a mode; it is in force here, too"),
    "session.moved_here": _info("this gateway has taken a session over; `owner` had it before, if any had"),
    "session.moved_away": _info("another gateway has taken this session over; its client was sent away"),
    "cluster.away": _error("the Redis where sessions are kept cannot be reached; `text` says why; output waits"),
    "cluster.back": _info("it can be reached again; what waited is written"),
    "cluster.gateway_dead": _warning("a gateway is not heard of any more; its sessions are taken over"),
    "cluster.commits_full": _error(
        "more than `cluster.max_waiting_bytes` waits for Redis; no client is read until it has taken half of it"
    ),
    "cluster.clients_cut": _error(
        "Redis has taken nothing for `away_ms`, so clients were sent away; `is_cut_off`: nor does its machine answer"
    ),
    "cluster.control_missed": _warning(
        "this gateway stood still, or was cut off, while so much was told that some is gone; it looks at what is kept"
    ),
    "cluster.clock_skewed": _warning(
        "this gateway's clock is ahead of Redis' by `ahead_ms`, give or take `error_ms`: more than"
        " `cluster.max_clock_skew_ms`; once a minute; mass cancels at other gateways mean other orders than they should"
    ),
    "cluster.clock_well": _info("this gateway's clock and Redis' agree again"),
    "core.back": _info("the core can be reached again; what waited is handed over"),
    "core.replicas_missing": _error(
        "fewer replicas than `core.acked_by_replicas` have what the core wrote; nothing of it is told until they do"
    ),
    "core.replicas_back": _info("enough replicas have what the core wrote"),
    "core.epoch_began": _warning("`--accept-loss`: the venue goes on from this position without what Redis has lost"),
    "core.epoch_changed": _warning("the core has lost history, and begun a new epoch; clients that resume are told"),
    "core.started": _info("the core goes on from this position in the command stream"),
    "core.stopped": _info("the core has written what it executed"),
    "core.store_away": _error("the Redis of the core cannot be reached; `text` says why"),
    "core.snapshot": _info("a snapshot of the core is kept, in Redis and on disk"),
    "core.snapshot_failed": _warning("a snapshot of the core is not kept; the next one is tried in its time"),
    "core.snapshot_unusable": _warning("a snapshot of the core cannot be read; an earlier state is used"),
    "journal.trouble": _error("the journal has no room or has failed; `text` says why and what is refused"),
    "journal.well": _info("the trouble that `text` names is over"),
    "journal.cut": _warning("an incomplete last commit was cut off the journal; nothing of it had been sent"),
    "journal.end_unknown": _warning(
        "the end file is missing, so the journal's contents are used under a new epoch; `numbers` is how far each"
        " FIX session's MsgSeqNum(34) jumps"
    ),
    "journal.unsound_snapshot": _warning(
        "a snapshot in the journal contradicts itself; another one, and the commands since, replaced it"
    ),
    "gateway.draining": _info("no new connections, new orders are refused, open requests are finished"),
    "gateway.stopped": _info("everything is closed"),
    "gateway.failed": _error("the disk, or code that all sessions share, failed; the process ends: start it again"),
    "tls.failed": _warning("a TLS handshake failed; `reason` is a coded word", is_paced=True),
    "proxy.refused": _warning("a listed balancer's connection did not begin with a PROXY header", is_paced=True),
    "connection.crowded_out": _warning(
        "a connection that has not logged on was cut: its address has too many, or the door is full", is_paced=True
    ),
    "gateway.few_descriptors": _warning("the limit of open files allows fewer connections; `mend` says what to do"),
    "descriptors.used_up": _error(
        "no descriptor is free for another connection; new ones wait for a moment", is_paced=True
    ),
    "logon.refused": _warning(
        "a logon was refused; the peer does not learn the cause; `key` is the id that it gave", is_paced=True
    ),
    "session.logged_on": _info("a session is logged on, from this address and with this key"),
    "session.logged_out": _info("Logout was exchanged, or sent as the last message"),
    "session.lost": _info("the connection ended without a Logout; the session remains"),
    "session.disconnect": _warning("the gateway closes the connection; `reason` is a coded word"),
    "session.ended": _info("a WebSocket session's connection ended; `reason` is a coded word"),
    "session.too_slow": _warning("the peer does not read; it was cut, and can have what it missed replayed"),
    "session.notice": _info("something unusual that the session layer handled"),
    "gateway.housekeeping_failed": _error("a bug in the gateway; it is tried again in a second"),
    "session.failed": _error("a bug in a session's code; its connection is cut, the others continue"),
    "mode.changed": _warning("an operator set or cleared a mode; `by` says who, `kill` whether orders were cancelled"),
    "mode.expired": _info("a mode that was set for a time has ended"),
    "mode.kept": _warning("a mode that was in force before the start still is"),
    "mode.not_kept": _error("modes could not be saved; what is in force will not survive a restart"),
    "operations.drain": _warning("an operator asked the gateway to drain and end; `by` says who"),
    "operations.refused": _warning("an operator's command had no valid token, or not the role"),
    "limits.reloaded": _info("new limits are in force"),
    "limits.refused": _error("a limits file has mistakes; the old limits stay in force"),
    "limits.overridden": _warning("operators set limits for a time, or these ended; `rows` says who and why"),
    "limits.override_refused": _error("a limit that an operator set cannot be used; it stays as it was"),
    "limits.store_odd": _warning(
        "the shared store of limits is used, but something about it is wrong; `text` says what"
    ),
    "limits.odd": _warning("the limits file is valid, but something in it is probably not what was meant"),
    "limits.store_away": _error("the shared store of limits is away, see `reason`; each limit's on_store_loss applies"),
    "limits.store_back": _info("the shared store of limits decides again"),
    "limits.store_clock_back": _warning(
        "the clock of the store of limits was corrected; a bucket does not refill meanwhile, for its fill time at most"
    ),
    "limits.bucket_trouble": _error(
        "the store of limits works except for this `key`; its limit's on_store_loss applies to it alone"
    ),
    "limits.buckets_well": _info("all buckets of the store of limits work again"),
    "clock.stepped": _warning("the system's clock was corrected: times of day follow, no deadline moves"),
    "log.dropped": _warning("`lines` log lines were lost because standard error was stuck"),
}

# RawData(96), Signature(89), Password(554), NewPassword(925), EncryptedPassword(1402), EncryptedNewPassword(1404).
_TAGS = "96|89|554|925|1402|1404"
# Names of fields whose value is never written; compared in lower case, without `-` and `_`.
_SECRET_NAME = re.compile(
    f"(new)?password|passwd|secret|sig|x?signature|token|privatekey|seed|authorization|cookie|rawdata|{_TAGS}"
)
# As tag=value, up to the separator; SOH may have become `|`, or `\x01` in the text of a repr.
_FIX_SECRET = re.compile(rf"(?:(?<=\\x01)|(?<![0-9]))({_TAGS})=(?:(?!\\x01)[^\x01|])*")
# These may contain SOH: the length field before them says where they end.
_FIX_DATA = re.compile(r"(?<![0-9])(95|93|1401|1403)=([0-9]{1,6})[\x01|](96|89|1402|1404)=")
# As a member or argument with a quoted value: JSON, the repr of a dict or of a Struct.
_QUOTED_SECRET = re.compile(
    rf"""((?:(?<![0-9])(?:{_TAGS})|passw(?:or)?d|secret|signature|token|private_key|seed|\bsig)["']?\s*[:=]\s*b?)"""
    r"""(["'])(?:(?!\2)[^\\]|\\.)*(?:\2|$)""",
    re.IGNORECASE | re.DOTALL,
)
# orjson escapes below 0x20. C1 controls, line separators and direction marks would still act on a terminal or a viewer.
_CONTROL = re.compile("[\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def log_event(logger: logging.Logger, name: str, *, exc_info: object = None, **fields: object) -> None:
    """Log the declared event `name` with these fields. An undeclared name is logged as a warning that says so."""
    event = EVENTS.get(name)
    if event is None:
        event, fields["undeclared"] = _warning(""), True
    if logger.isEnabledFor(event.level):
        logger.log(event.level, name, exc_info=bool(exc_info), extra={"penstock_fields": fields})


def mask(text: str) -> str:
    """`text` without secrets in FIX fields or quoted values, with controls escaped, and cut to `MAX_TEXT`."""
    size = len(text)
    text = _QUOTED_SECRET.sub(rf"\1\2{_MASK}\2", text[:MAX_TEXT])
    if "=" in text:
        text = _FIX_SECRET.sub(rf"\1={_MASK}", _mask_data(text))
    if size > MAX_TEXT:
        text = f"{text}... ({size} characters)"
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _mask_data(text: str) -> str:
    parts, at = [], 0
    while found := _FIX_DATA.search(text, at):
        parts.append(f"{text[at : found.end()]}{_MASK}")
        at = found.end() + int(found[2])
    return "".join((*parts, text[at:]))


def _clean(name: str, value: object, depth: int = 0) -> object:
    """`value` in a form that may be written: plain, masked, bounded in size and depth."""
    if _SECRET_NAME.fullmatch(name.lower().replace("_", "").replace("-", "")):
        return _MASK
    if isinstance(value, bool | float | None):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else str(value)
    if isinstance(value, bytes | bytearray):
        return mask(value.decode("utf-8", "backslashreplace"))
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        items = list(value.items())[:_MAX_ITEMS]
        return {mask(str(key)): _clean(str(key), item, depth + 1) for key, item in items}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_clean("", item, depth + 1) for item in list(value)[:_MAX_ITEMS]]
    return mask(str(value))


class JsonFormatter(logging.Formatter):
    """One record as one JSON line; lines of other libraries come out as event `log` with their text."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "penstock_fields", None)
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "event": record.msg if fields is not None else "log",
        }
        if fields is None:
            line |= {"logger": record.name, "text": mask(record.getMessage())}
        else:
            line.update((key, _clean(key, value)) for key, value in fields.items() if key not in line)
        if record.exc_info:
            line["exception"] = mask(self.formatException(record.exc_info))
        return orjson.dumps(line).decode()


class LineWriter(logging.Handler):
    """Writes lines to `stream` on a thread of its own; drops and counts them if too many wait."""

    def __init__(self, stream: RawIOBase, max_lines: int = MAX_QUEUED_LINES) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.dropped = 0
        self._reported = 0
        self._stream = stream
        self._lines: queue.Queue[str | None] = queue.Queue(max_lines)
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one line; never waits."""
        try:
            self._lines.put_nowait(self.format(record))
        except Exception:  # queue.Full, or a line that cannot be made, which must not stop its caller
            self.dropped += 1

    def close(self) -> None:
        """Write what waits, for 1 s at most: a stuck pipe must not hold up the process."""
        with suppress(queue.Full):
            self._lines.put(None, timeout=1.0)
            self._thread.join(1.0)
        super().close()

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._write(line)
                if self.dropped > self._reported and self._lines.empty():
                    self._report_dropped()
            except (OSError, ValueError):
                self.dropped += 1  # the reader of our standard error is gone

    def _write(self, line: str) -> None:
        rest = memoryview(line.encode("utf-8", "backslashreplace") + b"\n")
        while rest:
            written = self._stream.write(rest)
            if written is None:
                time.sleep(0.01)  # a terminal that another program has made non-blocking
            else:
                rest = rest[written:]

    def _report_dropped(self) -> None:
        lost, self._reported = self.dropped - self._reported, self.dropped
        record = logging.LogRecord("penstock", logging.WARNING, "", 0, "log.dropped", None, None)
        record.penstock_fields = {"lines": lost}
        self._write(self.format(record))


def dropped_lines() -> int:
    """How many lines the writers of this process have lost so far, for the metric."""
    return sum(handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, LineWriter))


def setup(level: str, stream: RawIOBase | None = None) -> LineWriter:
    """Send all logging of the process through one `LineWriter`, which the caller closes. level: debug, info, ..."""
    # Not sys.stderr: a thread stuck in its lock would abort the interpreter at exit.
    raw = FileIO(sys.stderr.fileno(), "wb", closefd=False) if stream is None else stream
    writer = LineWriter(raw)
    root = logging.getLogger()
    root.handlers[:] = [writer]
    root.setLevel(level.upper())
    return writer
