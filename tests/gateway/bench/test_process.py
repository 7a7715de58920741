"""What /proc tells about a process."""

import os
import socket

import pytest

from gateway.bench import process


def test_this_process_has_used_the_cpu_and_has_memory() -> None:
    assert 0 < process.cpu_s(os.getpid()) <= sum(os.times()[:2]) + 0.1
    assert process.resident_bytes(os.getpid()) > 1 << 20


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_who_listens_on_a_port_is_found(family: socket.AddressFamily, host: str) -> None:
    if family is socket.AF_INET6 and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with socket.create_server((host, 0), family=family) as server:
        port = server.getsockname()[1]
        assert process.listener(port) == os.getpid()
    assert process.listener(port) is None
