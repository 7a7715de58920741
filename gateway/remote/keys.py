"""The keys of one venue in Redis, and the ids of stream entries. Pure.

All keys of a venue carry its prefix in braces, so that a cluster keeps them on one node.
"""

import msgspec


class Keys(msgspec.Struct, frozen=True):
    """The keys of the venue with this prefix."""

    prefix: str

    @property
    def commands(self) -> str:
        """The stream of all that the core takes in, in order."""
        return f"{{{self.prefix}}}:commands"

    @property
    def core(self) -> str:
        """A hash: what the core says of itself."""
        return f"{{{self.prefix}}}:core"

    @property
    def snapshot(self) -> str:
        """A hash: the latest whole snapshot of our own core."""
        return f"{{{self.prefix}}}:snapshot"

    @property
    def mark(self) -> str:
        """A string, written only to learn that replicas have all that was written before it."""
        return f"{{{self.prefix}}}:mark"

    def events(self, account: int, epochs: int = 0) -> str:
        """The stream of an account's events, for replay. epochs: how many the venue had before, as numbers begin anew
        in each.
        """
        return f"{{{self.prefix}}}:events:{account}{f':{epochs}' if epochs else ''}"

    def node(self, name: str) -> str:
        """The stream of what the core delivers to one gateway."""
        return f"{{{self.prefix}}}:node:{name}"


EntryId = tuple[int, int]
"""Milliseconds UTC by the clock of Redis, and the number of the entry within that millisecond."""

BEFORE_ALL: EntryId = (0, 0)


def entry_id(text: bytes | str) -> EntryId:
    """The id of an entry, as Redis writes it.

    Raises:
        ValueError: it is none.
    """
    ms, _, number = (text.decode("ascii") if isinstance(text, bytes) else text).partition("-")
    return int(ms), int(number)


def id_text(entry: EntryId) -> str:
    """The same as text."""
    return f"{entry[0]}-{entry[1]}"
