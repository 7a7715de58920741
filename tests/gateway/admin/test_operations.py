"""Operators' commands over real HTTP: checked, in force at once, saved before they are acknowledged; and kills."""

import asyncio
import threading
from datetime import datetime

import pytest

from gateway.admin.access import Access, AccessDenied
from gateway.admin.modes_file import ModesBroken, ModesFile
from gateway.auth.authenticator import Client
from gateway.orders.trading_modes import ModeChange, Modes
from protocols.messages import Origin
from tests.support.operators import ACCOUNTS, OPERATOR, TOKENS, VIEWER, OperatedGateway, admin

BAR = {"scope": "account", "name": "A1", "mode": "cancel_only", "reason": "runaway"}
KILL = {"scope": "account", "name": "A1", "reason": "runaway", "kill": True}
MARKET, DESK = {**BAR, "scope": "instrument"}, {**BAR, "scope": "session"}
OPEN = {"scope": "account", "name": "A1", "mode": "normal"}


@pytest.fixture
def gateway():
    return OperatedGateway()


@pytest.fixture
def file(tmp_path):
    return ModesFile(tmp_path / "modes.json")


class BrokenFile(ModesFile):
    """A disk that is full from now on."""

    def save(self, modes):
        raise OSError(28, "No space left on device")


def as_token(secret):
    return {"Authorization": f"Bearer {secret}"}


async def post(http, asked, **more):
    answer = await http.post("/modes", json=asked, **more)
    return answer.status, await answer.json()


def seconds(text):
    return datetime.fromisoformat(text).timestamp()


def open_orders(gateway, account):
    return sorted(order.cl_ord_id for order in gateway.world.core.inner.engine.open_orders(account))


# -- a change ----------------------------------------------------------------------------------------------------------


async def test_a_mode_is_in_force_on_disk_and_logged_when_it_is_acknowledged(gateway, file):
    async with admin(gateway, file) as http:
        status, body = await post(http, BAR)
        assert status == 200
        assert (body["scope"], body["name"], body["mode"], body["was"]) == ("account", "A1", "cancel_only", "normal")
        assert (body["by"], body["kept"], body["until"]) == ("local", True, None)
        assert gateway.modes.refusal("A1", "S1", 1).code == 4011
        assert ModesFile(file.path).load() == gateway.modes
        name, told = gateway.logged[-1]
        assert name == "mode.changed"
        assert (told["by"], told["place"], told["reason"], told["was"]) == ("local", "account A1", "runaway", "normal")
        shown = await (await http.get("/modes")).json()
        assert shown["kept"] is True
        assert [(row["name"], row["reason"]) for row in shown["modes"]] == [("A1", "runaway")]


async def test_opening_again_is_kept_too_and_asking_twice_is_harmless(gateway, file):
    async with admin(gateway, file) as http:
        await post(http, BAR)
        for was in ("cancel_only", "normal"):
            status, body = await post(http, OPEN)
            assert (status, body["mode"], body["was"]) == (200, "normal", was)
        assert not gateway.modes.in_force
        assert file.load() == Modes()


async def test_a_mode_set_for_a_time_says_when_it_ends_and_ends_by_itself(gateway, file):
    async with admin(gateway, file) as http:
        _, body = await post(http, {**BAR, "ttl_s": 5})
        assert body["until"] > body["at"]
        desk = http.desk
        gateway.world.now_ns = desk.next_deadline_ns - 1
        desk.tick(gateway.now_ns())
        assert gateway.modes.in_force
        desk.tick(gateway.now_ns() + 1)
        assert not gateway.modes.in_force
        assert desk.next_deadline_ns is None
        assert gateway.logged[-1][0] == "mode.expired"


