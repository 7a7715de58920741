"""A bug in a session's code ends that session; one in shared code ends the process, and nothing of that turn counts."""

import asyncio

import pytest

from gateway.config import schema
from gateway.core.engine import Engine
from gateway.core.snapshots import _CopyOnChange
from gateway.failures import Failures, GatewayFailed
from gateway.journal import JournalSettings
from gateway.journal.record import JournalFailed
from gateway.recovery.recorder import Recorder
from gateway.recovery.snapshots import Snapshotter
from gateway.server import Server
from gateway.serving import serve
from gateway.signals import Signals
from tests.support.desks import FixDesk, fix_desk
from tests.support.fix_room import BTC, Desk, session
from tests.support.server import running, until, venue_toml

ROWS = (session(1, "A", response_mode=1), session(2, "B", response_mode=1))


@pytest.fixture
def start(tmp_path):
    def server():
        settings = schema.Config(
            fix=schema.Fix(sessions=ROWS),
            accounts=(schema.Account(id=1, name="ACME"), schema.Account(id=2, name="OTHER")),
            instruments=(BTC,),
            limits=schema.Limits(file=""),
            journal=JournalSettings(durability="process", segment_bytes=1_048_576),
            core=schema.Core(reopen_after_ms=0),
        )
        server = Server(settings, tmp_path)
        server.orders.tick(server.now_ns())
        return server

    return server


@pytest.fixture
def said(monkeypatch):
    """Names of the events that were logged."""
    names = []
    monkeypatch.setattr(Server, "log", lambda _, name, **fields: names.append(name))
    return names


def fail(*_):
    raise MemoryError


# -- what all sessions share ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "name"), [(Engine, "execute_all"), (Recorder, "record"), (_CopyOnChange, "_put"), (Server, "sessions")]
)
async def test_what_goes_wrong_while_orders_are_executed_never_happened(start, said, monkeypatch, owner, name):
    """
    A places a1, which is recorded; a2 runs into it. The process ends without recording anything more, and the next one
    has a1, asks for a2 again, and carries it out once.
    """
    server = start()
    desk = Desk(server, "A")
    desk.logon()
    desk.place("a1")
    server.journal.commit(server.now_ns())
    if owner is Server:  # in the sink: events have been made, and none was sent
        server.sessions.account = fail
    elif owner is Recorder:
        server.core._record = fail
    else:
        monkeypatch.setattr(owner, name, fail)
    server.replay.engine.begin_snapshot()  # the first change of an account puts it aside
    with pytest.raises(MemoryError):
        desk.place("a2")
    assert said.count("gateway.failed") == 1
    with pytest.raises(JournalFailed, match="MemoryError"):
        server.journal.commit(server.now_ns())
    assert server.core.credit == 0
    monkeypatch.undo()
    await server.stop()
    again = start()
    assert [order.cl_ord_id for order in again.replay.engine.open_orders(1)] == ["a1"]
    back = Desk(again, "A")
    back.seq = desk.seq
    assert [each.get("7") for each in back.logon()] == [None, "3"]


@pytest.mark.parametrize("where", ["its beginning", "a piece", "a piece, in the tick", "its end"])
async def test_what_goes_wrong_in_a_snapshot_is_not_recorded(start, said, monkeypatch, where):
    server = start()
    desk = Desk(server, "A")
    desk.logon()
    desk.place("a1")
    server.journal.commit(server.now_ns())
    digest, recorder = server.replay.engine.digest(), server.recorder
    recorder.look(server.now_ns())
    recorder.snapshotter._long_bytes = -1
    if where == "its beginning":
        monkeypatch.setattr(Engine, "begin_snapshot", fail)
        recorder.look(server.now_ns())
    else:
        recorder.look(server.now_ns())
        monkeypatch.setattr(*(Snapshotter, "_snapshot") if where == "its end" else (_CopyOnChange, "_put"), fail)
        while (due_ns := recorder.next_deadline_ns) is not None and "gateway.failed" not in said:
            recorder.tick(due_ns)
    assert said.count("gateway.failed") == 1
    assert "session.failed" not in said
    with pytest.raises(JournalFailed):
        server.journal.commit(server.now_ns())
    monkeypatch.undo()
    await server.stop()
    assert start().replay.engine.digest() == digest


