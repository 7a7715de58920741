"""The FIX client against a scripted gateway on a real socket: what it sends, and how it handles what it receives.

The scripted side writes its bytes by hand, so the client's simplefix is checked against text and not against itself.
Module: client.fix.
"""

import asyncio
import base64
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.client.fix import Fields, FixClient, FixIdentity, LogonRefused, sending_time, signature

SEED = bytes(range(32))
ME = FixIdentity("MM1", "key-demo-1", SEED)
NOW = "20261122-12:00:00.000000"


def wire(text: str, begin_string: str = "FIX.4.4") -> bytes:
    """Bytes of a message from its pipe notation, without 8, 9 and 10."""
    body = (text + "|").replace("|", "\x01").encode()
    head = f"8={begin_string}\x019={len(body)}\x01".encode()
    return head + body + b"10=%03d\x01" % (sum(head + body) % 256)


class Scripted:
    """The other end of one connection: reads whole messages in pipe notation, writes what the test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.next_out = 1

    async def read(self) -> Fields:
        """The next message the client sent, its framing checked by hand."""
        head = await self._reader.readuntil(b"\x0135=")
        length = re.fullmatch(rb"8=FIX[^\x01]+\x019=(\d+)\x0135=", head)
        assert length is not None, head
        body = b"35=" + await self._reader.readexactly(int(length[1]) - 3)
        trailer = await self._reader.readexactly(7)
        assert trailer == b"10=%03d\x01" % (sum(head[:-3] + body) % 256)
        pairs = (pair.partition(b"=") for pair in body.rstrip(b"\x01").split(b"\x01"))
        return {int(tag): value.decode() for tag, _, value in pairs}

    def write(self, text: str, seq_num: int | None = None) -> None:
        """Send a message: `35=8|150=0|...`; header fields are filled in."""
        number = self.next_out if seq_num is None else seq_num
        if seq_num is None:
            self.next_out += 1
        kind, _, rest = text.partition("|")
        self._writer.write(wire(f"{kind}|34={number}|49=GATE|52={NOW}|56=MM1" + (f"|{rest}" if rest else "")))

    def write_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)

    async def hung_up(self) -> None:
        """Wait until the client has closed."""
        with contextlib.suppress(ConnectionResetError):
            assert await self._reader.read() == b""


@asynccontextmanager
async def gateway(script: Callable[[Scripted], object]) -> AsyncIterator[int]:
    """A listening port whose connections are led by `script`; its failure fails the test."""
    failures: list[BaseException] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(Scripted(reader, writer))  # type: ignore[misc]
        except (AssertionError, ValueError) as error:
            failures.append(error)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
    if failures:
        raise failures[0]


async def accept_logon(peer: Scripted) -> Fields:
    """Read the Logon and answer it."""
    logon = await peer.read()
    peer.write("35=A|98=0|108=30" + ("|141=Y" if logon.get(141) == "Y" else ""))
    return logon


def test_the_signature_is_that_of_the_published_test_vector() -> None:
    parts = ("A", "MM1", "GATE", "1", NOW)
    expected = "IhlgIH7fLGQUod8qXpb5aLvSYSb7pdPstBdlC1GY1Qk1/HxsNBFNQqnhMGuW1RRp4QRJV3rxE7M8od/6/HCXCg=="
    assert signature(SEED, parts) == expected


def test_sending_time_has_six_decimals_and_is_cut_not_rounded() -> None:
    assert sending_time(1_795_348_800_000_000_999) == NOW
    assert sending_time(1_795_348_800_123_456_789) == "20261122-12:00:00.123456"


async def test_a_logon_is_signed_over_its_own_header_and_resets_when_asked() -> None:
    seen: list[Fields] = []

    async def script(peer: Scripted) -> None:
        seen.append(await accept_logon(peer))
        assert (await peer.read())[35] == "5"
        peer.write("35=5")

    async with gateway(script) as port:
        client = FixClient(ME)
        answer = await client.logon("127.0.0.1", port, reset=True, fields=[(8013, "S")])
        await client.logout()
    logon = seen[0]
    assert answer[35] == "A"
    assert (logon[34], logon[98], logon[108], logon[141], logon[553], logon[8013]) == (
        "1", "0", "30", "Y", "key-demo-1", "S",
    )  # fmt: skip
    assert int(logon[95]) == len(logon[96])
    text = "\x01".join(("A", logon[49], logon[56], logon[34], logon[52])).encode()
    Ed25519PrivateKey.from_private_bytes(SEED).public_key().verify(base64.b64decode(logon[96]), text)
    assert (client.next_out, client.next_in) == (3, 3)
    assert client.closed.is_set()


async def test_a_gateway_that_closes_without_a_word_has_refused_the_logon() -> None:
    async def script(peer: Scripted) -> None:
        await peer.read()

    async with gateway(script) as port:
        client = FixClient(ME)
        with pytest.raises(LogonRefused, match="closed without an answer"):
            await client.logon("127.0.0.1", port)
    assert client.next_out == 2  # the Logon used its number


async def test_a_logout_instead_of_a_logon_is_a_refusal_with_its_text() -> None:
    async def script(peer: Scripted) -> None:
        await peer.read()
        peer.write("35=5|58=closed for the night")
        assert (await peer.read())[35] == "5"

    async with gateway(script) as port:
        with pytest.raises(LogonRefused, match="closed for the night"):
            await FixClient(ME).logon("127.0.0.1", port)


async def test_no_answer_in_time_cuts_the_connection() -> None:
    async def script(peer: Scripted) -> None:
        await peer.read()
        await peer.hung_up()

    async with gateway(script) as port:
        with pytest.raises(TimeoutError):
            await FixClient(ME).logon("127.0.0.1", port, timeout_s=0.05)


async def test_requests_carry_the_fields_of_the_contract_and_leave_in_order() -> None:
    seen: list[Fields] = []

    async def script(peer: Scripted) -> None:
        await accept_logon(peer)
        for _ in range(6):
            seen.append(await peer.read())

    async with gateway(script) as port:
        client = FixClient(ME)
        await client.logon("127.0.0.1", port)
        assert client.place("a-1", "BTC-USDT", "1", "0.5", "64250.50", tif="3", fields=[(18, "6")]) == 2
        client.place("a-2", "BTC-USDT", "2", "0.5")
        client.cancel("a-3", "a-1", "BTC-USDT", "1")
        client.replace("a-4", "a-1", "BTC-USDT", "1", "0.7", "64251.00")
        client.mass_cancel("a-5", "BTC-USDT")
        client.status("a-1", "BTC-USDT", "1")
        while len(seen) < 6:
            await asyncio.sleep(0.001)
        client.abort()
    assert [row[35] for row in seen] == ["D", "D", "F", "G", "q", "H"]
    assert [row[34] for row in seen] == ["2", "3", "4", "5", "6", "7"]
    limit, market, cancel, replace, mass, _ = seen
    assert {tag: limit[tag] for tag in (11, 55, 54, 38, 40, 44, 59, 18)} == {
        11: "a-1", 55: "BTC-USDT", 54: "1", 38: "0.5", 40: "2", 44: "64250.50", 59: "3", 18: "6",
    }  # fmt: skip
    assert (market[40], 44 in market) == ("1", False)
    assert (cancel[11], cancel[41]) == ("a-3", "a-1")
    assert (replace[38], replace[44], replace[40]) == ("0.7", "64251.00", "2")
    assert (mass[530], mass[55]) == ("1", "BTC-USDT")


async def test_sending_without_a_connection_uses_no_number() -> None:
    client = FixClient(ME)
    with pytest.raises(ConnectionError):
        client.place("a-1", "BTC-USDT", "1", "1")
    assert client.next_out == 1


async def converse(script: Callable[[Scripted], object]) -> tuple[FixClient, list[tuple[str, Fields]]]:
    """Log on, and let `script` lead until it closes; the client, and the messages it reported."""
    heard: list[tuple[str, Fields]] = []
    async with gateway(script) as port:
        client = FixClient(ME, lambda kind, fields: heard.append((kind, fields)))
        await client.logon("127.0.0.1", port)
        await asyncio.wait_for(client.closed.wait(), 5)
    return client, heard


async def test_reports_are_handed_out_in_sequence_and_session_messages_are_not() -> None:
    async def script(peer: Scripted) -> None:
        await accept_logon(peer)
        peer.write("35=8|11=a-1|150=0")
        peer.write("35=0")
        peer.write("35=3|45=2|58=no")
        peer.write("35=9|11=a-2|102=1")

    client, heard = await converse(script)
    assert [kind for kind, _ in heard] == ["8", "3", "9"]
    assert heard[0][1][11] == "a-1"
    assert client.next_in == 6


async def test_of_a_repeating_group_the_first_value_is_kept() -> None:
    async def script(peer: Scripted) -> None:
        await accept_logon(peer)
        peer.write("35=XLR|25003=2|25004=1|25004=3")

    _, heard = await converse(script)
    assert heard[0][1][25004] == "1"


async def test_a_test_request_is_answered_with_its_id() -> None:
    async def script(peer: Scripted) -> None:
        await accept_logon(peer)
        peer.write("35=1|112=are you there")
        answer = await peer.read()
        assert (answer[35], answer[112]) == ("0", "are you there")

    client, _ = await converse(script)
    assert client.counts.test_requests == 1


async def test_a_resend_request_is_answered_with_a_gap_fill_never_with_an_old_order() -> None:
    async def script(peer: Scripted) -> None:
        await accept_logon(peer)
        order = await peer.read()
        assert order[35] == "D"
        peer.write("35=2|7=1|16=0")
        fill = await peer.read()
        assert {tag: fill[tag] for tag in (35, 34, 43, 123, 36)} == {35: "4", 34: "1", 43: "Y", 123: "Y", 36: "3"}
        assert 122 in fill

    heard: list[str] = []
    asked: list[tuple[int, int]] = []
    async with gateway(script) as port:
        client = FixClient(ME, lambda kind, _: heard.append(kind))
        client.on_asked_again = lambda begin, end: asked.append((begin, end))
        await client.logon("127.0.0.1", port)
        client.place("a-1", "BTC-USDT", "1", "1")
        await asyncio.wait_for(client.closed.wait(), 5)
    assert asked == [(1, 2)]  # the owner of the client learns which orders did not get there
    assert client.next_out == 3  # a gap fill stands in for numbers, it uses none
    assert client.counts.gap_fills == 1
    assert heard == []


async def test_a_gap_is_asked_for_once_and_every_report_is_heard_once_in_order() -> None:
    async def script(peer: Scripted) -> None:
        await accept_logon(peer)
        peer.write("35=8|11=a-4|150=0", seq_num=4)
        peer.write("35=8|11=a-5|150=0", seq_num=5)
        ask = await peer.read()
        assert (ask[35], ask[7], ask[16]) == ("2", "2", "0")
        peer.write("35=8|43=Y|122=20261122-11:00:00|11=a-2|150=0", seq_num=2)
        peer.write("35=4|43=Y|122=20261122-11:00:00|123=Y|36=4", seq_num=3)
        peer.write("35=8|43=Y|122=20261122-11:00:00|11=a-4|150=0", seq_num=4)
        peer.write("35=8|43=Y|122=20261122-11:00:00|11=a-5|150=0", seq_num=5)
        peer.write("35=8|11=a-6|150=0", seq_num=6)

    client, heard = await converse(script)
    assert [fields[11] for _, fields in heard] == ["a-2", "a-4", "a-5", "a-6"]
    assert client.counts.gaps == 1
    assert client.next_in == 7


async def test_a_possible_duplicate_of_a_number_already_seen_is_dropped() -> None:
    async def script(peer: Scripted) -> None:
        await accept_logon(peer)
        peer.write("35=8|11=a-1|150=0")
        peer.write("35=8|43=Y|122=20261122-11:00:00|11=a-1|150=0", seq_num=2)

    client, heard = await converse(script)
    assert len(heard) == 1
    assert client.counts.duplicates == 1


async def test_a_number_too_low_ends_the_session_with_a_reason() -> None:
    async def script(peer: Scripted) -> None:
        await accept_logon(peer)
        peer.write("35=8|11=a-1|150=0", seq_num=1)
        goodbye = await peer.read()
        assert goodbye[35] == "5"
        assert goodbye[58] == "MsgSeqNum too low, expecting 2 but received 1"

    _, heard = await converse(script)
    assert heard == []


async def test_a_gateway_that_logs_out_is_answered_and_its_text_is_kept() -> None:
    async def script(peer: Scripted) -> None:
        await accept_logon(peer)
        peer.write("35=5|58=superseded")
        assert (await peer.read())[35] == "5"

    client, _ = await converse(script)
    assert client.logout_text == "superseded"


async def test_bytes_that_are_no_fix_end_the_connection() -> None:
    async def script(peer: Scripted) -> None:
        await accept_logon(peer)
        peer.write_bytes(b"8=FIX.4.4\x01abc=1\x01")
        await peer.hung_up()

    client, heard = await converse(script)
    assert client.closed.is_set()
    assert heard == []


async def test_silence_is_probed_and_then_cut_and_our_own_silence_is_filled() -> None:
    kinds: list[str] = []

    async def script(peer: Scripted) -> None:
        await accept_logon(peer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
            while True:
                kinds.append((await peer.read())[35])

    async with gateway(script) as port:
        client = FixClient(FixIdentity("MM1", "key-demo-1", SEED, heart_bt_int_s=1))
        await client.logon("127.0.0.1", port)
        await asyncio.wait_for(client.closed.wait(), 5)
    assert "0" in kinds
    assert kinds.count("1") == 1