async def test_a_restart_has_the_modes_of_before_but_for_those_whose_time_is_over(gateway, file):
    async with admin(gateway, file) as http:
        await post(http, BAR)
        await post(http, {"scope": "instrument", "name": "BTC-USDT", "mode": "halted", "reason": "r", "ttl_s": 5})
        before = gateway.modes
    later = OperatedGateway()
    async with admin(later, file) as http:
        http.desk.restore(gateway.now_ns())
        assert later.modes == before
        assert [name for name, _ in later.logged] == ["mode.kept"] * 2
        http.desk.restore(gateway.now_ns() + 5_000_000_000)
        assert [change.name for change in later.modes.in_force.values()] == ["A1"]


@pytest.mark.parametrize("step_s", [-3_600, 3_600])
async def test_a_clock_that_is_corrected_ends_no_mode_early_and_none_late(gateway, file, step_s):
    async with admin(gateway, file) as http:
        _, body = await post(http, {**BAR, "ttl_s": 5})
        gateway.wall.offset_ns += step_s * 1_000_000_000
        await http.desk.keep_again()
        (shown,) = (await (await http.get("/modes")).json())["modes"]
        assert seconds(shown["until"]) - seconds(body["until"]) == step_s
        (kept,) = file.load().in_force.values()
        assert kept.until_ns == gateway.wall.utc_ns(gateway.now_ns()) + 5_000_000_000
        gateway.world.now_ns = http.desk.next_deadline_ns - 1
        http.desk.tick(gateway.now_ns())
        assert gateway.modes.in_force
        http.desk.tick(gateway.now_ns() + 1)
        assert not gateway.modes.in_force


async def test_a_mode_of_a_clock_that_was_ahead_lasts_no_longer_than_it_was_asked_for(gateway, file):
    async with admin(gateway, file) as http:
        await post(http, {**BAR, "ttl_s": 5})
    later = OperatedGateway()
    later.world.now_ns -= 3_600_000_000_000
    async with admin(later, file) as http:
        http.desk.restore(later.now_ns())
        assert http.desk.next_deadline_ns == later.now_ns() + 5_000_000_000


async def test_a_broken_file_is_not_taken_for_an_empty_one(gateway, file):
    file.path.write_text("{")
    async with admin(gateway, file) as http:
        with pytest.raises(ModesBroken):
            http.desk.restore(0)


# -- a kill ------------------------------------------------------------------------------------------------------------


async def test_a_kill_bars_the_account_cancels_its_orders_and_says_how_many(gateway, file):
    mine, other = gateway.world.session(1), gateway.world.session(2)
    for session, name in ((mine, "a"), (mine, "b"), (other, "theirs")):
        gateway.world.place(session, name)
    gateway.world.tick()
    async with admin(gateway, file) as http:
        status, body = await post(http, KILL)
    assert (status, body["mode"]) == (200, "cancel_only")
    assert body["sweep"] == {"accounts": 1, "canceled": 2, "unanswered": 0, "failure": ""}
    assert open_orders(gateway, 1) == []
    assert open_orders(gateway, 2) == ["theirs"]
    assert gateway.modes.refusal("A1", "S1", 1).code == 4011
    assert gateway.logged[-1][1]["canceled"] == 2


async def test_a_kill_of_the_venue_or_of_an_instrument_reaches_every_account(gateway):
    first, second = gateway.world.session(1), gateway.world.session(2)
    async with admin(gateway) as http:
        for scope, name in (("venue", ""), ("instrument", "BTC-USDT")):
            gateway.world.place(first, f"a-{scope}", price=99_00)
            gateway.world.place(second, f"b-{scope}", price=98_00)
            gateway.world.tick()
            _, body = await post(http, {"scope": scope, "name": name, "reason": "r", "kill": True})
            assert body["sweep"] == {"accounts": len(ACCOUNTS), "canceled": 2, "unanswered": 0, "failure": ""}
            await post(http, {"scope": scope, "name": name, "mode": "normal"})


