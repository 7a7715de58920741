"""From a port to a connection, on both event loops: real sockets, real handshakes, and whatever a stranger does."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.config.addresses import networks
from gateway.config.schema import Tls
from gateway.doors import listening, tls
from gateway.doors.crowd import Crowd
from gateway.doors.listening import Arrival, Door, Listener, ListenSettings
from tests.support.certificates import make_certificates
from tests.support.server import until

BALANCER = networks(("127.0.0.0/8",))
LINE = b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 443\r\n"
BINARY = bytes.fromhex("0d0a0d0a000d0a515549540a 2111 000c c6336407 cb007101 1267 01bb")
ITSELF = bytes.fromhex("0d0a0d0a000d0a515549540a 2000 0000")


class Echo(asyncio.Protocol):
    """Says who it takes its peer for, and then what that sends."""

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival
        arrival.cut = self.cut

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.arrival.opened()
        transport.write(self.arrival.peer_ip.encode() + b" ")

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.arrival.left()

    def cut(self, reason: str) -> None:
        self.arrival.count(reason)
        self.transport.abort()


class EchoDoor:
    """A listener with a door behind it, and what was told."""

    def __init__(self, places: int = 100, **place: Any) -> None:
        self.ends: Counter[str] = Counter()
        self.lines: list[dict[str, Any]] = []
        self.crowd = Crowd(places)
        self.is_accepting = True
        door = Door(
            crowd=self.crowd,
            make=Echo,
            turn_away=self._turn_away,
            count_end=lambda reason: self.ends.update([reason]),
            log=self._log,
            now_ns=lambda: 0,
            shared=place.get("balancers", ()),
            accepting=lambda: self.is_accepting,
        )
        self.listener = Listener(ListenSettings("lan", "127.0.0.1", 0, 64, **place), door)
        self.port = 0

    def _log(self, event: str, **fields: Any) -> None:
        if event != "connection.crowded_out":
            self.lines.append({"event": event, **fields})

    def _turn_away(self) -> bytes:
        self.ends["full"] += 1
        return b"full"

    async def __aenter__(self) -> "EchoDoor":
        self.port = await self.listener.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.listener.close()
        await until(lambda: not len(self.crowd))


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    return lambda scene: request.param(scene())


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pems")
    make_certificates(directory, "server", "client")
    return directory


def context(pems: Path, wants_certificate: bool = False) -> ssl.SSLContext:
    settings = Tls(
        cert_file=f"{pems}/server.pem",
        key_file=f"{pems}/server.key",
        client_ca_file=f"{pems}/ca.pem" if wants_certificate else "",
    )
    made = tls.server_context(settings)
    assert made is not None
    return made


def trusting(pems: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=f"{pems}/ca.pem")


async def exchange(port: int, *pieces: bytes, size: int) -> bytes:
    """What is heard, up to so many bytes, by one who says this."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.01)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            return await asyncio.wait_for(reader.readexactly(size), 5)
        return b""
    finally:
        writer.close()


class Turns:
    """Counts the turns of the running loop, as long as it is asked to."""

    def __init__(self) -> None:
        self.count, self._is_on = 0, True
        self._loop = asyncio.get_running_loop()
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self.count += 1
        if self._is_on:
            self._loop.call_soon(self._turn)

    def stop(self) -> None:
        self._is_on = False


def most_in_a_turn(turns: list[int]) -> int:
    return max(Counter(turns).values())


# -- who it is ---------------------------------------------------------------------------------------------------------


def test_without_a_balancer_the_peer_is_who_connects(play: Any) -> None:
    async def scene() -> None:
        async with EchoDoor() as echo:
            assert await exchange(echo.port, b"hi", size=12) == b"127.0.0.1 hi"
            await until(lambda: not len(echo.crowd))
            assert echo.ends == {}

    play(scene)


@pytest.mark.parametrize("header", [LINE, BINARY], ids=["v1", "v2"])
@pytest.mark.parametrize("cut", [0, 1, 20])
def test_a_balancer_says_whose_connection_it_is_and_no_byte_behind_that_is_lost(
    play: Any, header: bytes, cut: int
) -> None:
    async def scene() -> None:
        async with EchoDoor(balancers=BALANCER) as echo:
            pieces = (header[:cut], header[cut:] + b"hi") if cut else (header + b"hi",)
            assert await exchange(echo.port, *pieces, size=15) == b"198.51.100.7 hi"

    play(scene)


def test_a_balancer_may_speak_for_itself(play: Any) -> None:
    async def scene() -> None:
        async with EchoDoor(balancers=BALANCER) as echo:
            assert await exchange(echo.port, ITSELF + b"hi", size=12) == b"127.0.0.1 hi"

    play(scene)