async def test_a_snapshot_that_lost_an_account_ends_the_process_and_does_not_count(start, said, monkeypatch):
    """Whatever the bug: a recorded snapshot can be restored."""
    server = start()
    desk = Desk(server, "A")
    desk.logon()
    desk.place("a1")
    server.journal.commit(server.now_ns())
    digest, recorder = server.replay.engine.digest(), server.recorder
    recorder.look(server.now_ns())
    recorder.snapshotter._long_bytes = -1
    monkeypatch.setattr(_CopyOnChange, "take", lambda aside: aside._untouched.clear())
    recorder.look(server.now_ns())
    while (due_ns := recorder.next_deadline_ns) is not None and "gateway.failed" not in said:
        recorder.tick(due_ns)
    assert "gateway.failed" in said
    await server.stop()
    assert start().replay.engine.digest() == digest


async def test_memory_that_ends_in_a_sessions_code_is_not_that_sessions_mistake(start, said):
    server = start()
    desk, other = Desk(server, "A"), Desk(server, "B")
    desk.logon()
    other.logon()
    other.endpoint.report = fail
    desk.place("a1")
    assert said.count("gateway.failed") == 1
    assert "session.failed" not in said
    with pytest.raises(JournalFailed):
        server.journal.commit(server.now_ns())


async def test_the_process_cuts_every_connection_without_another_byte_and_says_why(monkeypatch, caplog):
    """The orders of the others were sound, but no answer may leave without its record."""
    async with running(venue_toml()) as server:
        async with fix_desk(server.ports["fix"], "BETA") as healthy:
            desk = FixDesk("ALPHA")
            await desk.logon(server.ports["fix"])
            received = healthy.client.counts.received
            monkeypatch.setattr(server.core.engine, "execute_all", fail)
            desk.client.place("a-1", "BTC-USDT", "1", "1", "50000")
            async with asyncio.timeout(5):
                assert server.failures.failure is not None
                failure = await server.failures.failure
                await desk.client.closed.wait()
                await healthy.client.closed.wait()
            assert healthy.client.counts.received == received
        assert isinstance(failure, GatewayFailed)
        assert "MemoryError" in str(failure)
    (logged,) = [each for each in caplog.records if each.message == "gateway.failed"]
    assert logged.exc_info is not None
    assert not [each for each in caplog.records if each.message == "session.failed"]


async def test_serve_ends_with_what_went_wrong(tmp_path, monkeypatch):
    settings = schema.Config(
        fix=schema.Fix(sessions=(session(1, "A"),), listeners=(schema.FixListener(name="fix", port=0, insecure=True),)),
        accounts=(schema.Account(id=1, name="ACME"),),
        instruments=(BTC,),
        limits=schema.Limits(file=""),
    )
    monkeypatch.setattr(Recorder, "next_deadline_ns", 1)
    monkeypatch.setattr(Snapshotter, "tick", fail)
    with pytest.raises(GatewayFailed, match="MemoryError"), Signals() as signals:
        async with asyncio.timeout(10):
            await serve(settings, tmp_path, signals)


async def test_memory_that_ends_outside_of_every_guard_ends_the_process_too():
    told, loop = [], asyncio.get_running_loop()

    failures = Failures(lambda *_, **__: None, told.append, lambda: ())
    failures.watch(loop)
    try:
        loop.call_soon(fail)
        await until(lambda: told)
        assert isinstance(await failures.failure, GatewayFailed)
    finally:
        loop.set_exception_handler(None)


def test_it_ends_though_not_even_the_log_has_memory():
    cut, told = [], []

    class Part:
        def abort(self):
            cut.append(self)

    failures = Failures(fail, told.append, lambda: (Part(),))
    failures.gateway_failed(MemoryError())
    failures.gateway_failed(ValueError())
    assert [type(each) for each in told] == [MemoryError]
    assert len(cut) == 1


# -- what is a session's own ---------------------------------------------------------------------------------------


def test_a_mistake_in_one_sessions_code_costs_that_session_alone(start, said):
    """B's report fails: A, whose order it is, gets its answer, and B's link is ended."""
    server = start()
    desk, broken = Desk(server, "A"), Desk(server, "B")
    desk.logon()
    broken.logon()

    def mistaken(*_):
        raise ZeroDivisionError

    broken.endpoint.report = mistaken
    (report,) = desk.place("a1")
    assert report["150"] == "0"
    assert broken.link.has_ended
    assert said.count("session.failed") == 1
    assert "gateway.failed" not in said
    server.journal.commit(server.now_ns())
    assert desk.place("a2")[0]["150"] == "0"
