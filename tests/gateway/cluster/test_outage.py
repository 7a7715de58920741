"""What a gateway does for its clients while Redis takes nothing from it, and when.

Modules: cluster.outage.
"""

from gateway.cluster.outage import Outage

MS = 1_000_000
LEASE_MS, HOLD_MS, MOST = 3_000, 60_000, 1_000


class Clients:
    """What is asked for, in order; `connected` of them are."""

    def __init__(self):
        self.asked, self.connected = [], 2

    def stop_counting(self, since_ns):
        self.asked.append(("stop counting", since_ns // MS))

    def count_on(self, now_ns):
        self.asked.append(("count on", now_ns // MS))

    def stop_reading(self, now_ns):
        self.asked.append("stop reading")

    def read_on(self, now_ns):
        self.asked.append("read on")

    def cut_off(self, text, now_ns):
        self.asked.append("cut off")
        count, self.connected = self.connected, 0
        return count


class World:
    def __init__(self):
        self.clients, self.logged = Clients(), []
        self.outage = Outage(
            self.clients, MOST, LEASE_MS, HOLD_MS, lambda name, **fields: self.logged.append((name, fields))
        )

    def look(self, now_ms, is_cut_off=False):
        self.outage.look(is_cut_off, now_ms * MS)
        return self.clients.asked

    @property
    def names(self):
        return [name for name, _ in self.logged]


def test_no_grace_runs_from_the_last_answer_until_the_next():
    world = World()
    world.outage.end(500 * MS)
    world.outage.begin(1_000 * MS)
    world.outage.begin(3_000 * MS)  # found out again, at another connection
    world.outage.end(9_000 * MS)
    world.outage.end(9_500 * MS)
    assert world.clients.asked == [("stop counting", 1_000), ("count on", 9_000)]


def test_clients_are_not_read_when_too_much_waits_until_half_of_it_is_taken():
    world = World()
    for waiting in (MOST, MOST + 1, MOST + 5, MOST, MOST // 2 + 1):
        world.outage.weigh(waiting, 0)
    assert (world.clients.asked, world.outage.is_full) == (["stop reading"], True)
    world.look(0)
    assert world.clients.asked == ["stop reading", "stop reading"], "who has come since is not read either"
    world.outage.weigh(MOST // 2, 0)
    assert (world.clients.asked[2:], world.outage.is_full) == (["read on"], False)
    assert world.names == ["cluster.commits_full"]


def test_a_gateway_that_is_cut_off_sends_its_clients_away_when_others_may_have_their_sessions():
    world = World()
    world.outage.begin(10_000 * MS)
    assert "cut off" not in world.look(10_000 + LEASE_MS - 1, is_cut_off=True)
    assert "cut off" in world.look(10_000 + LEASE_MS, is_cut_off=True)
    assert world.logged == [("cluster.clients_cut", {"count": 2, "away_ms": LEASE_MS, "is_cut_off": True})]


def test_clients_stay_for_long_where_redis_is_away_for_all():
    world = World()
    world.outage.begin(0 + MS)
    assert "cut off" not in world.look(HOLD_MS)
    assert "cut off" in world.look(HOLD_MS + 1)


def test_who_comes_while_redis_is_still_away_is_sent_away_too_and_nothing_is_said_of_nobody():
    world = World()
    world.outage.begin(MS)
    world.look(HOLD_MS + 1)
    world.look(HOLD_MS + 2)
    world.clients.connected = 1
    world.look(HOLD_MS + 3)
    assert [fields["count"] for _, fields in world.logged] == [2, 1]
    assert world.outage.cut == 3
    world.outage.end((HOLD_MS + 4) * MS)
    world.clients.connected = 1
    world.look(3 * HOLD_MS)
    assert world.clients.connected == 1, "Redis answers"
