"""Rows of the FIX session scenarios that need more than the session machine: its owner, the road and the core.

A scripted client on a raw socket against a running gateway; the tests are named by the rows they cover. Sessions
without credentials are of the plain dialect, the others of ours.
"""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.client.fix import sending_time, signature
from gateway.server import Server
from tests.support.dialogue import expand
from tests.support.fix_text import fix
from tests.support.fix_wire import Wire, wire_to
from tests.support.server import running, started, until, venue_toml
from tests.support.venue_rows import seed_of

VERSIONS = ("FIX.4.2", "FIX.4.4", "FIXT.1.1")
_ROW = """
[[fix.sessions]]
id = {number}
comp_id = "{comp_id}"
account = "{account}"
auth = "{auth}"
version = "{version}"
{more}
"""
_KEY_FROM_ELSEWHERE = """
[[keys]]
id = "key-elsewhere"
account = "ALPHA"
public_key = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
ips = ["192.0.2.0/24"]
"""
_SEED_FROM_ELSEWHERE = bytes(range(32))


def order(cl_ord_id: str, price: str, side: str = "1", qty: str = "1") -> str:
    """The fields of a limit order in BTC-USDT."""
    return f"11={cl_ord_id}|21=1|55=BTC-USDT|54={side}|38={qty}|40=2|44={price}"


def signed_logon(seq_num: int, seed: bytes = seed_of("ALPHA"), key_id: str = "key-ALPHA", more: str = "") -> str:
    """A Logon(A) of MM1 that proves the key; each has a SendingTime(52) of its own, so none is a recorded one."""
    at = sending_time(time.time_ns())
    proof = signature(seed, ("A", "MM1", "GATE", str(seq_num), at))
    return f"35=A|34={seq_num}|49=MM1|52={at}|56=GATE|98=0|108=30|553={key_id}|95={len(proof)}|96={proof}{more}"


@asynccontextmanager
async def venue(version: str = "FIX.4.4", auth: str = "none", more: str = "", fix: str = "") -> AsyncIterator[Server]:
    """A gateway with the sessions MM1 of account ALPHA and MM2 of BETA, which needs no credentials."""
    first = _ROW.format(number=1, comp_id="MM1", account="ALPHA", auth=auth, version=version, more=more)
    second = _ROW.format(number=2, comp_id="MM2", account="BETA", auth="none", version=version, more="")
    async with running(venue_toml(fix=fix, sessions=first + second, more=_KEY_FROM_ELSEWHERE)) as server:
        yield server


# -- 1S.b: a second Logon for an identity that is connected ------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_1S_b_without_credentials_the_second_is_dropped_in_silence_and_the_first_lives_on(version: str) -> None:
    async with (
        venue(version) as server,
        wire_to(server.ports["fix"], "MM1", version) as first,
        wire_to(server.ports["fix"], "MM1", version) as second,
    ):
        await first.log_on()
        second.say(f"35=A|34=1|98=0|108=30|141=Y{'|1137=9' if version == 'FIXT.1.1' else ''}")
        assert await second.is_dropped()
        first.say("35=1|34=2|112=still there?")
        await first.hear("35=0", "34=2", "112=still there?")


async def test_1S_b_on_duplicate_reject_protects_the_first_from_a_proven_second_too() -> None:
    async with (
        venue(auth="key", more='on_duplicate = "reject"') as server,
        wire_to(server.ports["fix"], "MM1") as first,
        wire_to(server.ports["fix"], "MM1") as second,
    ):
        first.say(signed_logon(1))
        await first.hear("35=A", "34=1")
        second.say(signed_logon(2))
        assert await second.is_dropped()
        first.say("35=1|34=2|112=still there?")
        await first.hear("35=0", "34=2")


async def test_1S_b_on_duplicate_takeover_ends_the_first_and_keeps_its_numbers_and_orders() -> None:
    async with (
        venue(auth="key", more='on_duplicate = "takeover"\ncancel_on_disconnect = "S"') as server,
        wire_to(server.ports["fix"], "MM1") as first,
        wire_to(server.ports["fix"], "MM1") as second,
    ):
        first.say(signed_logon(1))
        await first.hear("35=A", "34=1")
        first.say(f"35=D|34=2|{order('o-1', '60000')}")
        await first.hear("35=8", "34=2", "150=0")
        second.say(signed_logon(3))
        await first.hear("35=5", "34=3", "58=superseded")
        assert await first.is_dropped()
        await second.hear("35=A", "34=4")
        second.say("35=H|34=4|11=o-1|55=BTC-USDT|54=1")
        await second.hear("35=8", "34=5", "150=I", "39=0")


