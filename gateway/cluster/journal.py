"""What a gateway of several writes instead of a journal on disk: a commit of each turn, judged by Redis.

It has the methods of `gateway.journal.Journal`, so everything else works as with a disk: what a turn changes is
recorded first, and nothing leaves before `durable` has reached the turn's position. A position is the number of a
commit. Commits are sent one after the other without waiting, and answered in order.

    turn 7 -> commit 7 -> commit.lua: row and messages of each session, then the commands -> "ok" -> output leaves

Before editing: a commit that is not answered is sent again after a lost connection, under the same number; Redis knows
whether it has it. When one is refused, all after it are refused too, and are sent again without the lost session.
"""

from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from gateway.cluster.store import Changes, SharedStore
from gateway.journal.scan import ScanReport
from gateway.journal.writer import JournalState
from gateway.recovery import records
from gateway.remote.core import Handed
from gateway.remote.keys import EntryId, Keys, entry_id
from gateway.remote.wire import decode_commands, encode_commands
from protocols.errors import LocalProtocolError
from protocols.messages import session_of

Argument = bytes | str | int
Lost = Mapping[int, bool]
"""Sessions that another gateway has; True: because its client has logged on there, not because we seemed to be dead."""
_FAR_BEHIND = 1_000  # events
_COMMIT_BYTES, _PART_BYTES, _HANDED_BYTES, _MESSAGE_BYTES = 512, 1_024, 512, 64  # what objects take beside their bytes
_pack = msgspec.msgpack.Encoder().encode
_unpack_run = msgspec.msgpack.Decoder(list[bytes]).decode


class NameTaken(Exception):
    """Another process has this gateway's name; the text says what to do."""


class CommitsLost(Exception):
    """Redis no longer has commits that it had acknowledged; the text says what to do."""


class Gateway(msgspec.Struct, frozen=True):
    """Who writes. boot: another one for each process, so that two under one name are told apart."""

    keys: Keys
    name: str
    boot: str


class SessionPart(msgspec.Struct):
    """What a commit writes of one session. gone: fields that are deleted."""

    token: int
    changes: Changes
    gone: list[str] = []


class Commit(msgspec.Struct, eq=False):
    """What one turn changed, and hands over."""

    number: int
    sessions: dict[int, SessionPart]
    handed: list[Handed]
    size_bytes: int = 0

    def without(self, lost: Collection[int]) -> list[int]:
        """Take out what is of sessions that another gateway owns; the cmd_ids of the commands among it."""
        taken: list[int] = []
        for session in lost:
            self.sessions.pop(session, None)
        for handed in self.handed:
            if handed.sessions.isdisjoint(lost):
                continue
            commands = decode_commands(handed.data, "msgpack")
            taken += [command.cmd_id for command in commands if session_of(command.cmd_id) in lost]
            left = [command for command in commands if session_of(command.cmd_id) not in lost]
            handed.data, handed.sessions = encode_commands(left, "msgpack"), handed.sessions.difference(lost)
        return taken


class HandOvers(Protocol):
    """The core, as far as a commit needs it."""

    @property
    def unsent(self) -> list[Handed]:
        """What is to be handed over."""

    def wire(self, handed: Handed) -> bytes:
        """A hand-over as the core reads it."""

    def appended(self, handed: Handed, entry: EntryId) -> None:
        """It is in the stream."""

    def latest_seq(self, account: int) -> int:
        """The account's latest event that was reported here."""

    @property
    def epoch(self) -> str:
        """The incarnation of its event streams."""

    @property
    def field(self) -> str:
        """Which field of an entry has the commands."""


