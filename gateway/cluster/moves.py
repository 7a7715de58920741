"""What the doors ask of a gateway that is one of several: sessions and accounts that are not here yet."""

from collections.abc import Callable
from typing import Protocol

from gateway.auth.authenticator import Client
from gateway.cluster.journal import SharedJournal
from gateway.cluster.ownership import ANY, IDLE, Ownership
from gateway.doors.services import Asked
from gateway.sessions.registry import Sessions

_FEW_IDS = 128


class NameDesk(Protocol):
    """Asks Redis; see `ClusterDesk`."""

    def name(self, key_id: str, name: str, fresh: int, then: Callable[[list[int] | None, int], None]) -> None:
        """The session of this name, or a new one under the id `fresh`."""

    def ask_for_ids(self) -> None:
        """Few are left."""


class ClusterMoves:
    """See `gateway.doors.services.Moves`."""

    def __init__(self, journal: SharedJournal) -> None:
        self._journal = journal
        self._ownership: Ownership
        self._desk: NameDesk
        self._sessions: Sessions

    def connect(self, ownership: Ownership, desk: NameDesk, sessions: Sessions) -> None:
        """Before any door opens."""
        self._ownership, self._desk, self._sessions = ownership, desk, sessions

    def owns(self, session: int) -> bool:
        return self._journal.owns(session)

    def claim(self, session: int, may_disturb: bool, asked: Asked, now_ns: int) -> None:
        self._ownership.claim(session, ANY if may_disturb else IDLE, asked, now_ns)

    def prepare(self, client: Client, name: str, asked: Asked, now_ns: int) -> None:
        self._ownership.host(
            client.account_id, lambda why, at_ns: self._has_account(client, name, asked, why, at_ns), now_ns
        )

    def _has_account(self, client: Client, name: str, asked: Asked, why: str, now_ns: int) -> None:
        ids = self._sessions.given_ids
        assert ids is not None
        if len(ids) < _FEW_IDS:
            self._desk.ask_for_ids()
        known = self._sessions.named(client.key_id, name) if name else None
        if why or (known is not None and self.owns(known.id)):
            asked(why, now_ns)
        elif not ids:
            asked("ids of sessions are being fetched", now_ns)
        elif not name:
            asked("", now_ns)
        else:
            fresh = ids.popleft()
            self._desk.name(
                client.key_id, name, fresh, lambda told, at_ns: self._named(client, name, fresh, asked, told, at_ns)
            )

    def _named(self, client: Client, name: str, fresh: int, asked: Asked, told: list[int] | None, now_ns: int) -> None:
        ids = self._sessions.given_ids
        assert ids is not None
        if told is None:
            asked("Redis cannot be reached", now_ns)  # the id may have been given the name: it is not used for another
        elif not told[0]:
            ids.append(fresh)
            asked("this key has too many names: use one of them", now_ns)
        elif told[1]:
            self._sessions.begin_ws(fresh, name, client)
            asked("", now_ns)
        else:
            ids.append(fresh)
            self._ownership.claim(
                told[0], ANY, lambda why, at_ns: self._come(client, name, told[0], asked, why, at_ns), now_ns
            )

    def _come(self, client: Client, name: str, session: int, asked: Asked, why: str, now_ns: int) -> None:
        if not why and self._sessions.named(client.key_id, name) is None:  # its row was never written
            self._sessions.begin_ws(session, name, client)
        asked(why, now_ns)
