"""What Redis has told waits here until so many of its replicas have it: only then is it told.

`WAITAOF` and `WAIT` answer for the writes of their own connection alone. So a batch that was read is followed by a
small write, on a connection that does nothing else: when replicas have that write, they have all before it.
One question covers all that has come meanwhile, never an order alone, and nobody awaits it.

Before editing: a write that was refused is covered by nothing, though `WAITAOF` says yes to the one before it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import hiredis

from gateway.remote.keys import EntryId
from gateway.remote.pipe import Argument, PipeLost, RedisPipe, ask

_ASK_MS = 50  # a replica that is asked while it syncs answers with what it had, and by itself only a second later
_TRIES = 10  # then replicas count as missing
_WAITAOF_SINCE = (7, 2)

Row = tuple[EntryId, dict[bytes, bytes]]
Told = TypeVar("Told")


class ReplicaWait(Generic[Told]):
    """What Redis has told, and is not passed on: entries that were read, answers to commits.

    why: what is missing, "" = nothing.
    """

    def __init__(
        self,
        replicas: int,
        mark: str,
        deliver: Callable[[list[Told]], None],
        away: Callable[[str], None],
        log: Callable[..., None],
    ) -> None:
        """mark: the key of the small write. deliver: gets what replicas have. away: Redis does not take the write."""
        self._replicas = replicas
        self._mark = mark
        self._deliver = deliver
        self._away = away
        self._log = log
        self._pipe: RedisPipe | None = None
        self._question: tuple[Argument, ...] = ()
        self._held: list[Told] = []
        self._is_asking = False
        self._asked = 0  # for the first so many of these
        self._is_marked = False
        self._tries = 0
        self.why = ""

    @property
    def is_needed(self) -> bool:
        """Whether anything has to wait."""
        return self._replicas > 0

    @property
    def held(self) -> int:
        """How much waits."""
        return len(self._held)

    @property
    def latest(self) -> Told | None:
        """The last of it."""
        return self._held[-1] if self._held else None

    def begin(self, pipe: RedisPipe, info: Mapping[str, str]) -> None:
        """A new connection: what waited on the one before is read again."""
        self._pipe, self._question = pipe, question(self._replicas, info)
        self._held, self._is_asking, self.why = [], False, ""

    def take(self, rows: list[Told]) -> None:
        """These are told when replicas have them, and in their order."""
        self._held += rows
        self.look()

    def look(self) -> None:
        """Ask whether replicas have all that was read, also when that is nothing: an operator wants to know before the
        next order comes.
        """
        if self.is_needed and not self._is_asking:
            self._ask()

    async def await_now(self) -> None:
        """Wait until replicas have all that was read until now.

        Raises:
            TimeoutError: they do not. hiredis.ReplyError: Redis does not take the write. PipeLost: it is gone.
        """
        if self.is_needed:
            assert self._pipe is not None
            await replicated(self._pipe, self._mark, self._question, self._replicas)

    def _ask(self) -> None:
        assert self._pipe is not None
        self._is_asking, self._asked, self._is_marked, self._tries = True, len(self._held), False, 0
        self._pipe.send(self._on_mark, "SET", self._mark, "")
        self._send_question()

    def _send_question(self) -> None:
        assert self._pipe is not None
        self._pipe.send(self._on_answer, *self._question)

    def _on_mark(self, reply: Any) -> None:
        self._is_marked = not isinstance(reply, hiredis.ReplyError | PipeLost)
        if isinstance(reply, hiredis.ReplyError):
            self._away(str(reply))

    def _on_answer(self, reply: Any) -> None:
        if isinstance(reply, PipeLost) or not self._is_marked:
            return
        if isinstance(reply, hiredis.ReplyError):
            self._away(str(reply))
            return
        has_all, found = answered(reply, self._replicas)
        if not has_all:
            self._tries += 1
            if self._tries >= _TRIES:
                self._say(missing(found, self._replicas))
            self._send_question()
            return
        if self.why:
            self.why = ""
            self._log("core.replicas_back")
        rows, self._held, self._is_asking = self._held[: self._asked], self._held[self._asked :], False
        if rows:
            self._deliver(rows)
        if self._held:
            self.look()

    def _say(self, why: str) -> None:
        if why != self.why:
            self.why = why
            self._log("core.replicas_missing", text=why)


async def replicated(pipe: RedisPipe, mark: str, asked: tuple[Argument, ...], replicas: int) -> None:
    """Wait until so many replicas have all that this Redis wrote before now. asked: see `question`.

    Raises:
        TimeoutError: they do not. hiredis.ReplyError: Redis does not take the write. PipeLost: it is gone.
    """
    await ask(pipe, "SET", mark, "")
    found: object = 0
    for _ in range(_TRIES):
        has_all, found = answered(await ask(pipe, *asked), replicas)
        if has_all:
            return
    raise TimeoutError(missing(found, replicas))


def question(replicas: int, info: Mapping[str, str]) -> tuple[Argument, ...]:
    """What this Redis understands: that the write is on the disks of so many replicas and its own, or, before 7.2, in
    the replicas' memory.
    """
    major, minor = info.get("redis_version", "0.0").split(".")[:2]
    if (int(major), int(minor)) >= _WAITAOF_SINCE:
        return "WAITAOF", 1, replicas, _ASK_MS
    return "WAIT", replicas, _ASK_MS


def answered(reply: Any, replicas: int) -> tuple[bool, object]:
    """Whether so many have it, and how many do."""
    if isinstance(reply, list):
        own, found = reply
        return own >= 1 and found >= replicas, found
    return reply >= replicas, reply


def missing(found: object, replicas: int) -> str:
    """What an operator is told."""
    return f"{found} of {replicas} replicas have what was written last: see core.acked_by_replicas"
