"""What a session still has to write: numbered, stored and queued in one order that nothing overtakes.

The queue holds ready bytes, and ranges of numbers that are read from the store when the owner takes more:

    bytes | Replay 5..900 | bytes | Unsent 1201..1500

So a replay of a million messages needs the memory of one slice. While a range is queued, or 64 KiB are ready, new
messages are stored and queued by number only: neither a burst nor a slow reader costs memory. There is at most one
Replay in the queue, whatever the peer requests.
"""

import zlib
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from itertools import count

from protocols.fix.message import TRAILERS, Headers, encode
from protocols.fix.session.ranges import Replay, Unsent
from protocols.fix.session.settings import SessionSettings
from protocols.fix.session.store import MessageStore
from protocols.fix.tags import SOH, MsgType
from protocols.fix.times import format_ns
from protocols.wall import WallClock

_SLICE_NUMBERS = 256
"""Numbers read from the store at a time."""
_GAP_MAX_NUMBERS = 65_536
"""Longest run of numbers without a message in one gap fill: bounds the work of one call."""
_READY_BYTES = 65_536
"""While this much is ready, further messages wait in the store."""
_RESERVE_EVERY = 64
"""Messages that wait in the store between two numbers reserved for a Logout(5)."""
_SLICE_BYTES = 16_384
"""Read from the store at a time: about 1 ms of work."""

_EXACT_BYTES = 480
"""Up to here adler32 from 0 is the plain sum of an ASCII message with its head: it stays below 65,521."""
_TRAILERS = TRAILERS
_adler32 = zlib.adler32


@lru_cache(maxsize=8)
def _heads_of(begin_string: str) -> tuple[str, ...]:
    """BodyLength(9) -> the fields before MsgType(35)."""
    return tuple(f"8={begin_string}{SOH}9={size}{SOH}" for size in range(_EXACT_BYTES))


