"""Both doors behind a balancer, with TLS inside: the client's own address counts, in allow-lists and in the log."""

import asyncio
import ssl
from pathlib import Path

import pytest

from gateway.client.fix import LogonRefused
from tests.support.balancer import balancer, binary, line
from tests.support.certificates import make_certificates
from tests.support.desks import FixDesk
from tests.support.server import running, venue_toml
from tests.support.ws_upgrade import UPGRADE, credentials

ALLOWED, OTHER = "198.51.100.7", "203.0.113.9"


def venue(pems: Path) -> str:
    """ALPHA's key may come from 198.51.100.0/24 only, clients of the FIX door must show a certificate."""
    files = f'cert_file = "{pems}/server.pem"\nkey_file = "{pems}/server.key"\n'
    listener = f'proxy_protocol_from = ["127.0.0.0/8"]\n[fix.listeners.tls]\n{files}client_ca_file = "{pems}/ca.pem"\n'
    toml = venue_toml(ws=f'proxy_protocol_from = ["127.0.0.0/8"]\n[ws.tls]\n{files}')
    toml = toml.replace('id = "key-ALPHA"', 'id = "key-ALPHA"\nips = ["198.51.100.0/24"]')
    return toml.replace("insecure = true\n", listener, 1)


@pytest.fixture
def pems(tmp_path: Path) -> Path:
    make_certificates(tmp_path, "server", "client")
    return tmp_path


def trusting(pems: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=f"{pems}/ca.pem")
    context.check_hostname = False
    context.load_cert_chain(f"{pems}/client.pem", f"{pems}/client.key")
    return context


@pytest.mark.parametrize("header", [line, binary], ids=["v1", "v2"])
async def test_fix_behind_a_balancer(pems: Path, header: object, caplog: pytest.LogCaptureFixture) -> None:
    assert callable(header)
    caplog.set_level("INFO", "penstock")
    async with running(venue(pems)) as server:
        async with balancer(server.ports["fix"], header(OTHER)) as port:
            desk = FixDesk("ALPHA")
            with pytest.raises(LogonRefused):
                await desk.client.logon("127.0.0.1", port, tls=trusting(pems))
        async with balancer(server.ports["fix"], header(ALLOWED)) as port:
            desk = FixDesk("ALPHA")
            await desk.client.logon("127.0.0.1", port, reset=True, tls=trusting(pems))
            desk.client.abort()
        assert server.metrics.fix.failed_logons == {"address": 1}
        told = {row.message: row.penstock_fields for row in caplog.records}  # type: ignore[attr-defined]
        assert [told["logon.refused"][name] for name in ("peer", "key")] == [OTHER, "key-ALPHA"]
        assert [told["session.logged_on"][name] for name in ("peer", "key")] == [ALLOWED, "key-ALPHA"]


@pytest.mark.parametrize("header", [line, binary], ids=["v1", "v2"])
async def test_websocket_behind_a_balancer(pems: Path, header: object, caplog: pytest.LogCaptureFixture) -> None:
    assert callable(header)
    caplog.set_level("INFO", "penstock")
    async with running(venue(pems)) as server:
        statuses = []
        for client in (OTHER, ALLOWED):
            async with balancer(server.ports["ws"], header(client)) as port:
                reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting(pems))
                headers = "".join(f"{name}: {value}\r\n" for name, value in credentials().items())
                writer.write(UPGRADE.format(more=headers).encode())
                statuses.append((await reader.readuntil(b"\r\n"))[9:12])
                writer.close()
        assert statuses == [b"401", b"101"]
        assert server.metrics.ws.failed_logons == {"address": 1}
        told = {row.message: row.penstock_fields for row in caplog.records}  # type: ignore[attr-defined]
        assert [told["logon.refused"][name] for name in ("peer", "key")] == [OTHER, "key-ALPHA"]
        assert [told["session.logged_on"][name] for name in ("peer", "key")] == [ALLOWED, "key-ALPHA"]