async def test_a_kill_of_one_session_leaves_the_other_sessions_of_its_account(gateway):
    mine, second = gateway.world.session(1, "MM1"), gateway.world.session(1, "MM2")
    gateway.world.place(mine, "a")
    gateway.world.place(second, "b")
    gateway.world.tick()
    async with admin(gateway) as http:
        _, body = await post(http, {"scope": "session", "name": "MM1", "reason": "r", "kill": True})
    assert (body["name"], body["sweep"]["canceled"]) == ("A1/MM1", 1)
    assert open_orders(gateway, 1) == ["b"]
    assert gateway.modes.refusal("A1", "MM2", 1) is None


async def test_a_kill_never_opens_what_is_halted(gateway):
    async with admin(gateway) as http:
        await post(http, {**BAR, "mode": "halted"})
        _, body = await post(http, KILL)
    assert (body["mode"], body["was"]) == ("halted", "halted")


async def test_a_kill_whose_answer_is_missing_says_so_and_does_not_wait_forever(gateway, monkeypatch):
    monkeypatch.setattr("gateway.admin.mode_control._SWEEP_WAIT_S", 0.02)
    gateway.world.core.is_quick = False
    async with admin(gateway) as http:
        status, body = await post(http, KILL)
    assert (status, body["sweep"]["unanswered"]) == (200, 1)


# -- the disk ----------------------------------------------------------------------------------------------------------


async def test_what_bars_acts_at_once_although_the_disk_is_full_and_the_operator_learns_that_it_is_not_kept(
    gateway, file
):
    async with admin(gateway, BrokenFile(file.path)) as http:
        status, body = await post(http, KILL)
        assert status == 507
        assert (body["mode"], body["kept"]) == ("cancel_only", False)
        assert body["error"]["text"].startswith("in force, but it will not survive a restart: ")
        assert gateway.modes.in_force
        assert (await (await http.get("/modes")).json())["kept"] is False
    assert "mode.not_kept" in [name for name, _ in gateway.logged]


async def test_what_opens_is_not_opened_when_it_cannot_be_kept(gateway, file):
    async with admin(gateway, file) as http:
        await post(http, BAR)
        http.desk._file = BrokenFile(file.path)
        status, body = await post(http, OPEN)
        assert (status, body["error"]["text"][:22]) == (507, "nothing was changed: /")
        assert gateway.modes.in_force


class SlowFile(ModesFile):
    """A disk that saves only when the test lets it."""

    def __init__(self, path):
        super().__init__(path)
        self.gate = threading.Semaphore(0)

    def save(self, modes):
        assert self.gate.acquire(timeout=10)
        super().save(modes)


async def test_a_kill_does_not_wait_for_a_slow_disk_only_its_acknowledgement_does(gateway, file):
    slow = SlowFile(file.path)
    async with admin(gateway, slow) as http:
        asking = asyncio.create_task(post(http, KILL))
        while not gateway.modes.in_force:
            await asyncio.sleep(0.001)
        assert not asking.done()
        assert not file.path.exists()
        slow.gate.release()
        assert (await asking)[0] == 200
        assert file.load() == gateway.modes


async def test_of_an_opening_and_a_kill_at_the_same_time_the_kill_stays(gateway, file):
    slow = SlowFile(file.path)
    async with admin(gateway, slow) as http:
        slow.gate.release()
        await post(http, BAR)
        opening = asyncio.create_task(post(http, OPEN))
        await asyncio.sleep(0.05)
        killing = asyncio.create_task(post(http, KILL))
        while gateway.modes.in_force["account", "A1"].at_ns and len(gateway.put) < 2:
            await asyncio.sleep(0.001)
        slow.gate.release(2)
        status, body = await opening
        assert (status, body["error"]["text"][:13]) == (409, "another opera")
        assert (await killing)[0] == 200
        assert gateway.modes.in_force
        assert file.load() == gateway.modes