async def test_1S_b_when_the_first_has_gone_the_next_logon_is_no_duplicate() -> None:
    async with venue() as server:
        for seq_num in (1, 2, 3):
            async with wire_to(server.ports["fix"], "MM1") as wire:
                await wire.log_on(seq_num)
            await until(lambda: not server.fix.traffic.connections)


def test_1S_b_the_end_of_the_first_and_the_next_logon_may_lie_before_us_in_one_turn(tmp_path: Path) -> None:
    """The process is stopped while both are sent: what happens on a busy machine now and then."""
    row = _ROW.format(number=1, comp_id="MM1", account="ALPHA", auth="none", version="FIX.4.4", more="")
    with started(tmp_path, sessions=row) as (process, ports):
        link = socket.create_connection(("127.0.0.1", ports["fix"]), 5)
        for seq_num in range(1, 7):
            link.sendall(fix(expand(f"35=A|34={seq_num}|98=0|108=30", time.time_ns(), "MM1", "GATE", 3)))
            process.send_signal(signal.SIGCONT)
            answer = link.recv(4_096)
            assert f"35=A\x0134={seq_num}\x01".encode() in answer
            process.send_signal(signal.SIGSTOP)
            link.close()
            link = socket.create_connection(("127.0.0.1", ports["fix"]), 5)
        process.send_signal(signal.SIGCONT)
        link.close()


@pytest.mark.parametrize(
    ("seq_num", "more", "cause"),
    [(1, "", "bad_sequence"), (3, "|9999=1", "bad_logon"), (3, "|789=99", "bad_sequence")],
)
async def test_1S_b_a_proven_second_that_is_refused_is_dropped_in_silence_and_the_first_lives_on(
    seq_num: int, more: str, cause: str
) -> None:
    async with (
        venue(auth="key", more='cancel_on_disconnect = "S"') as server,
        wire_to(server.ports["fix"], "MM1") as first,
        wire_to(server.ports["fix"], "MM1") as second,
    ):
        first.say(signed_logon(1))
        await first.hear("35=A", "34=1")
        first.say(f"35=D|34=2|{order('o-1', '60000')}")
        await first.hear("35=8", "34=2", "150=0")
        second.say(signed_logon(seq_num, more=more))
        assert await second.is_dropped()
        assert server.metrics.fix.failed_logons == {cause: 1}
        first.say("35=H|34=3|11=o-1|55=BTC-USDT|54=1")
        await first.hear("35=8", "34=3", "150=I", "39=0")


# -- 1S.c: not who it says it is ---------------------------------------------------------------------------------

STRANGERS = [
    pytest.param(lambda: signed_logon(1).replace("49=MM1", "49=WT"), id="unknown SenderCompID"),
    pytest.param(lambda: signed_logon(1).replace("56=GATE", "56=ETAG"), id="wrong TargetCompID"),
    pytest.param(lambda: "35=A|34=1|98=0|108=30", id="no credentials"),
    pytest.param(lambda: signed_logon(1, seed=bytes(32)), id="wrong signature"),
    pytest.param(lambda: signed_logon(1, key_id="key-nobody"), id="unknown key"),
    pytest.param(lambda: signed_logon(1, seed_of("BETA"), "key-BETA"), id="key of another account"),
    pytest.param(lambda: signed_logon(1, _SEED_FROM_ELSEWHERE, "key-elsewhere"), id="wrong source address"),
]


@pytest.mark.parametrize("logon", STRANGERS)
async def test_1S_c_a_stranger_is_dropped_in_silence_and_uses_no_number(logon: object) -> None:
    async with venue(auth="key") as server:
        async with wire_to(server.ports["fix"], "MM1") as stranger:
            stranger.say(logon())  # type: ignore[operator]
            assert await stranger.is_dropped()
        async with wire_to(server.ports["fix"], "MM1") as real:
            real.say(signed_logon(1))
            await real.hear("35=A", "34=1")


@pytest.mark.parametrize("logon", STRANGERS[2:])
async def test_1S_c_a_session_that_begins_anew_at_each_logon_may_get_a_logout_that_tells_nothing(logon: object) -> None:
    more = 'reset_on_logon = true\nrefused_logon = "logout"'
    async with venue(auth="key", more=more) as server:
        async with wire_to(server.ports["fix"], "MM1") as stranger:
            stranger.say(logon())  # type: ignore[operator]
            logout = await stranger.hear("35=5", "34=1", "58=logon refused")
            assert {25016, 1409}.isdisjoint(logout)
            assert await stranger.is_dropped()
        async with wire_to(server.ports["fix"], "MM1") as real:
            real.say(signed_logon(1))
            await real.hear("35=A", "34=1")


