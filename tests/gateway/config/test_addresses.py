"""Addresses in any notation, and whose statement about an address is trusted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.addresses import forwarded_for, is_in, network_of, networks, parse_proxies

TRUSTED = networks(("10.0.0.0/8", "2001:db8::/32"))


@pytest.mark.parametrize(
    ("peer_ip", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_ipv6_is_counted_for_the_network_that_one_customer_has(peer_ip: str, network: str) -> None:
    assert network_of(peer_ip) == network


@pytest.mark.parametrize(
    ("lines", "peer_ip", "client"),
    [
        pytest.param([], "10.1.1.1", "10.1.1.1", id="a health check of the proxy itself"),
        pytest.param(["198.51.100.7"], "10.1.1.1", "198.51.100.7", id="one proxy"),
        pytest.param(["192.0.2.9, 198.51.100.7"], "10.1.1.1", "198.51.100.7", id="what the client made up is not read"),
        pytest.param(["198.51.100.7, 10.2.2.2"], "10.1.1.1", "198.51.100.7", id="two proxies"),
        pytest.param(["198.51.100.7", "10.2.2.2"], "10.1.1.1", "198.51.100.7", id="each with a line of its own"),
        pytest.param(["10.3.3.3, 10.2.2.2"], "10.1.1.1", "10.3.3.3", id="a client inside"),
        pytest.param(["junk, 198.51.100.7"], "10.1.1.1", "198.51.100.7", id="junk before what counts"),
        pytest.param(["198.51.100.7:4711"], "10.1.1.1", "198.51.100.7", id="with a port"),
        pytest.param(["[2001:db9::7]:4711"], "10.1.1.1", "2001:db9::7", id="IPv6 with a port"),
        pytest.param(["[2001:db9::7]"], "2001:db8::1", "2001:db9::7", id="IPv6 in brackets"),
        pytest.param(["2001:db9::7"], "::ffff:10.1.1.1", "2001:db9::7", id="IPv6, and a mapped proxy"),
        pytest.param([" , 198.51.100.7 ,"], "10.1.1.1", "198.51.100.7", id="empty entries"),
        pytest.param(["198.51.100.7"], "192.0.2.1", "192.0.2.1", id="no trusted proxy"),
        pytest.param(["198.51.100.7, unknown"], "10.1.1.1", None, id="the proxy hides it"),
        pytest.param(["198.51.100.7, junk, 10.2.2.2"], "10.1.1.1", None, id="junk behind a trusted one"),
    ],
)
def test_the_last_address_that_no_trusted_proxy_has_is_whose_request_it_is(
    lines: list[str], peer_ip: str, client: str | None
) -> None:
    assert forwarded_for(lines, peer_ip, TRUSTED) == client


@given(st.lists(st.text(max_size=60), max_size=4), st.text(max_size=20))
def test_any_lines_are_read_and_a_stranger_gains_nothing_by_them(lines: list[str], peer_ip: str) -> None:
    assert forwarded_for(lines, peer_ip, TRUSTED) == peer_ip
    client = forwarded_for(lines, "10.1.1.1", TRUSTED)
    assert client is None or network_of(client)


def test_no_one_may_trust_every_address() -> None:
    assert is_in("10.1.2.3", [parse_proxies("10.0.0.0/8")])
    for text in ("0.0.0.0/0", "::/0", "10.1.1.1/8", "balancer"):
        with pytest.raises(ValueError):
            parse_proxies(text)
