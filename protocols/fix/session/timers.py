"""When a session must speak, ask or give up: heartbeats and silence, in nanoseconds, with the time as an argument.

Silence counts only while we read: a door that stopped reading for reasons of its own must not blame the peer for it.
"""

from protocols.units import NS_PER_S


class Timers:
    """The clock work of one connection. heart_bt_ns 0: neither heartbeats nor tests."""

    __slots__ = (
        "_give_up_permille",
        "_paused_at_ns",
        "_test_permille",
        "_test_sent_at_ns",
        "deadline_ns",
        "heart_bt_ns",
        "received_ns",
    )

    def __init__(self, test_permille: int, give_up_permille: int) -> None:
        self._test_permille = test_permille
        self._give_up_permille = give_up_permille
        self._paused_at_ns: int | None = None
        self._test_sent_at_ns: int | None = None  # a TestRequest(1) waits for any sign of life
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
        """A message of the peer came: whatever it says, the peer lives."""
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
        """Count on from where silence stood when we stopped reading. Returns how long nothing was read, in ns."""
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
        """Whether we are not reading."""
        return self._paused_at_ns is not None

    def is_test_due(self, now_ns: int) -> bool:
        """Whether the peer was silent for so long that it must be asked."""
        return self._test_sent_at_ns is None and self._is_past(self._silence_ends_ns(), now_ns)

    def is_lost(self, now_ns: int) -> bool:
        """Whether the peer was asked, and silent for so long that it must be given up."""
        return self._test_sent_at_ns is not None and self._is_past(self._silence_ends_ns(), now_ns)

    def is_heartbeat_due(self, last_sent_ns: int, now_ns: int) -> bool:
        """Whether we were silent for HeartBtInt(108)."""
        return self.heart_bt_ns > 0 and not self._awaits_answer() and now_ns >= last_sent_ns + self.heart_bt_ns

    def next_ns(self, last_sent_ns: int) -> int | None:
        """When a heartbeat, a test or the end is due while logged on."""
        if not self.heart_bt_ns:
            return None
        if self._awaits_answer():
            return self._silence_ends_ns()
        heartbeat_ns = last_sent_ns + self.heart_bt_ns
        return heartbeat_ns if self._paused_at_ns is not None else min(heartbeat_ns, self._silence_ends_ns())

    def _awaits_answer(self) -> bool:
        """A TestRequest(1) is out, and we are reading.

        Heartbeats rest meanwhile, as they do in the peers' engines (their case 6 ends with the test): the answer or the
        end is due before the peer can miss one. When we do not read, neither may come for long: then they go on.
        """
        return self._test_sent_at_ns is not None and self._paused_at_ns is None

    def _is_past(self, ends_ns: int, now_ns: int) -> bool:
        return self.heart_bt_ns > 0 and self._paused_at_ns is None and now_ns >= ends_ns

    def _silence_ends_ns(self) -> int:
        """When the silence has lasted too long: for a test, or, once tested, for good.

        A test that went out late (we were suspended) moves the end along: the peer always has its span to answer.
        """
        test_ns = self.heart_bt_ns * self._test_permille // 1_000
        if self._test_sent_at_ns is None:
            return self.received_ns + test_ns
        give_up_ns = self.heart_bt_ns * self._give_up_permille // 1_000
        return max(self.received_ns + give_up_ns, self._test_sent_at_ns + give_up_ns - test_ns)
