"""The keys of one venue in Redis, and the ids of stream entries. Pure.

All keys of a venue carry its prefix in braces, so that a cluster keeps them on one node.
"""

import msgspec


class Keys(msgspec.Struct, frozen=True):
    """The keys of the venue with this prefix."""

    prefix: str

    @property
    def base(self) -> str:
        """What all keys of the venue begin with."""
        return f"{{{self.prefix}}}:"

    @property
    def commands(self) -> str:
        """The stream of all that the core takes in, in order."""
        return f"{{{self.prefix}}}:commands"

    @property
    def trims(self) -> str:
        """A stream beside the commands: up to where our own cores have let go of them."""
        return f"{{{self.prefix}}}:trims"

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

    @property
    def gateways(self) -> str:
        """A set: the names of the gateways of the venue."""
        return f"{{{self.prefix}}}:gateways"

    def gateway(self, name: str) -> str:
        """A hash: what keeps one gateway's name from being used twice, and its last commit."""
        return f"{{{self.prefix}}}:gateway:{name}"

    def owned(self, name: str) -> str:
        """A set: the sessions that a gateway owns."""
        return f"{{{self.prefix}}}:owned:{name}"

    def session(self, session: int) -> str:
        """A hash: the row of one session."""
        return f"{{{self.prefix}}}:session:{session}"

    def sent(self, session: int) -> str:
        """A stream: the messages that a FIX session has sent; an entry has the number of its first one."""
        return f"{{{self.prefix}}}:sent:{session}"

    def names(self, key_id: str) -> str:
        """A hash: the named WebSocket sessions of a key, name -> id."""
        return f"{{{self.prefix}}}:names:{key_id}"

    @property
    def ids(self) -> str:
        """A counter: ids of WebSocket sessions that were handed out."""
        return f"{{{self.prefix}}}:ids"

    @property
    def known(self) -> str:
        """A hash: what each id of the configuration means to all gateways."""
        return f"{{{self.prefix}}}:known"

    @property
    def modes(self) -> str:
        """A hash: the operators' modes in force, by place."""
        return f"{{{self.prefix}}}:modes"

    @property
    def control(self) -> str:
        """A stream that all gateways read: sessions that moved, operators' modes."""
        return f"{{{self.prefix}}}:control"


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