async def test_without_a_file_a_mode_acts_and_says_that_it_is_not_kept(gateway):
    async with admin(gateway) as http:
        status, body = await post(http, BAR)
        assert (status, body["kept"]) == (200, False)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "status", "field", "text"),
    [
        ({**BAR, "name": "A11"}, 404, "name", "no account is called A11 (did you mean A1?)"),
        ({**BAR, "name": "zebra"}, 404, "name", "no account is called zebra; there are A1, A2"),
        ({**BAR, "name": ""}, 400, "name", "say which account"),
        ({**BAR, "scope": "venue"}, 400, "name", "the venue has no name: leave it out"),
        ({**MARKET, "name": "BTC-USD"}, 404, "name", "no instrument is called BTC-USD (did you mean BTC-USDT?)"),
        ({**DESK, "name": "MM9"}, 404, "name", "no session is called MM9; there are A1/MM1, A1/TWO, A2/TWO"),
        ({**DESK, "name": "A1/MM2"}, 404, "name", "no session is called A1/MM2 (did you mean A1/MM1?)"),
        ({**DESK, "name": "TWO"}, 409, "name", "TWO is a session of several accounts: say A1/TWO or A2/TWO"),
        ({**BAR, "reason": " "}, 400, "reason", "say why: clients read the reason in every refusal"),
        ({**BAR, "reason": "x" * 161}, 400, "reason", "at most 160 printable characters on one line"),
        ({**BAR, "reason": "a\x01b"}, 400, "reason", "at most 160 printable characters on one line"),
        ({**KILL, "mode": "normal"}, 400, "mode", "a kill bars new orders: leave mode out, or make it halted"),
        ({**OPEN, "ttl_s": 5}, 400, "ttl_s", "is for a mode that bars orders; to open for a time, set it again later"),
    ],
)  # fmt: skip
async def test_a_command_that_cannot_be_is_refused_with_what_would_do(gateway, asked, status, field, text):
    gateway.world.session(1, "MM1")
    gateway.world.session(1, "TWO")
    gateway.world.session(2, "TWO")
    async with admin(gateway) as http:
        assert await post(http, asked) == (status, {"error": {"text": text, "field": field}})
    assert not gateway.modes.in_force
    assert gateway.put == []


async def test_a_session_without_a_name_cannot_be_barred_since_its_number_may_be_anothers_tomorrow(gateway):
    client = Client(1, "A1", "key", frozenset())
    nameless, named = gateway.sessions.for_ws(client, ""), gateway.sessions.for_ws(client, "algo")
    assert nameless.sender.origin is Origin.WS
    async with admin(gateway) as http:
        status, body = await post(http, {**BAR, "scope": "session", "name": nameless.name})
        assert (status, body["error"]["text"]) == (
            409,
            f"{nameless.name} has no name of its own and ends with its connection: bar its account",
        )
        assert (await post(http, {**BAR, "scope": "session", "name": named.name}))[0] == 200


async def test_a_mode_can_be_cleared_although_its_account_is_gone_from_the_configuration(gateway, file):
    gone = ModeChange("account", "OLD", "halted", "r", "ops", 1)
    file.save(Modes().apply(gone))
    async with admin(gateway, file) as http:
        http.desk.restore(2)
        assert (await post(http, {**KILL, "name": "OLD"}))[0] == 404
        assert (await post(http, {**OPEN, "name": "OLD"}))[0] == 200
    assert not gateway.modes.in_force


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b"[]", "Expected `object`"),
        (b"{}", "`scope`"),
        (b'{"scope":"planet"}', "planet"),
        (b'{"scope":"venue","mode":"open"}', "open"),
        (b'{"scope":"venue","ttl_s":-1}', "ttl_s"),
        (b'{"scope":"venue","ttl_s":1e400}', "ttl_s"),
        (b'{"scope":"venue","kil":true}', "kil"),
        (b'{"scope":"venue","reason":7}', "reason"),
        (b'{"scope":"venue","name":"\\ud800"}', ""),
        (b'{"scope":' * 400, ""),
    ],
)
async def test_a_body_that_is_no_command_is_answered_with_what_one_looks_like(gateway, body, text):
    async with admin(gateway) as http:
        answer = await http.post("/modes", data=body, headers={"Content-Type": "application/json"})
        told = await answer.json()
        assert answer.status == 400
        assert text in told["error"]["text"]
        assert "scope" in told["expected"]
    assert not gateway.modes.in_force


