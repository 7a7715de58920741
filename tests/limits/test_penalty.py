"""The penalty ladder: refused, cooling down, disconnected; the same on one node alone and on a shared store."""

import pytest

from limits.bucket import MILLI, NEVER
from limits.limiter import ALLOWED, Decision
from limits.local import LocalLimiter
from tests.support.shared_limits import SECOND_NS, START_NS, World, policy_of

TEXT = """
[plans.standard]
orders = { rate = "10/s", burst = 10 }
cancels = { rate = "10/s", burst = 10 }
[penalty]
strikes = 5
window_s = 10
cooldown_s = 3
disconnect_over = "4x"
"""


class Client:
    """One session, on a limiter of its own process or of a node with a store."""

    def __init__(self, kind: str, text: str = TEXT) -> None:
        self.now_ns = START_NS
        self._world = World(text)
        self._node = self._world.nodes[0]
        self.limiter = LocalLimiter(policy_of(text)) if kind == "local" else self._node.limiter
        self._is_local = kind == "local"
        self.path = self.limiter.open("ACME", "MM1")

    def take(self, name: str = "orders", cost_milli: int = MILLI) -> Decision:
        if self._is_local:
            return self.limiter.take(self.path, name, cost_milli, self.now_ns)
        self._world.now_ns = self.now_ns
        return self._node.take(self.path, name, cost_milli)

    def refused(self, times: int, name: str = "orders") -> list[str]:
        """The penalty of each refusal, at one instant; what is admitted before is left out."""
        while self.take(name) is ALLOWED:
            pass
        return [self.take(name).penalty for _ in range(times - 1)]


@pytest.fixture(params=["local", "shared"])
def client(request) -> Client:
    return Client(request.param)


def test_strikes_lead_to_a_cool_down_in_which_only_cancels_pass(client):
    assert client.refused(6) == [""] * 4 + ["cooling_down"]
    client.now_ns += 2 * SECOND_NS  # there are tokens again by now
    decision = client.take()
    assert (decision.allowed, decision.penalty, decision.wait_us) == (False, "cooling_down", 1_000_000)
    assert client.take("queries").penalty == "cooling_down"
    assert client.take("cancels") is ALLOWED
    client.now_ns += SECOND_NS
    assert client.take() is ALLOWED


def test_refusals_that_come_slowly_enough_never_add_up(client):
    client.refused(1)
    for _ in range(50):
        client.now_ns += 2 * SECOND_NS + 1
        assert set(client.refused(1)) <= {""}


def test_refused_cancels_never_add_a_strike(client):
    assert client.refused(500, "cancels") == [""] * 499
    assert client.take() is ALLOWED


def test_refusals_far_above_the_rate_disconnect(client):
    """Four times the burst of the limit, and then four times its rate."""
    steps = client.refused(60)
    assert steps.index("disconnect") == 39
    assert set(steps[39:]) == {"disconnect"}


def test_the_sessions_of_an_account_stand_on_the_ladder_together(client):
    client.refused(6)
    client.path = client.limiter.open("ACME", "MM2")
    assert client.take().penalty == "cooling_down"
    client.path = client.limiter.open("OTHER", "MM1")
    assert client.take() is ALLOWED


def test_what_can_never_fit_stays_so_in_a_cool_down(client):
    client.refused(5)
    assert client.take(cost_milli=11 * MILLI).wait_us == NEVER


def test_without_a_penalty_in_the_file_nobody_is_punished():
    client = Client("local", TEXT[: TEXT.index("[penalty]")])
    assert client.refused(1_000) == [""] * 999
