"""What a FIX session reports to its owner. The machine has done before what the session layer requires.

`LoggedOut` and `Disconnect` end a connection: no event follows, and the owner closes after writing the output. All
others are in the order in which the peer sent the messages.
"""

import msgspec

from protocols.fix.order_run import OrderRun

Fields = dict[int, str]
"""Fields of one message outside of groups: tag -> text."""


class LoggedOn(msgspec.Struct, frozen=True, gc=False):
    """Both Logons were exchanged; application messages may flow in both directions. fields: the peer's whole Logon.

    Reported again, with reset, when a Logon with ResetSeqNumFlag(141)=Y restarts a running session: its options are in
    force from then on.
    """

    fields: Fields
    reset: bool  # both sequence numbers went back to 1
    heart_bt_int_s: int


class AppMessage(msgspec.Struct, frozen=True, gc=False):
    """An application message in sequence, valid by the dictionary of the session's version.

    fields: header and body by tag, without 9 and 10. groups: count tag -> entries, None without groups.
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
    """An OrderStatusRequest(H) came early and waits for its turn: the order it names may be in the gap."""

    message: AppMessage


class Leaving(msgspec.Struct, frozen=True, gc=False):
    """The session ends and reads nothing more. Our Logout(5) follows when the owner, having answered what came before,
    calls `leave`, or after `answer_timeout_ms`. Not reported if that is 0.
    """

    by_peer: bool
    text: str  # what our Logout(5) will say
    fields: Fields  # the peer's Logout when by_peer, else empty


class LoggedOut(msgspec.Struct, frozen=True, gc=False):
    """Both Logouts were exchanged, or ours was sent and no answer is awaited. Close after writing the output."""

    by_peer: bool
    text: str
    fields: Fields  # the peer's Logout when by_peer, else empty


class Disconnect(msgspec.Struct, frozen=True, gc=False):
    """Close the connection after writing the output. reason: a word for logs and metrics:

    bad_logon, bad_sequence, begin_string, comp_id, gap, garbled, logon_timeout, logout_timeout, no_msg_seq_num,
    not_a_logon, orig_sending_time, sending_time, silence; or the word in the owner's `LogonRefusal`.
    """

    reason: str
    text: str


class SequenceGap(msgspec.Struct, frozen=True, gc=False):
    """Inbound numbers are missing; a ResendRequest(2) for begin..end was sent (end 0 = to the latest)."""

    begin: int
    end: int
    received: int


class SequenceReset(msgspec.Struct, frozen=True, gc=False):
    """NextIn was set by the peer's SequenceReset(4)."""

    next_in: int


class ResendServed(msgspec.Struct, frozen=True, gc=False):
    """The peer requested begin..end; these messages are replayed or gap-filled."""

    begin: int
    end: int


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """We sent Reject(3) or BusinessMessageReject(j) for a message of the peer."""

    msg_type: str
    seq_num: int
    reason: int
    tag: int  # RefTagID(371); 0 = none
    text: str


class PeerReject(msgspec.Struct, frozen=True, gc=False):
    """The peer sent Reject(3) for a message of ours."""

    ref_seq_num: int
    text: str


class Garbled(msgspec.Struct, frozen=True, gc=False):
    """Bytes that are not a message were skipped; no MsgSeqNum(34) was used. is_too_long: over the maximum size."""

    reason: str
    size_bytes: int
    is_too_long: bool = False


class Warned(msgspec.Struct, frozen=True, gc=False):
    """Something unusual that the standard permits; for the log."""

    text: str


Event = (
    LoggedOn | AppMessage | HeldBack | Leaving | LoggedOut | Disconnect | SequenceGap | SequenceReset | ResendServed
    | Rejected | PeerReject | Garbled | Warned | OrderRun
)  # fmt: skip