async def test_a_body_that_is_too_large_is_not_read(gateway):
    async with admin(gateway) as http:
        answer = await http.post("/modes", data=b" " * 5_000, headers={"Content-Type": "application/json"})
        assert answer.status == 413


# -- who may -----------------------------------------------------------------------------------------------------------


async def test_with_tokens_looking_needs_one_and_changing_needs_the_role(gateway):
    async with admin(gateway, tokens=TOKENS) as http:
        for method, headers, status in (
            ("GET", {}, 401),
            ("GET", as_token("x" * 20), 401),
            ("GET", {"Authorization": VIEWER}, 401),
            ("GET", {"Authorization": f"Basic {VIEWER}"}, 401),
            ("GET", as_token(VIEWER), 200),
            ("GET", as_token(OPERATOR), 200),
            ("POST", {}, 401),
            ("POST", as_token(VIEWER), 403),
            ("POST", as_token(OPERATOR + "o"), 401),
            ("POST", as_token(OPERATOR), 200),
        ):
            answer = await http.request(method, "/modes", json=BAR if method == "POST" else None, headers=headers)
            assert (answer.status, method, headers) == (status, method, headers)
            assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert gateway.modes.in_force["account", "A1"].by == "kim"
    refused = [told for name, told in gateway.logged if name == "operations.refused"]
    assert [told["status"] for told in refused] == [401, 401, 401, 401, 401, 403, 401]
    assert refused[5]["by"] == "sam"
    assert not any(VIEWER in str(told) or OPERATOR in str(told) for told in refused)


async def test_a_drain_needs_the_role_of_an_operator_and_is_no_form_of_a_page(gateway):
    async with admin(gateway, tokens=TOKENS) as http:
        for headers, status in (({}, 401), (as_token(VIEWER), 403), (as_token(OPERATOR), 202)):
            assert (await http.post("/drain", json={}, headers=headers)).status == status
        form = {**as_token(OPERATOR), "Content-Type": "text/plain"}
        assert (await http.post("/drain", data=b"{}", headers=form)).status == 415
        assert gateway.drained == 1
    assert [told for name, told in gateway.logged if name == "operations.drain"] == [{"by": "kim"}]


async def test_health_and_metrics_need_no_token(gateway):
    async with admin(gateway, tokens=TOKENS) as http:
        for path in ("/livez", "/readyz", "/metrics", "/status"):
            assert (await http.get(path)).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.5", "::", "gateway.internal"])
async def test_without_tokens_no_one_can_change_anything_on_a_listener_that_others_reach(gateway, host):
    async with admin(gateway, host=host) as http:
        status, body = await post(http, BAR)
        assert status == 403
        assert "add [[admin.tokens]]" in body["error"]["text"]
        assert (await http.get("/modes")).status == 200
    assert not gateway.modes.in_force


async def test_a_page_in_the_operators_browser_cannot_give_commands(gateway):
    async with admin(gateway) as http:
        for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
            answer = await http.post("/modes", data=b'{"scope":"venue"}', headers={"Content-Type": content_type})
            assert answer.status == 415
        status, _ = await post(http, BAR, headers={"Host": "evil.example:9090"})
        assert status == 403
        assert (await http.options("/modes")).status == 405
    assert not gateway.modes.in_force


@pytest.mark.parametrize("host", ["127.0.0.1:9090", "localhost", "[::1]:9090", "127.0.0.1"])
def test_a_loopback_address_is_known_by_every_name_it_has(host):
    assert Access((), "localhost").admit("", host, "operator") == "local"


@pytest.mark.parametrize("host", ["", "[", "[::2]", "localhost.evil.example", "127.0.0.1.evil.example", "::1", "\x00"])
def test_anything_else_in_host_is_refused(host):
    with pytest.raises(AccessDenied):
        Access((), "127.0.0.1").admit("", host, "operator")