async def test_a_proven_logon_during_a_drain_gets_a_logout_whose_number_is_kept() -> None:
    async with venue(auth="key") as server, wire_to(server.ports["fix"], "MM1") as late:
        await until(lambda: server.fix.traffic.connections)
        server.orders.venue.draining = True
        late.say(signed_logon(1))
        await late.hear("35=5", "34=1", "1409=7", "25016=5005")
        late.say("35=5|34=2")
        assert await late.is_dropped()
        server.orders.venue.draining = False
        async with wire_to(server.ports["fix"], "MM1") as back:
            back.say(signed_logon(3))
            await back.hear("35=A", "34=2", "1409=0")


async def test_a_drain_says_goodbye_with_the_status_that_no_logon_is_allowed() -> None:
    async with venue(auth="key") as server, wire_to(server.ports["fix"], "MM1") as wire:
        wire.say(signed_logon(1))
        await wire.hear("35=A", "34=1")
        drain = asyncio.create_task(server.drain())
        await wire.hear("35=B", "34=2", "148=draining")
        await wire.hear("35=5", "34=3", "1409=7", "25016=5005")
        wire.say("35=5|34=2")
        assert await wire.is_dropped()
        await drain


async def test_a_connection_above_the_bound_is_cut_and_the_others_live_on() -> None:
    async with venue(fix="max_connections = 1") as server, wire_to(server.ports["fix"], "MM1") as first:
        await first.log_on()
        async with wire_to(server.ports["fix"], "MM2") as second:
            assert await second.is_dropped()
        first.say("35=1|34=2|112=still there?")
        await first.hear("35=0", "34=2", "112=still there?")


# -- 14.m: a field is missing that the others make necessary -----------------------------------------------------


async def test_14_m_a_request_with_an_order_id_is_refused_with_its_own_message() -> None:
    async with venue(auth="key") as server, wire_to(server.ports["fix"], "MM1") as wire:
        wire.say(signed_logon(1))
        await wire.hear("35=A")
        wire.say("35=D|34=2|11=o-1|55=BTC-USDT|54=1|38=1|40=2")
        refused = await wire.hear("35=8", "34=2", "150=8", "39=8", "103=99", "25016=2002", "20102=0")
        assert "Price(44)" in refused[58]
        wire.say("35=F|34=3|11=c-1|55=BTC-USDT|54=1")
        refused = await wire.hear("35=9", "34=3", "102=99", "25016=2002")
        assert "OrigClOrdID(41)" in refused[58]


@pytest.mark.parametrize("version", ["FIX.4.4", "FIXT.1.1"])
async def test_14_m_what_carries_no_order_id_is_refused_with_a_business_message_reject(version: str) -> None:
    async with venue(version) as server, wire_to(server.ports["fix"], "MM1", version) as wire:
        await wire.log_on()
        wire.say("35=AF|34=2|584=ms-1|585=1")
        refused = await wire.hear("35=j", "34=2", "45=2", "372=AF", "380=5", "379=ms-1")
        assert "Symbol(55)" in refused[58]
        wire.say("35=1|34=3|112=and on we go")
        await wire.hear("35=0", "34=3")


# -- 19: PossResend(97)=Y ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_19_a_poss_resend_of_a_known_order_is_answered_with_its_state_and_not_acted_on(version: str) -> None:
    status = "20=3" if version == "FIX.4.2" else "150=I"
    async with venue(version) as server, wire_to(server.ports["fix"], "MM1", version) as wire:
        await wire.log_on()
        wire.say(f"35=D|34=2|{order('o-1', '60000')}")
        accepted = await wire.hear("35=8", "34=2", "150=0", "11=o-1")
        wire.say(f"35=D|34=3|97=Y|{order('o-1', '60000')}")
        told = await wire.hear("35=8", "34=3", status, "39=0", "11=o-1")
        assert told[37] == accepted[37]
        async with wire_to(server.ports["fix"], "MM2", version) as other:
            await other.log_on()
            other.say(f"35=D|34=2|{order('t-1', '60000', side='2', qty='2')}|59=3")
            await other.hear("35=8", "34=2", "150=0")
            await other.hear("35=8", "34=3", "39=1", "32=1.00000000")
            await other.hear("35=8", "34=4", "39=4", "14=1.00000000")  # there was one order to meet, not two


