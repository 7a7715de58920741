"""What a FIX session can tell its owner. The machine has already done what the session layer asks; these are facts.

`LoggedOut` and `Disconnect` end a connection: nothing follows either of them, and the owner closes once it has written
the output. All others are in the order of what the peer sent.
"""

import msgspec

Fields = dict[int, str]
"""Body fields of one message: tag -> text. Groups live beside it."""


class LoggedOn(msgspec.Struct, frozen=True, gc=False):
    """Logon was exchanged; application messages may flow both ways. fields: the peer's Logon, whole.

    Told again, with reset, when a Logon with ResetSeqNumFlag(141)=Y began a running session anew: what it asked for is
    in force from then on.
    """

    fields: Fields
    reset: bool  # both counters went back to 1
    heart_bt_int_s: int


class AppMessage(msgspec.Struct, frozen=True, gc=False):
    """An application message in sequence, valid by the dictionary of the session's version.

    fields: header and body by tag, but for 9 and 10. groups: count tag -> entries, None without groups.
    """

    msg_type: str
    seq_num: int
    fields: Fields
    groups: dict[int, list[Fields]] | None
    poss_dup: bool
    poss_resend: bool
    sending_time_ns: int  # OrigSendingTime(122) when PossDupFlag(43)=Y, else SendingTime(52)
    size_bytes: int = 0  # of the whole message on the wire


class HeldBack(msgspec.Struct, frozen=True, gc=False):
    """A question about an order came ahead of its turn, which it waits for: the order may be in the gap."""

    message: AppMessage


class Leaving(msgspec.Struct, frozen=True, gc=False):
    """The session ends: nothing more is read, and our Logout(5) follows when the owner calls `leave`, having answered
    what came before, or when `answer_timeout_ms` is over. Never told when that is 0.
    """

    by_peer: bool
    text: str  # what our Logout(5) will say
    fields: Fields  # the peer's Logout when by_peer, else empty


class LoggedOut(msgspec.Struct, frozen=True, gc=False):
    """Logout was exchanged or sent for good; the owner closes the connection once the output is written."""

    by_peer: bool
    text: str
    fields: Fields  # the peer's Logout when by_peer, else empty


class Disconnect(msgspec.Struct, frozen=True, gc=False):
    """The owner must close the connection now, after writing the output. reason: a coded word for logs and metrics.

    bad_logon, bad_sequence, begin_string, comp_id, gap, garbled, logon_timeout, logout_timeout, no_msg_seq_num,
    not_a_logon, orig_sending_time, sending_time, silence; or the owner's own word, of its `LogonRefusal`.
    """

    reason: str
    text: str


class SequenceGap(msgspec.Struct, frozen=True, gc=False):
    """Numbers are missing inbound; a ResendRequest(2) for begin..end was sent (end 0 = to the latest)."""

    begin: int
    end: int
    received: int


class SequenceReset(msgspec.Struct, frozen=True, gc=False):
    """NextIn was set by the peer's SequenceReset(4)."""

    next_in: int


class ResendServed(msgspec.Struct, frozen=True, gc=False):
    """The peer asked for begin..end; messages were replayed or gap-filled."""

    begin: int
    end: int


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """We sent Reject(3) or BusinessMessageReject(j) for a message of the peer."""

    msg_type: str
    seq_num: int
    reason: int
    tag: int  # 0 = none to blame
    text: str


class PeerReject(msgspec.Struct, frozen=True, gc=False):
    """The peer sent Reject(3) for a message of ours."""

    ref_seq_num: int
    text: str


class Garbled(msgspec.Struct, frozen=True, gc=False):
    """Bytes that are no message were skipped; no MsgSeqNum(34) was used. is_too_long: over the maximum of a message."""

    reason: str
    size_bytes: int
    is_too_long: bool = False


class Warned(msgspec.Struct, frozen=True, gc=False):
    """Something odd that the standard lets pass; for the log."""

    text: str


Event = (
    LoggedOn
    | AppMessage
    | HeldBack
    | Leaving
    | LoggedOut
    | Disconnect
    | SequenceGap
    | SequenceReset
    | ResendServed
    | Rejected
    | PeerReject
    | Garbled
    | Warned
)
