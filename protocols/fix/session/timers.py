"""When a session must send a heartbeat, test the peer, or give up. Time is an argument, in nanoseconds.

Silence counts only while the gateway reads: a pause of its own is not the peer's fault.
"""

from protocols.units import NS_PER_S


class Timers:
    """The timers of one connection. heart_bt_ns 0: neither heartbeats nor tests."""

    __slots__ = (
        "_give_up_permille", "_paused_at_ns", "_test_permille", "_test_sent_at_ns", "deadline_ns", "heart_bt_ns",
        "received_ns",
    )  # fmt: skip

    def __init__(self, test_permille: int, give_up_permille: int) -> None:
        self._test_permille = test_permille
        self._give_up_permille = give_up_permille
        self._paused_at_ns: int | None = None
        self._test_sent_at_ns: int | None = None  # when our TestRequest(1) went out that no message has answered
        self.heart_bt_ns = 0
        self.received_ns = 0  # when the last message of the peer came
        self.deadline_ns = 0  # of a Logon(A) or Logout(5) that is awaited

    def connected(self, deadline_ns: int) -> None:
        """A new link; a Logon(A) is awaited until `deadline_ns`."""
        self._paused_at_ns = self._test_sent_at_ns = None
        self.deadline_ns = deadline_ns

    def logged_on(self, heart_bt_int_s: int, now_ns: int) -> None:
        """Heartbeats begin."""
        self.heart_bt_ns = heart_bt_int_s * NS_PER_S
        self.received(now_ns)

    def received(self, now_ns: int) -> None:
        """A message of the peer came: any message answers a TestRequest(1)."""
        self.received_ns = now_ns
        self._test_sent_at_ns = None

    def test_sent(self, now_ns: int) -> None:
        """A TestRequest(1) was sent."""
        self._test_sent_at_ns = now_ns

    def pause(self, now_ns: int) -> None:
        """Stop counting silence. A second pause changes nothing."""
        if self._paused_at_ns is None:
            self._paused_at_ns = now_ns

    def resume(self, now_ns: int) -> int:
        """Continue to count silence. Returns how long nothing was read, in ns."""
        if self._paused_at_ns is None:
            return 0
        unread_ns = max(0, now_ns - max(self._paused_at_ns, self.received_ns))
        self._paused_at_ns = None
        self.received_ns += unread_ns
        if self._test_sent_at_ns is not None:
            self._test_sent_at_ns += unread_ns
        return unread_ns

    @property
    def is_paused(self) -> bool:
        """Whether the gateway does not read."""
        return self._paused_at_ns is not None

    def is_test_due(self, now_ns: int) -> bool:
        """Whether the peer has been silent long enough to be tested."""
        return self._test_sent_at_ns is None and self._is_past(self._silence_ends_ns(), now_ns)

    def is_lost(self, now_ns: int) -> bool:
        """Whether the peer was tested, and has been silent long enough to give it up."""
        return self._test_sent_at_ns is not None and self._is_past(self._silence_ends_ns(), now_ns)

    def is_heartbeat_due(self, last_sent_ns: int, now_ns: int) -> bool:
        """Whether we have sent nothing for HeartBtInt(108)."""
        return self.heart_bt_ns > 0 and not self._awaits_answer() and now_ns >= last_sent_ns + self.heart_bt_ns

    def next_ns(self, last_sent_ns: int) -> int | None:
        """When a heartbeat, a test or the end is due, while logged on."""
        if not self.heart_bt_ns:
            return None
        heartbeat_ns = last_sent_ns + self.heart_bt_ns
        if self._paused_at_ns is not None:
            return heartbeat_ns
        silence_ends_ns = self._silence_ends_ns()
        if self._test_sent_at_ns is not None or silence_ends_ns < heartbeat_ns:  # no heartbeat while it is tested
            return silence_ends_ns
        return heartbeat_ns

    def _awaits_answer(self) -> bool:
        """Whether a TestRequest(1) is unanswered while we read.

        Then no heartbeats are sent, as in other engines (scenario 6): the answer or the end comes before the peer can
        miss one. While we do not read, neither may come for a long time, so heartbeats continue.
        """
        return self._test_sent_at_ns is not None and self._paused_at_ns is None

    def _is_past(self, ends_ns: int, now_ns: int) -> bool:
        return self.heart_bt_ns > 0 and self._paused_at_ns is None and now_ns >= ends_ns

    def _silence_ends_ns(self) -> int:
        """When the silence is long enough for a test, or after the test, for the end.

        With HeartBtInt 30 and the default 1.2 and 2.4: a test after 36 s, the end after 72 s. If the test went out late
        (we were suspended), the end is later too: the peer always has 36 s to answer.
        """
        test_ns = self.heart_bt_ns * self._test_permille // 1_000
        if self._test_sent_at_ns is None:
            return self.received_ns + test_ns
        give_up_ns = self.heart_bt_ns * self._give_up_permille // 1_000
        return max(self.received_ns + give_up_ns, self._test_sent_at_ns + give_up_ns - test_ns)
