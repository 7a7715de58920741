"""Whatever one session's code raises costs that session alone: `gateway.orders.endpoint_calls`, in a whole gateway."""

import inspect
from typing import ClassVar

import pytest

from gateway.config import schema
from gateway.journal import JournalSettings
from gateway.orders.token_wait import Parked
from gateway.orders.trading_modes import ModeChange, Modes
from gateway.server import Server
from gateway.sessions.reply import Endpoint
from gateway.sessions.request import Request
from limits.policy_parse import parse
from limits.reload import built_in
from protocols.fix.events import AppMessage
from protocols.messages import QueryOrders
from tests.support import fix_room, ws_room
from tests.support.fix_room import BTC, session

HALT = ModeChange("venue", "", "halted", "a test", "kim", 0)
TIGHTER = ws_room.OPEN.replace('orders = { rate = "100000/s"', 'orders = { rate = "9/s"')


class Fix(fix_room.Desk):
    """A FIX session, and what it reads of an event: the type of a message."""

    words: ClassVar = {"report": "8", "notice": "B", "limits": "B", "draining": "B", "end": "5"}

    def place_nowhere(self):
        """An order in no instrument: it becomes no command."""
        self.send("D", "11=x|55=NONE|54=1|38=1|40=2|44=100.00|")

    def place_run(self):
        """Three orders that teach the gateway what is plain, then two in one read."""
        for name in "abc":
            self.place(name)
        frames = [self.frame("D", f"11={name}|55=BTC-USDT|54=1|38=1|40=2|44=100.00|") for name in "de"]
        self.endpoint.receive(b"".join(frames), self.now)

    def hears(self, what):
        return self.words[what] in [message["35"] for message in self.read()]


class Ws(ws_room.Desk):
    """A WebSocket session without a name, which is forgotten when it ends. It reads an event's name."""

    words: ClassVar = {"report": "order", "notice": "system", "limits": "limits", "draining": "system", "end": "close"}

    def place_nowhere(self):
        self.write(ws_room.request("order.place", {**ws_room.ORDER, "symbol": "NONE", "cl_ord_id": "x"}))

    def place(self, cl_ord_id):
        """An order that goes its own way: a client that wants to know of the hand-over is told apart from others."""
        return super().place(cl_ord_id, resp="queued")

    def place_run(self):
        """Two orders in one read."""
        frames = [ws_room.request("order.place", {**ws_room.ORDER, "cl_ord_id": name}) for name in "de"]
        self.endpoint.receive(b"".join(frames), self.now)

    def hears(self, what):
        names = [message.get("ev") if isinstance(message, dict) else message.split()[0] for message in self.read()]
        return self.words[what] in names


class Three:
    """A gateway with three sessions of one account: the first is broken, and the others must not feel it."""

    def __init__(self, directory, door, monkeypatch):
        (directory / "limits.toml").write_text(ws_room.OPEN)
        rows = tuple(
            session(number, name, response_mode=1, reset_schedule="daily 22:00") for number, name in enumerate("ABC", 1)
        )
        settings = schema.Config(
            fix=schema.Fix(sessions=rows),
            ws=schema.Ws(),
            accounts=(schema.Account(id=1, name="ACME"),),
            keys=(ws_room.key("ACME"),),
            instruments=(BTC,),
            journal=JournalSettings(durability="memory"),
        )
        self.logged = []
        monkeypatch.setattr(Server, "log", lambda _, name, **fields: self.logged.append((name, fields)))
        self.server = Server(settings, directory)
        if door == "fix":
            self.clients = [Fix(self.server, name) for name in "ABC"]
        else:
            self.clients = [Ws(self.server) for _ in "ABC"]
        for client in self.clients:
            client.logon(**({} if door == "fix" else {"streams": ["orders", "system", "limits"]}))
        self.broken, *self.others = self.clients
        self.sessions = [client.endpoint.session for client in self.clients]
        self.done = []

    @property
    def now(self):
        return self.server.now_ns()

    @property
    def bugs(self):
        return [fields["error"] for name, fields in self.logged if name == "session.failed"]

    def tick(self):
        self.server.orders.tick(self.now)

    def hear(self, what):
        """Whether both of the others read it."""
        return [other.hears(what) for other in self.others] == [True, True]

    def park(self):
        """A command of each session waits for tokens, as where a store of limits is asked."""
        for each in self.sessions:
            query = QueryOrders(each.sender.next_query_id(), 1, each.id, each.sender.origin, self.now, 0, "q")
            source = AppMessage("H", 1_000, {}, None, False, False, 0)  # ahead of its turn: nothing else to keep of it
            step = Parked(
                lambda _, each=each: not self.done.append(each), Request(query, each, source, 0, endpoint=each.endpoint)
            )
            self.server.orders.token_wait.park(each, step, self.now)

    def brim(self):
        """The queue is full to its last slice."""
        self.server.orders.admission._backpressure.brim(self.now)

    def tighten(self):
        """Another policy is in force."""
        self.server.limiter.apply(parse(TIGHTER, built_in()).policy, self.now)
        self.server._on_limits()

    def halt(self):
        """Operators stop trading."""
        self.server.orders.venue.change(Modes().apply(HALT), self.now)


def place(three):
    three.broken.place("a")
    assert three.hear("report")


def place_run(three):
    three.broken.place_run()
    three.tick()
    assert three.hear("report")


def place_run_by_another(three):
    three.others[0].place_run()
    three.tick()
    assert three.others[1].hears("report")


def place_by_another(three):
    three.others[0].place("a")
    assert three.others[1].hears("report")


