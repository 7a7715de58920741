"""Header lists of the opening handshake, and which host an Origin belongs to."""

import pytest

from protocols.ws.opening import listed, names_host


def test_a_list_is_the_same_on_one_line_or_on_several() -> None:
    assert listed(["a, b", "c"]) == listed(["a", "b,c"]) == listed([" a ,,b", "", "c ,"]) == ["a", "b", "c"]
    assert listed([]) == listed([""]) == listed([" , "]) == []


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://GATE.example", "gate.EXAMPLE"),
        ("https://gate.example", "gate.example"),
        ("https://gate.example", "gate.example:443"),
        ("https://gate.example:443", "gate.example"),
        ("http://gate.example:80/", "gate.example"),
        ("ws://[::1]:8080", "[::1]:8080"),
        ("wss://gate.example:8443", "gate.example:8443"),
    ],
)
def test_an_origin_is_our_own_when_host_and_port_are_those_of_the_request(origin: str, host: str) -> None:
    assert names_host(origin, [host])


@pytest.mark.parametrize(
    ("origin", "hosts"),
    [
        ("https://evil.example", ["gate.example"]),
        ("https://gate.example.evil.example", ["gate.example"]),
        ("https://gate.example@evil.example", ["gate.example"]),
        ("http://gate.example:8081", ["gate.example:8080"]),
        ("http://gate.example", ["gate.example:8080"]),
        ("null", ["null"]),
        ("file://", [""]),
        ("http://", [""]),
        ("gate.example", ["gate.example"]),
        ("", [""]),
        ("http://gate.example:port", ["gate.example:port"]),
        ("http://[gate", ["[gate"]),
        ("https://gate.example", []),
        ("https://gate.example", ["gate.example", "evil.example"]),
    ],
)
def test_any_other_origin_is_not(origin: str, hosts: list[str]) -> None:
    assert not names_host(origin, hosts)
