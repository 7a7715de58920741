"""Names of WebSocket sessions that can no longer be resumed: their events are still reported under the same name. Pure.

Bounded for each key by itself, so that a client that changes names without end loses only its own.
"""

from collections.abc import Iterable

import msgspec

MAX_PER_KEY = 256  # four times those that can be logged on by one key


class WsSessionRecord(msgspec.Struct, frozen=True, array_like=True):
    """A WebSocket session: whose it is, and the id it has in every command. name `ws-ID` = the client gave none."""

    session: int
    key_id: str
    name: str

    @property
    def is_given(self) -> bool:
        """Whether the client gave it, and so may resume the session."""
        return self.name != name_of_unnamed(self.session)


def name_of_unnamed(session: int) -> str:
    """What a WebSocket session is called whose client gave it no name."""
    return f"ws-{session}"


class FormerNames:
    """Given names by session id, those of each key in the order in which they were forgotten."""

    def __init__(self, rows: Iterable[WsSessionRecord] = ()) -> None:
        self._names: dict[int, WsSessionRecord] = {}
        self._by_key: dict[str, dict[int, None]] = {}
        for row in rows:
            self.add(row)

    def add(self, row: WsSessionRecord) -> None:
        """This one is forgotten now; the oldest of its key goes when there are too many."""
        self.discard(row.session)
        own = self._by_key.setdefault(row.key_id, {})
        if len(own) >= MAX_PER_KEY:
            self.discard(next(iter(own)))
        self._names[row.session] = row
        own[row.session] = None

    def discard(self, session: int) -> None:
        """The id is used again, or its name is no longer needed."""
        row = self._names.pop(session, None)
        if row is not None:
            del self._by_key[row.key_id][session]

    def get(self, session: int) -> WsSessionRecord | None:
        return self._names.get(session)

    def rows(self) -> tuple[WsSessionRecord, ...]:
        return tuple(self._names.values())