class Output:
    """The outbound half of one session: gives each message its number and keeps the order on the wire."""

    __slots__ = (
        "_begin_string", "_digits", "_heads", "_middle", "_middle_ns", "_pending_bytes", "_ranges", "_replay",
        "_reserved", "_sender", "_sends_processed", "_store", "_target", "_wall", "handed_out", "last_sent_ns", "queue",
    )  # fmt: skip

    def __init__(self, settings: SessionSettings, store: MessageStore, wall: WallClock) -> None:
        self._store = store
        self._wall = wall
        self._begin_string = settings.begin_string
        self._heads = _heads_of(settings.begin_string)
        self._digits = settings.time_digits
        self._sender = f"{SOH}49={settings.sender_comp_id}{SOH}52="
        self._target = f"{SOH}56={settings.target_comp_id}{SOH}"
        self._sends_processed = settings.last_msg_seq_num_processed
        self.handed_out = 0  # the first message handed out by this call of the machine; 0 = none yet
        self._middle = ""  # what follows MsgSeqNum(34) in every header, with the SendingTime(52) of `_middle_ns`
        self._middle_ns = -1  # UTC
        self.queue: deque[bytes | Unsent | Replay] = deque()  # what is left to write
        self._ranges = 0  # ranges in the queue
        self._replay: Replay | None = None  # the one range that is sent again
        self._pending_bytes = 0
        self._reserved = 0  # number for the Logout(5) to come, 0 = the next one
        self.last_sent_ns = 0

    @property
    def pending_bytes(self) -> int:
        """Bytes ready to be written, without what is still in the store."""
        return self._pending_bytes

    @property
    def must_read(self) -> bool:
        """Whether the next message must be read from the store."""
        return self._ranges > 0 and not isinstance(self.queue[0], bytes)

    @property
    def behind(self) -> int:
        """Messages that wait for their first sending, while no replay is queued."""
        if self._replay is not None or not self._ranges:
            return 0
        return sum(item.end - item.next + 1 for item in self.queue if isinstance(item, Unsent))

    def clear(self) -> None:
        """Drop all that is queued: the connection is gone. Stored messages can be requested later."""
        self.queue.clear()
        self._replay = None
        self._ranges = self._pending_bytes = self._reserved = 0

    def forget_ranges(self) -> None:
        """Drop all ranges: the numbers start again at 1."""
        if self._ranges:
            self.queue = deque(item for item in self.queue if isinstance(item, bytes))
            self._replay = None
            self._ranges = 0

    def truncate(self) -> bool:
        """The connection ends: drop the replay, and of the messages not sent yet those after the next reserved number,
        which our Logout(5) gets. The peer sees no gap before the Logout, and can request the rest later.

        Returns whether the end of the queue was dropped, which may include an earlier Logout.
        """
        queue, self.queue = self.queue, deque()
        self._replay = None
        self._ranges = 0
        for item in queue:
            if isinstance(item, bytes):
                self.queue.append(item)
            elif isinstance(item, Unsent):
                self._reserved = item.next_reserved()
                item.end = self._reserved - 1 if self._reserved else item.end
                if item.next <= item.end:
                    self.queue.append(item)
                    self._ranges += 1
                if self._reserved:
                    break
        self._pending_bytes = sum(len(item) for item in self.queue if isinstance(item, bytes))
        return self._reserved > 0

    def send_session(self, msg_type: str, body: str, now_ns: int) -> int:
        """Number and queue a session message that is never sent again. Returns its MsgSeqNum(34)."""
        store = self._store
        seq_num, self._reserved = self._reserved or store.next_out, 0
        message = self._build(msg_type, seq_num, body, now_ns)
        store.next_out = max(store.next_out, seq_num + 1)
        self._append(seq_num, message)
        self.last_sent_ns = now_ns
        return seq_num

    def send_stored(self, msg_type: str, body: str, now_ns: int, live: bool) -> int:
        """Number, store and, when `live`, queue a message that the peer may request again: an application message or a
        Reject(3), which may be the only answer to an order. Returns its MsgSeqNum(34).
        """
        store = self._store
        seq_num = store.next_out
        message = self._build(msg_type, seq_num, body, now_ns)
        store.put(seq_num, message)
        store.next_out = seq_num + 1
        if live:
            self.last_sent_ns = now_ns
            if self._ranges or self._pending_bytes >= _READY_BYTES:
                self._put_off(seq_num)
            else:
                self._append(seq_num, message)
        return seq_num

    def headers(self, msg_type: str, now_ns: int) -> Headers | None:
        """Of messages that go out as a run. None: one by one, as they wait for others, or each header has its own."""
        if self._ranges or self._pending_bytes >= _READY_BYTES or self._sends_processed:
            return None
        return f"35={msg_type}{SOH}34=", count(self._store.next_out), self._middle_of(now_ns)

    def send_run(self, texts: Sequence[str], now_ns: int) -> None:
        """The same as `send_stored` and live for messages with such `headers`: one record, one piece of output for all.

        texts: from MsgType(35) up to CheckSum(10).
        """
        first, heads = self._store.next_out, self._heads
        messages: list[bytes] = []
        add = messages.append
        for text in texts:
            size = len(text)
            if size < _EXACT_BYTES and text.isascii():
                data = f"{heads[size]}{text}".encode()
                add(data + _TRAILERS[_adler32(data, 0) & 255])
            else:
                add(encode(self._begin_string, text))
        self._store.put_run(first, messages)
        self._store.next_out = first + len(messages)
        self.last_sent_ns = now_ns
        self._append(first, b"".join(messages))

    def first_sending(self, begin: int, end: int) -> Unsent:
        """Queue begin..end, which were stored while they could not be sent."""
        item = Unsent(begin, end)
        self.queue.append(item)
        self._ranges += 1
        if self._replay is not None:
            self._mark_waiting(self._replay, begin)
        return item

    def replay(self, begin: int, end: int) -> None:
        """Send begin..end again: with the replay in the queue, or after all that is queued."""
        if self._replay is not None:
            self._replay.add(begin, end)
            return
        self._replay = Replay(begin, end)
        self.queue.append(self._replay)
        self._ranges += 1

    def take(self, limit_bytes: int, now_ns: int, may_read: bool = True) -> bytes:
        """The next bytes to write, whole messages, about `limit_bytes` at most; empty only when nothing is left.

        may_read False: only what is ready; also empty when the next message must be read from the store.
        """
        queue = self.queue
        if len(queue) == 1 and isinstance(queue[0], bytes):  # as after most turns
            self._pending_bytes = 0
            return queue.popleft()  # type: ignore[return-value]
        chunks: list[bytes] = []
        left = limit_bytes
        while queue and (left > 0 or not chunks):
            item = queue[0]
            if isinstance(item, bytes):
                if chunks and len(item) > left:
                    break
                queue.popleft()
                self._pending_bytes -= len(item)
                chunks.append(item)
                left -= len(item)
            elif may_read:
                left -= self._pull(item, left, now_ns, chunks)
            else:
                break
        return b"".join(chunks)

    def read_on(self, now_ns: int) -> int:
        """Read the next slice from the store, so that it is ready. Returns how many messages it has."""
        item, chunks = self.queue[0], list[bytes]()
        if not isinstance(item, bytes):
            self._pull(item, _SLICE_BYTES, now_ns, chunks)
            data = b"".join(chunks)
            self.queue.appendleft(data)
            self._pending_bytes += len(data)
        return len(chunks)

    def _advance(self, item: Unsent | Replay) -> None:
        """A range is written: continue with the replay's next one, or with the next item of the queue."""
        if isinstance(item, Replay):
            if item.next_range():
                return
            self._replay = None
        self.queue.popleft()
        self._ranges -= 1

    def _append(self, seq_num: int, message: bytes) -> None:
        self.queue.append(message)
        self._pending_bytes += len(message)
        if self._replay is not None:
            self._mark_waiting(self._replay, seq_num)

    @staticmethod
    def _mark_waiting(replay: Replay, seq_num: int) -> None:
        """The first sending of this number waits after the replay: it must not be sent again before that."""
        if not replay.below:
            replay.below = seq_num

    def _put_off(self, seq_num: int) -> None:
        """Queue a stored message by its number only, joined to the range before it. In a long range a number is
        reserved for a Logout(5) now and then.
        """
        last = self.queue[-1]
        if not isinstance(last, Unsent) or last.end != seq_num - 1:
            last = self.first_sending(seq_num, seq_num)
        last.end = seq_num
        if seq_num - (last.reserved[-1] if last.reserved else last.begin) >= _RESERVE_EVERY:
            last.end = self._store.next_out
            last.reserved.append(last.end)
            self._store.next_out = last.end + 1

    def _build(self, msg_type: str, seq_num: int, body: str, now_ns: int) -> bytes:
        processed = self._processed() if self._sends_processed else ""
        text = f"35={msg_type}{SOH}34={seq_num}{self._middle_of(now_ns)}{processed}{body}"
        return encode(self._begin_string, text)

    def _middle_of(self, now_ns: int) -> str:
        utc_ns = now_ns + self._wall.offset_ns
        if utc_ns != self._middle_ns:  # all messages of one turn of the event loop share it
            self._middle = f"{self._sender}{format_ns(utc_ns, self._digits)}{self._target}"
            self._middle_ns = utc_ns
        return self._middle

    def _processed(self) -> str:
        """LastMsgSeqNumProcessed(369) as of now, without messages that the owner has yet to receive from this call."""
        processed = self._store.intake.processed
        return f"369={min(processed, self.handed_out - 1) if self.handed_out else processed}{SOH}"

    def _pull(self, item: Unsent | Replay, limit_bytes: int, now_ns: int, chunks: list[bytes]) -> int:
        """Write at least one message and about `limit_bytes` of the range. Returns the bytes added to `chunks`."""
        size = self._move(item, limit_bytes, now_ns, chunks)
        if item.next > item.end:
            self._advance(item)
        return size

    def _move(self, item: Unsent | Replay, limit_bytes: int, now_ns: int, chunks: list[bytes]) -> int:
        size = 0
        gap_begin = item.next
        if isinstance(item, Replay):
            item.is_begun = True
        while item.next <= item.end and (size < limit_bytes or not size):
            slice_end = min(item.end, item.next + _SLICE_NUMBERS - 1)
            for seq_num, stored in self._store.read(item.next, slice_end):
                if seq_num > gap_begin:
                    size += self._add_gap_fill(item, gap_begin, seq_num, now_ns, chunks)
                chunk = self._again(stored, now_ns) if item.again else stored
                chunks.append(chunk)
                size += len(chunk)
                item.next = gap_begin = seq_num + 1
                if size >= limit_bytes:
                    return size
            item.next = slice_end + 1
            if item.next > item.end or item.next - gap_begin >= _GAP_MAX_NUMBERS:
                if item.next > gap_begin:
                    size += self._add_gap_fill(item, gap_begin, item.next, now_ns, chunks)
                gap_begin = item.next
        return size

    def _add_gap_fill(self, item: Unsent | Replay, begin: int, end: int, now_ns: int, chunks: list[bytes]) -> int:
        """One SequenceReset(4) over the numbers begin..end-1, which have no message that is sent again."""
        sending_time = format_ns(self._wall.utc_ns(now_ns), self._digits)
        again, original = (f"{SOH}43=Y", f"122={sending_time}{SOH}") if item.again else ("", "")
        processed = self._processed() if self._sends_processed else ""
        chunk = encode(
            self._begin_string,
            f"35={MsgType.SEQUENCE_RESET}{SOH}34={begin}{again}{self._sender}{sending_time}{self._target}"
            f"{original}{processed}36={end}{SOH}123=Y{SOH}",
        )
        chunks.append(chunk)
        return len(chunk)

    def _again(self, stored: bytes, now_ns: int) -> bytes:
        """The stored message as a possible duplicate; only 9, 10, 43, 52, 122 and 369 differ.

        OrigSendingTime(122) must not be later than SendingTime(52), or engines end the session: if our clock was set
        back since, it is the same.

        Source: FIX.4.4 volume 2, message recovery. The header is the one `_build` writes: 35, 34, 49, 52, 56, 369.
        """
        text = stored[stored.index(b"\x0135=") + 1 : -7].decode("latin-1")
        head, _, rest = text.partition(f"{SOH}52=")
        msg_type, seq_num, sender = head.split(SOH)
        original, _, rest = rest.partition(SOH)
        target, _, body = rest.partition(SOH)
        if body.startswith("369="):
            body = body.partition(SOH)[2]
        processed = self._processed() if self._sends_processed else ""
        sending_time = format_ns(self._wall.utc_ns(now_ns), self._digits)
        return encode(
            self._begin_string,
            f"{msg_type}{SOH}{seq_num}{SOH}43=Y{SOH}{sender}{SOH}52={sending_time}{SOH}{target}{SOH}"
            f"122={min(original, sending_time)}{SOH}{processed}{body}",
        )