@pytest.mark.parametrize("version", VERSIONS)
async def test_19_b_poss_resend_of_a_new_order_is_processed(version: str) -> None:
    async with venue(version) as server, wire_to(server.ports["fix"], "MM1", version) as wire:
        await wire.log_on()
        wire.say(f"35=D|34=2|97=Y|{order('o-1', '60000')}")
        await wire.hear("35=8", "34=2", "150=0", "39=0", "11=o-1")


# -- 16: answers arise while the client is away ------------------------------------------------------------------


async def fill_while_away(server: Server, version: str) -> None:
    """MM1 leaves an order, its link breaks, and MM2 fills it in two pieces."""
    async with wire_to(server.ports["fix"], "MM1", version) as wire:
        await wire.log_on()
        wire.say(f"35=D|34=2|{order('o-1', '60000')}")
        await wire.hear("35=8", "34=2", "150=0")
    await until(lambda: not server.fix.traffic.connections)
    async with wire_to(server.ports["fix"], "MM2", version) as other:
        await other.log_on()
        other.say(
            f"35=D|34=2|{order('t-1', '60000', side='2', qty='0.4')}",
            f"35=D|34=3|{order('t-2', '60000', side='2', qty='0.6')}",
        )
        for seq_num in (2, 3, 4, 5):
            await other.hear("35=8", f"34={seq_num}")


async def hear_the_fills(wire: Wire) -> None:
    """Numbers 3 and 4, again, with when they were first sent."""
    for seq_num, qty, status in ((3, "0.40000000", "1"), (4, "0.60000000", "2")):
        fill = await wire.hear("35=8", f"34={seq_num}", "43=Y", "11=o-1", f"32={qty}", f"39={status}")
        assert fill[122] <= fill[52]


@pytest.mark.parametrize("version", VERSIONS)
async def test_16_a_what_happened_while_away_is_numbered_kept_and_served_on_request(version: str) -> None:
    async with venue(version) as server:
        await fill_while_away(server, version)
        async with wire_to(server.ports["fix"], "MM1", version) as wire:
            await wire.log_on(3, answer=5)
            wire.say("35=2|34=4|7=3|16=0")
            await hear_the_fills(wire)
            await wire.hear("35=4", "34=5", "43=Y", "123=Y", "36=6")
            wire.say("35=1|34=5|112=x")
            await wire.hear("35=0", "34=6")


@pytest.mark.parametrize("version", ["FIX.4.4", "FIXT.1.1"])
async def test_16_b_next_expected_msg_seq_num_is_request_enough(version: str) -> None:
    async with venue(version) as server:
        await fill_while_away(server, version)
        async with wire_to(server.ports["fix"], "MM1", version) as wire:
            logon = await wire.log_on(3, more="|789=3", answer=5)
            assert logon[789] == "4"
            await hear_the_fills(wire)
            await wire.hear("35=4", "34=5", "43=Y", "123=Y", "36=6")
            wire.say("35=1|34=4|112=x")
            await wire.hear("35=0", "34=6")


# -- 13.b: the peer's Logout -------------------------------------------------------------------------------------


async def test_13_b_logout_from_the_peer_behind_a_long_resend_is_answered_behind_all_of_it() -> None:
    """Far more than the socket's buffers take at once: the end of the session must not end the connection."""
    async with venue() as server, wire_to(server.ports["fix"], "MM1") as wire:
        machine, count = server.fix.endpoints["MM1", "GATE"].machine, 5_000
        for _ in range(count):
            machine.send("B", f"148=news\x0133=1\x0158={'x' * 400}\x01", server.now_ns())
        await wire.log_on(answer=count + 1)
        wire.say(f"35=2|34=2|7=1|16={count}", "35=5|34=3")
        for n in range(1, count + 1):
            await wire.hear("35=B", f"34={n}", "43=Y")
        await wire.hear("35=5", f"34={count + 2}")
        assert await wire.is_dropped()


async def test_13_b_logout_from_the_peer_in_one_write_with_orders_is_answered_last() -> None:
    async with venue() as server, wire_to(server.ports["fix"], "MM1") as wire:
        await wire.log_on()
        wire.say(*[f"35=D|34={n}|{order(f'o-{n}', '60000')}" for n in range(2, 66)], "35=5|34=66")
        for n in range(2, 66):
            await wire.hear("35=8", f"11=o-{n}", "150=0")
        await wire.hear("35=5")
        assert await wire.is_dropped()