@pytest.mark.parametrize("header", [LINE, BINARY], ids=["v1", "v2"])
def test_the_header_comes_before_the_handshake_even_in_one_piece_with_it(play: Any, header: bytes, pems: Path) -> None:
    async def scene() -> None:
        async with EchoDoor(balancers=BALANCER, context=context(pems)) as echo:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = trusting(pems).wrap_bio(incoming, outgoing, server_hostname="localhost")
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
            reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
            writer.write(header + outgoing.read())
            heard = b""
            while not heard:
                incoming.write(await asyncio.wait_for(reader.read(4_096), 5))
                with contextlib.suppress(ssl.SSLWantReadError):
                    client.do_handshake()
                    heard = client.read(100)
                writer.write(outgoing.read())
            assert heard == b"198.51.100.7 "
            writer.close()

    play(scene)


def test_who_is_no_balancer_is_not_believed(play: Any) -> None:
    async def scene() -> None:
        async with EchoDoor(balancers=networks(("10.0.0.0/8",))) as echo:
            assert await exchange(echo.port, LINE, size=10 + len(LINE)) == b"127.0.0.1 " + LINE

    play(scene)


def test_a_balancer_without_its_header_is_closed_counted_and_named(play: Any) -> None:
    async def scene() -> None:
        async with EchoDoor(balancers=BALANCER) as echo:
            assert await exchange(echo.port, b"8=FIX.4.4\x01", size=1) == b""
            assert await exchange(echo.port, b"PROXY TCP4 nobody\r\n", size=1) == b""
            assert echo.ends == {"proxy_header": 2}
            assert [(line["event"], line["peer"], line["detail"]) for line in echo.lines] == [
                ("proxy.refused", "127.0.0.1", "no PROXY header"),
                ("proxy.refused", "127.0.0.1", "a line that does not name two addresses and two ports"),
            ]

    play(scene)


def test_a_balancer_that_says_nothing_is_cut_and_one_that_only_looks_in_is_no_news(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "OPEN_TIMEOUT_S", 0.1)

    async def scene() -> None:
        async with EchoDoor(balancers=BALANCER) as echo:
            assert await exchange(echo.port, LINE[:-1], size=1) == b""
            assert echo.ends == {"proxy_timeout": 1}
            _, writer = await asyncio.open_connection("127.0.0.1", echo.port)
            writer.close()
            await until(lambda: echo.ends["proxy_left"])
            assert len(echo.lines) == 1

    play(scene)


def test_those_for_whom_a_balancer_speaks_have_a_share_each_and_it_has_none(play: Any) -> None:
    async def scene() -> None:
        async with EchoDoor(places=36, balancers=BALANCER) as echo:
            writers = []
            for n in range(36):
                reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
                writer.write(LINE if n < 20 else LINE.replace(b"100.7", b"100.%d" % n))
                writers.append(writer)
                with contextlib.suppress(ConnectionError):
                    await reader.read(1)
            await until(lambda: len(echo.crowd) == 34)
            assert echo.ends == {"crowded_out": 2}
            for writer in writers:
                writer.close()

    play(scene)


# -- handshakes that fail ----------------------------------------------------------------------------------------------


async def shake(port: int, client: ssl.SSLContext) -> None:
    """A blocking client: asyncio's own does not send the alert that says why it goes."""

    def talk() -> None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), 5) as sock,
            client.wrap_socket(sock, server_hostname="localhost") as wrapped,
        ):
            wrapped.recv(1)

    await asyncio.to_thread(talk)


def _nothing(client: ssl.SSLContext) -> None:
    pass


def _weak_ciphers(client: ssl.SSLContext) -> None:
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("AES128-SHA")


@pytest.mark.parametrize(
    ("spoil", "trusts", "reason"),
    [
        (_nothing, True, "tls_no_certificate"),
        (_nothing, False, "tls_alert"),
        (_weak_ciphers, True, "tls_no_cipher"),
    ],
)
def test_a_handshake_that_fails_is_counted_and_logged_with_its_reason(
    play: Any, pems: Path, spoil: Any, trusts: bool, reason: str
) -> None:
    async def scene() -> None:
        async with EchoDoor(context=context(pems, wants_certificate=True)) as echo:
            client = trusting(pems) if trusts else ssl.create_default_context()
            spoil(client)
            await shake(echo.port, client)
            await until(lambda: echo.lines)
            (line,) = echo.lines
            assert echo.ends == {reason: 1}
            assert (line["event"], line["reason"], line["peer"]) == ("tls.failed", reason, "127.0.0.1")
            await until(lambda: not len(echo.crowd))

    play(scene)


