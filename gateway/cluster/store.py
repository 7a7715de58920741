"""The `MessageStore` of a session that may move between gateways: in memory here, and in Redis with each commit.

Before editing: what `take` returns is all that another gateway will know of the session.
"""

from collections.abc import Iterable, Sequence

import msgspec

from protocols.fix.session.store import Intake, MemoryStore, Ranges


class Changes(msgspec.Struct):
    """What changed of a session since the last commit. runs: the first number and the messages of each."""

    is_reset: bool = False
    fields: dict[str, bytes] = {}
    runs: list[tuple[int, Sequence[bytes]]] = []


class SharedStore(MemoryStore):
    """A store in memory that notes what the next commit has to write."""

    def __init__(self, session: int, dirty: "list[SharedStore]", max_messages: int) -> None:
        """dirty: the store adds itself here when there is something to write."""
        self._dirty = dirty
        self._is_dirty = True  # a new store has nothing to write
        super().__init__(max_messages)
        self.session = session
        self._is_dirty = self._is_reset = False
        self._unwritten: list[tuple[int, Sequence[bytes]]] = []
        self._written: tuple[int, int, Ranges] = (1, 1, ())  # what the row has: next_in, next_out, done

    def restore(self, next_in: int, next_out: int, done: Ranges, runs: Iterable[tuple[int, Sequence[bytes]]]) -> None:
        """Become what another gateway wrote."""
        self.intake = Intake(next_in, done)
        self._next_out = next_out
        self._written = next_in, next_out, done
        for first, messages in runs:
            super().put_run(first, messages)

    @property
    def next_in(self) -> int:
        return self.intake.next_in

    @next_in.setter
    def next_in(self, seq_num: int) -> None:
        self.intake.expect(seq_num)
        self._mark_dirty()

    @property
    def next_out(self) -> int:
        return self._next_out

    @next_out.setter
    def next_out(self, seq_num: int) -> None:
        self._next_out = seq_num
        self._mark_dirty()

    def begin_wait(self, key: int, seq_num: int) -> None:
        super().begin_wait(key, seq_num)
        self._mark_dirty()

    def end_wait(self, key: int) -> None:
        if self.intake.end_wait(key):
            self._mark_dirty()

    def record_done(self, seq_num: int) -> None:
        super().record_done(seq_num)
        self._mark_dirty()

    def put_run(self, first: int, messages: Sequence[bytes]) -> None:
        super().put_run(first, messages)
        if messages:
            self._unwritten.append((first, messages))
            self._mark_dirty()

    def reset(self) -> None:
        super().reset()
        self._unwritten.clear()
        self._is_reset = True
        self._mark_dirty()

    def take(self) -> Changes | None:
        """What is to be written; None = nothing."""
        self._is_dirty = False
        next_in, done = self.intake.without_memory()
        numbers = next_in, self._next_out, done
        if numbers == self._written and not (self._unwritten or self._is_reset):
            return None
        changes = Changes(self._is_reset, runs=self._unwritten)
        if next_in != self._written[0]:
            changes.fields["in"] = b"%d" % next_in
        if self._next_out != self._written[1]:
            changes.fields["out"] = b"%d" % self._next_out
        if done != self._written[2]:
            changes.fields["done"] = ",".join(f"{first}-{end}" for first, end in done).encode()
        self._written, self._unwritten, self._is_reset = numbers, [], False
        return changes

    def _mark_dirty(self) -> None:
        if not self._is_dirty:
            self._is_dirty = True
            self._dirty.append(self)


def done_of(text: bytes) -> Ranges:
    """The numbers handled early, as the row has them."""
    pairs = (each.split(b"-") for each in text.split(b",") if each)
    return tuple((int(first), int(end)) for first, end in pairs)