def place_nowhere(three):
    three.broken.place_nowhere()


def park(three):
    three.park()
    three.tick()
    assert three.done == three.sessions


def fill_and_drain(three):
    three.brim()
    assert [other.link.is_paused for other in three.others] == [True, True]
    three.tick()
    assert [other.link.is_paused for other in three.others] == [False, False]


def then_hear(what, act):
    def run(three):
        act(three)
        assert three.hear(what)

    return run


ACTS = {
    "handed_over": place,
    "answer": place,
    "report": place_by_another,
    "report_all": place_run_by_another,
    "report_run": place_run,
    "refuse": place_nowhere,
    "notice": then_hear("notice", Three.halt),
    "limits_changed": then_hear("limits", Three.tighten),
    "draining": then_hear("draining", lambda three: three.server.begin_drain()),
    "log_out": then_hear("end", lambda three: three.server.log_out_all()),
    "waits": park,
    "goes_on": park,
    "pause_reading": fill_and_drain,
    "resume_reading": fill_and_drain,
}
ENDS = {"notice", "draining", "log_out"}  # after these no order is taken


def mistaken(*_):
    raise ZeroDivisionError


def test_every_method_of_an_endpoint_is_tried_here():
    methods = {name for name, member in vars(Endpoint).items() if inspect.isfunction(member) and name[0] != "_"}
    assert methods - {"failed"} == set(ACTS)


@pytest.mark.parametrize("door", ["fix", "ws"])
@pytest.mark.parametrize("method", ACTS)
def test_a_mistake_in_one_sessions_code_costs_that_session_alone(tmp_path, monkeypatch, door, method):
    three = Three(tmp_path, door, monkeypatch)
    setattr(three.broken.endpoint, method, mistaken)
    ACTS[method](three)
    assert three.bugs == ["ZeroDivisionError"]
    assert three.broken.link.is_closing
    assert [other.link.is_closing for other in three.others] == [False, False] or method == "log_out"
    if method not in ENDS:
        three.others[0].place("b")
        assert three.others[1].hears("report")


@pytest.mark.parametrize("door", ["fix", "ws"])
def test_the_others_are_served_though_not_even_the_end_of_the_broken_one_works(tmp_path, monkeypatch, door):
    three = Three(tmp_path, door, monkeypatch)
    three.broken.endpoint.report = three.broken.endpoint.failed = mistaken
    place_by_another(three)
    assert three.bugs == ["ZeroDivisionError"] * 2


@pytest.mark.parametrize("door", ["fix", "ws"])
def test_a_session_whose_machine_is_broken_is_ended_without_a_word(tmp_path, monkeypatch, door):
    three = Three(tmp_path, door, monkeypatch)
    machine = three.broken.endpoint.machine
    three.broken.endpoint.report = machine.close = machine.terminate = mistaken
    place_by_another(three)
    assert three.bugs == ["ZeroDivisionError"]
    assert three.broken.link.is_closing
    assert not three.sessions[0].connected


def test_a_question_that_waited_for_tokens_is_answered_in_a_turn_that_others_share(tmp_path, monkeypatch):
    """`charge_question` keeps the endpoint's own code until the tokens are there."""
    three = Three(tmp_path, "ws", monkeypatch)
    three.park()
    admission = three.server.orders.admission
    for each, then in zip(
        three.sessions, (mistaken, *[lambda limited, _: three.done.append(limited)] * 2), strict=True
    ):
        admission.charge_question(each, "order.list", then, three.now)
    three.tick()
    first, second, third = three.sessions
    assert three.done == [first, second, None, third, None]
    assert three.bugs == ["ZeroDivisionError"]
    assert three.broken.link.is_closing


def test_a_long_list_that_fails_leaves_the_others_lists_going_on(tmp_path, monkeypatch):
    three = Three(tmp_path, "fix", monkeypatch)
    for number in range(70):  # more than one turn tells
        three.broken.place(f"a{number}")
    for other in three.others:
        other.read()
    three.broken.endpoint.continue_list = mistaken
    told = [message for client in three.clients for message in client.send("AF", "584=q|585=7|")]
    for _ in range(4):
        three.tick()
        told += [message for other in three.others for message in other.read()]
    assert len([message for message in told if message["35"] == "8"]) == 2 * 70
    assert three.bugs == ["ZeroDivisionError"]
    assert three.broken.link.is_closing


def test_a_goodbye_that_fails_leaves_the_others_theirs(tmp_path, monkeypatch):
    """Each waits for the answer to an order, and leaves in the turn after that came."""
    three = Three(tmp_path, "fix", monkeypatch)
    for client in three.clients:
        client.endpoint.receive(client.frame("D", "11=a|55=BTC-USDT|54=1|38=1|40=2|44=100.00|"), client.now)
        client.endpoint.receive(client.frame("5", ""), client.now)
    three.tick()
    three.broken.endpoint.machine.leave = mistaken
    assert b"35=5" not in b"".join(client.endpoint.take_output(1 << 20) for client in three.clients)
    three.tick()
    assert three.hear("end")
    assert three.bugs == ["ZeroDivisionError"]


def test_a_scheduled_reset_that_fails_leaves_the_others_theirs(tmp_path, monkeypatch):
    three = Three(tmp_path, "fix", monkeypatch)
    three.broken.endpoint.reset = mistaken
    door = three.server.fix
    door.tick(door.next_deadline_ns)
    assert [other.endpoint.machine.store.next_out for other in three.others] == [1, 1]
    assert three.bugs == ["ZeroDivisionError"]
    assert three.broken.link.is_closing