def test_a_certificate_of_another_authority_is_refused_and_ours_passes(play: Any, pems: Path, tmp_path: Path) -> None:
    make_certificates(tmp_path, "client")

    async def scene() -> None:
        async with EchoDoor(context=context(pems, wants_certificate=True)) as echo:
            for directory in (tmp_path, pems):
                client = trusting(pems)
                client.load_cert_chain(f"{directory}/client.pem", f"{directory}/client.key")
                await shake(echo.port, client)
            await until(lambda: echo.lines)
            assert echo.ends == {"tls_bad_certificate": 1}

    play(scene)


def test_plain_bytes_on_a_tls_port_are_named(play: Any, pems: Path) -> None:
    async def scene() -> None:
        async with EchoDoor(context=context(pems)) as echo:
            for word in (b"8=FIX.4.4\x01", b"GET / HTTP/1.1\r\n\r\n"):
                await exchange(echo.port, word, size=1)
            assert echo.ends == {"tls_not_tls": 2}
            assert [line["reason"] for line in echo.lines] == ["tls_not_tls"] * 2

    play(scene)


def test_who_never_ends_its_handshake_is_cut_and_who_goes_away_is_only_counted(
    play: Any, pems: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "OPEN_TIMEOUT_S", 0.1)

    async def scene() -> None:
        async with EchoDoor(context=context(pems)) as echo:
            await exchange(echo.port, b"\x16\x03\x01\x02\x00\x01", size=1)
            assert echo.ends == {"tls_timeout": 1}
            _, writer = await asyncio.open_connection("127.0.0.1", echo.port)
            writer.close()
            await until(lambda: echo.ends["tls_left"])
            assert [line["reason"] for line in echo.lines] == ["tls_timeout"]

    play(scene)


def test_header_and_handshake_together_have_the_time_of_one(
    play: Any, pems: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "OPEN_TIMEOUT_S", 0.5)

    async def scene() -> None:
        async with EchoDoor(balancers=BALANCER, context=context(pems)) as echo:
            reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
            began = time.perf_counter()
            await asyncio.sleep(0.3)
            writer.write(LINE)
            with contextlib.suppress(ConnectionError):
                await reader.read()
            assert 0.4 < time.perf_counter() - began < 0.75
            assert echo.ends == {"tls_timeout": 1}
            writer.close()

    play(scene)


# -- crowds ------------------------------------------------------------------------------------------------------------


def test_a_crowd_displaces_its_own_oldest_and_never_holds_more_than_its_share(play: Any) -> None:
    async def scene() -> None:
        async with EchoDoor(places=32) as echo:
            ends = []
            for _ in range(60):
                reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
                ends.append((reader, writer))
            await until(lambda: echo.ends["crowded_out"] == 44 and len(echo.crowd) == 16)
            alive = []
            for number, (reader, writer) in enumerate(ends):
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    writer.write(b"x")
                    await asyncio.wait_for(reader.readexactly(11), 5)
                    alive.append(number)
                writer.close()
            assert alive == list(range(44, 60))

    play(scene)


def test_a_crowd_in_its_handshake_is_displaced_too(play: Any, pems: Path) -> None:
    async def scene() -> None:
        async with EchoDoor(places=16, context=context(pems)) as echo:
            sockets = [socket.create_connection(("127.0.0.1", echo.port)) for _ in range(50)]
            await until(lambda: echo.ends["crowded_out"] == 34 and len(echo.crowd) == 16)
            await shake(echo.port, trusting(pems))
            assert echo.lines == []
            for sock in sockets:
                sock.close()

    play(scene)


def test_a_door_full_of_those_who_have_logged_on_says_so_and_takes_nobody(play: Any) -> None:
    async def scene() -> None:
        async with EchoDoor(places=2) as echo:
            writers = []
            for _ in range(2):
                reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
                await reader.readexactly(10)
                writers.append(writer)
            for arrival in list(echo.crowd._guests):
                arrival.proved()  # type: ignore[attr-defined]
            assert await exchange(echo.port, size=4) == b"full"
            writers[0].close()
            await until(lambda: len(echo.crowd) == 1)
            assert await exchange(echo.port, size=10) == b"127.0.0.1 "
            writers[1].close()

    play(scene)


def test_while_the_house_takes_nobody_new_they_are_turned_away(play: Any) -> None:
    async def scene() -> None:
        async with EchoDoor() as echo:
            echo.is_accepting = False
            assert await exchange(echo.port, b"hi", size=4) == b"full"
            assert (echo.ends, len(echo.crowd)) == ({"full": 1}, 0)

    play(scene)