class SharedJournal:
    """The commits of one gateway."""

    keeps_records = True
    may_accept_orders = True
    open_files = 0
    dropped_early = 0
    size_bytes = 0
    keep_from: int | None = None

    def __init__(self, gateway: Gateway, retain_messages: int) -> None:
        """retain_messages: of each FIX session, for its resends."""
        self.recovery = ScanReport({})
        self.durable = self.position = 0
        self.state: JournalState = "ok"
        self._gateway = gateway
        self._kept = retain_messages
        self._core: HandOvers
        self._send: Callable[[Commit], None]
        self._lost: Callable[[Lost, list[int]], None]
        self._dirty: list[SharedStore] = []
        self._stores: dict[int, SharedStore] = {}
        self._tokens: dict[int, int] = {}  # of the sessions that this gateway owns
        self._accounts: dict[int, int] = {}  # of those that number what they report
        self._noted: dict[int, int] = {}  # up to which event each has reported, as its row has it
        self._parts: dict[int, SessionPart] = {}  # of this turn
        self._ended: set[int] = set()
        self._waits: Counter[int] = Counter()  # commands in the queue, by the session that numbered them
        self._unanswered: deque[Commit] = deque()
        self.waiting_bytes = 0  # of these
        self.failure: Exception | None = None
        """Why nothing is written any more."""

    def connect(self, core: HandOvers, send: Callable[[Commit], None], lost: Callable[[Lost, list[int]], None]) -> None:
        """send: writes a commit to Redis, if it can be reached. lost: these sessions turned out to be another
        gateway's, and these commands of theirs will never reach the core.
        """
        self._core, self._send, self._lost = core, send, lost

    # -- sessions ------------------------------------------------------------------------------------------------------

    def own(self, session: int, token: int, account: int = 0) -> None:
        """This gateway owns the session under this token. account: of a session that numbers what it reports."""
        self._tokens[session] = token
        if account:
            self._accounts[session] = account
            self._part(session)  # the commit of this turn says up to which event it has reported

    def owns(self, session: int) -> bool:
        """Whether this gateway owns the session, as far as it knows."""
        return session in self._tokens

    @property
    def owned(self) -> int:
        """How many sessions this gateway owns."""
        return len(self._tokens)

    def owned_sessions(self) -> list[int]:
        """The sessions that this gateway owns, as far as it knows."""
        return list(self._tokens)

    def name_taken(self) -> NameTaken:
        """What to say when another process has the name."""
        return NameTaken(
            f'the name "{self._gateway.name}" is no longer this process\': it was not heard of for so long that it'
            " counts as dead, so start it again; or another process has the name, so give each its own core.node"
        )

    def token_of(self, session: int) -> int:
        """The token under which it does, 0 = it does not."""
        return self._tokens.get(session, 0)

    def note_progress(self) -> bool:
        """Have the next commit say how far the sessions have reported that have had nothing to report for long: who
        takes one over reads all events since then. Returns whether there are any.
        """
        behind = [
            session
            for session, account in self._accounts.items()
            if self._core.latest_seq(account) - self._noted.get(session, 0) > _FAR_BEHIND
        ]
        for session in behind:
            self._part(session)
        return bool(behind)

    def disown(self, session: int) -> None:
        """Another gateway owns it, or it has ended: nothing of it is written any more."""
        self._ended.discard(session)
        for known in (self._noted, self._waits):
            known.pop(session, None)
        self._tokens.pop(session, None)
        self._accounts.pop(session, None)
        self._parts.pop(session, None)
        self._stores.pop(session, None)

    def take_ended(self) -> list[tuple[int, int]]:
        """Sessions that have ended for good, and the token of each; not while a command of theirs waits."""
        busy = {session for commit in self._unanswered for session in commit.sessions}
        ended = [
            (session, self.token_of(session)) for session in sorted(self._ended - busy) if self._waits[session] <= 0
        ]
        for session, _ in ended:
            self.disown(session)
        return [each for each in ended if each[1]]

    def store(self, session: int) -> SharedStore:
        """The numbers and messages of a session."""
        found = self._stores.get(session)
        if found is None:
            found = self._stores[session] = SharedStore(session, self._dirty, self._kept)
        return found

    # -- records -------------------------------------------------------------------------------------------------------

    def append(self, kind: int, session: int, body: bytes) -> int:
        """Note a record for the commit of this turn."""
        if kind == records.LINK:
            self._set(session, "link", body)
        elif kind == records.WS_SESSION:
            self._tokens.setdefault(session, 1)  # a new one
            self._set(session, "ws", body)
        elif kind == records.RESET:
            self._set(session, "reset", body)
        elif kind == records.WAITS:
            cmd_id = records.decode_waiting(body).cmd_id
            self._waits[session_of(cmd_id)] += 1
            self._set(session_of(cmd_id), f"w{cmd_id}", body)
        elif kind == records.WS_ENDED:
            self._ended.add(session)
        elif kind == records.LEFT:
            cmd_id = int.from_bytes(body, "big")
            self._waits[session_of(cmd_id)] -= 1
            if (part := self._part(session_of(cmd_id))) is not None and not part.changes.fields.pop(f"w{cmd_id}", None):
                part.gone.append(f"w{cmd_id}")
        return self.position

    def _set(self, session: int, field: str, value: bytes) -> None:
        if (part := self._part(session)) is not None:
            part.changes.fields[field] = value

    def _part(self, session: int) -> SessionPart | None:
        """What this turn writes of a session; None: it is another gateway's by now."""
        part, token = self._parts.get(session), self._tokens.get(session)
        if part is None and token is not None:
            part = self._parts[session] = SessionPart(token, Changes())
        return part

    def commit(self, now_ns: int) -> int:
        """Send what changed since the last commit; its number, which `durable` must reach before output leaves.

        Raises:
            NameTaken, CommitsLost: this is final: send nothing more, and exit.
        """
        if self.failure is not None:
            raise self.failure
        for store in self._dirty:
            changes = store.take()
            if changes is not None and (part := self._part(store.session)) is not None:
                changes.fields.update(part.changes.fields)
                part.changes = changes
        self._dirty.clear()
        handed = self._core.unsent
        if not (self._parts or handed):
            return self.position
        for each in handed:
            each.is_sent = True
            for session in each.sessions:  # also of what waited: its session must still be ours
                self._part(session)
        for session, part in self._parts.items():
            if account := self._accounts.get(session):
                self._noted[session] = at = self._core.latest_seq(account)
                part.changes.fields["at"] = b"%d" % at
                part.changes.fields["epoch"] = self._core.epoch.encode()
        self.position += 1
        commit = Commit(self.position, self._parts, handed)
        self._parts = {}
        if strange := {session: True for each in handed for session in each.sessions if session not in commit.sessions}:
            self._lost(strange, commit.without(strange))
        commit.size_bytes = _size_of(commit)
        self.waiting_bytes += commit.size_bytes
        self._unanswered.append(commit)
        self._send(commit)
        return self.position

    # -- Redis' side ---------------------------------------------------------------------------------------------------

    @property
    def unanswered(self) -> Sequence[Commit]:
        """Commits without an answer, in order."""
        return self._unanswered

    def command_of(self, commit: Commit) -> tuple[list[str], list[Argument]]:
        """The keys and arguments of `commit.lua`."""
        keys, name = self._gateway.keys, self._gateway.name
        wanted = [keys.gateway(name), keys.commands]
        told: list[Argument] = [name, self._gateway.boot, commit.number, self._kept, len(commit.handed)]
        for handed in commit.handed:
            told += (self._core.field, self._core.wire(handed))
        for session, part in commit.sessions.items():
            changes = part.changes
            wanted += (keys.session(session), keys.sent(session))
            told += (part.token, int(changes.is_reset), len(changes.fields))
            for field, value in changes.fields.items():
                told += (field, value)
            told += (len(part.gone), *part.gone, len(changes.runs))
            for first, messages in changes.runs:
                told += (first, len(messages), _pack(messages))
        return wanted, told

    def answered(self, commit: Commit, sessions: Sequence[int], reply: list[Any]) -> bool:
        """Redis has judged a commit. sessions: those that it had when it was sent; an answer to the one before may have
        taken some out since. Returns whether all that are unanswered must be sent again.
        """
        word = reply[0]
        if word == b"ok":
            while self._unanswered and self._unanswered[0].number <= commit.number:
                self.waiting_bytes -= self._unanswered.popleft().size_bytes
            self.durable = max(self.durable, commit.number)
            for handed, entry in zip(commit.handed, reply[1:], strict=True):
                self._core.appended(handed, entry_id(entry))
            return False
        if word == b"gone":
            self.failure = self.name_taken()
            return False
        if word == b"early":  # one before it was refused, and is sent again with this
            if self._unanswered and commit is self._unanswered[0]:
                self.failure = CommitsLost(
                    "Redis has lost what it had acknowledged: restore its file and start again; or go on without it,"
                    " with `penstock core --accept-loss`"
                )
            return False
        told = ((sessions[index - 1], word == b"1") for index, word in zip(reply[1::2], reply[2::2], strict=True))
        lost = {session: for_client for session, for_client in told if session in commit.sessions}
        if lost:
            self._lost(lost, [cmd_id for each in self._unanswered for cmd_id in each.without(lost)])
        return bool(lost)

    # -- what a journal on disk has, too -------------------------------------------------------------------------------

    @property
    def trouble(self) -> str:
        """What is wrong, for people; empty if nothing is."""
        return "" if self.state == "ok" else "given up"

    def place_of(self, position: int) -> str:
        return f"commit {position}"

    def drop_old_segments(self) -> None:
        """There are none."""

    def give_up(self, error: Exception) -> None:
        """Record nothing more."""
        self.state = "failed"

    def close(self) -> None:
        """Nothing is open."""


def _size_of(commit: Commit) -> int:
    """About how much memory it takes, rounded up."""
    size = _COMMIT_BYTES + sum(_HANDED_BYTES + len(handed.data) for handed in commit.handed)
    for part in commit.sessions.values():
        changes = part.changes
        size += _PART_BYTES + sum(map(len, changes.fields.values()))
        for _, messages in changes.runs:
            size += sum(map(len, messages)) + _MESSAGE_BYTES * len(messages)
    return size


def run_of(entry: EntryId, fields: dict[bytes, bytes]) -> tuple[int, list[bytes]]:
    """The first number and the messages of an entry of a stream of sent messages.

    Raises:
        LocalProtocolError: it is none.
    """
    messages = _unpack_run(fields[b"m"])
    if len(messages) != entry[1]:
        raise LocalProtocolError(f"entry {entry} has {len(messages)} messages")
    return entry[0], messages