def test_a_port_that_is_taken_is_named(play: Any) -> None:
    async def scene() -> None:
        async with EchoDoor() as echo:
            second = Listener(ListenSettings("lan", "127.0.0.1", echo.port, 64), echo.listener._door)
            with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {echo.port}: address already in use"):
                await second.open()

    play(scene)


def test_a_name_with_addresses_of_both_kinds_is_one_port(play: Any) -> None:
    async def scene() -> None:
        echo = EchoDoor()
        echo.listener._settings = ListenSettings("lan", "localhost", 0, 64)
        async with echo:
            for sock in echo.listener._sockets:
                assert sock.getsockname()[1] == echo.port
            assert await exchange(echo.port, size=10) == b"127.0.0.1 "

    play(scene)


def test_an_address_that_is_not_ours_is_named(play: Any) -> None:
    async def scene() -> None:
        echo = EchoDoor()
        echo.listener._settings = ListenSettings("lan", "198.51.100.7", 1, 64)
        with pytest.raises(OSError, match=r"cannot listen on 198\.51\.100\.7 port 1: cannot assign requested address"):
            await echo.listener.open()

    play(scene)


def test_when_the_port_closes_those_on_the_doorstep_are_sent_away(play: Any, pems: Path) -> None:
    async def scene() -> None:
        async with EchoDoor(balancers=BALANCER, context=context(pems)) as echo:
            readers = []
            for piece in (b"", LINE, LINE + b"\x16\x03"):
                reader, writer = await asyncio.open_connection("127.0.0.1", echo.port)
                writer.write(piece)
                readers.append((reader, writer))
            await until(lambda: len(echo.crowd) == 3)
            echo.listener.close()
            for reader, writer in readers:
                with contextlib.suppress(ConnectionError):
                    assert await asyncio.wait_for(reader.read(), 5) == b""
                writer.close()
            await until(lambda: echo.ends == {"draining": 3})

    play(scene)


def test_the_doors_protocol_is_told_when_its_handshake_fails_so_that_it_lets_go(
    play: Any, pems: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        told = []
        made = Echo.__init__

        def kept(self: Echo, arrival: Arrival) -> None:
            made(self, arrival)
            arrival.unmade = lambda: told.append(arrival.is_open)

        monkeypatch.setattr(Echo, "__init__", kept)
        async with EchoDoor(context=context(pems)) as echo:
            assert await exchange(echo.port, b"\x16\x03\x01\x00\x05hello", size=100) != b"hello"
            await until(lambda: told)
        assert told == [False]

    play(scene)


# -- many at one moment ------------------------------------------------------------------------------------------------


def test_of_a_crowd_that_connects_at_one_moment_four_are_taken_in_a_turn(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with EchoDoor() as echo:
            turns, taken, admit = Turns(), [], Listener._admit

            def counted(self: Listener, sock: socket.socket, host: str) -> None:
                taken.append(turns.count)
                admit(self, sock, host)

            monkeypatch.setattr(Listener, "_admit", counted)
            crowd = [socket.create_connection(("127.0.0.1", echo.port)) for _ in range(22)]
            await until(lambda: len(taken) == 22)
            turns.stop()
            assert most_in_a_turn(taken) == 4
            for sock in crowd:
                sock.close()

    play(scene)


def test_of_a_crowd_that_asks_for_handshakes_at_one_moment_two_begin_in_a_turn(
    play: Any, pems: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handshake costs a signature: a thousand of them in one turn would keep everybody else waiting for a second."""

    async def scene() -> None:
        async with EchoDoor(context=context(pems)) as echo:
            turns, begun = Turns(), []
            let_begin = Listener._let_begin

            def counted(self: Listener) -> None:
                before = len(self._line)
                let_begin(self)
                begun.extend([turns.count] * (before - len(self._line)))

            monkeypatch.setattr(Listener, "_let_begin", counted)
            silent = [socket.create_connection(("127.0.0.1", echo.port)) for _ in range(5)]
            await until(lambda: len(echo.crowd) == 5)
            secure = trusting(pems)
            joined = [
                asyncio.open_connection("127.0.0.1", echo.port, ssl=secure, server_hostname="localhost")
                for _ in range(12)
            ]
            pairs = await asyncio.gather(*joined)
            turns.stop()
            assert len(echo.crowd) == 17, "those who say nothing keep nobody out"
            assert (len(begun), most_in_a_turn(begun)) == (12, 2)
            for reader, writer in pairs:
                assert await reader.readuntil(b" ") == b"127.0.0.1 "
                writer.close()
            for sock in silent:
                sock.close()

    play(scene)
