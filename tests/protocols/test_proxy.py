"""The PROXY header: what balancers send, byte by byte or at once; nothing after it is consumed."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.proxy import MAX_BYTES, ProxyHeader, SourceAddress

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
# As in the specification's own text, and what HAProxy, AWS and nginx send.
LINE = b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"
LONGEST = b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n"


def binary(command: int = 0x21, family: int = 0x11, block: bytes = bytes(12), length: int | None = None) -> bytes:
    size = len(block) if length is None else length
    return SIGNATURE + bytes([command, family]) + size.to_bytes(2) + block


def tcp4(host: str = "198.51.100.7", port: int = 4711, more: bytes = b"") -> bytes:
    return binary(block=IPv4Address(host).packed + bytes([203, 0, 113, 1]) + port.to_bytes(2) + b"\x01\xbb" + more)


def tcp6(host: str = "2001:db8::7", port: int = 4711, more: bytes = b"") -> bytes:
    ends = IPv6Address(host).packed + IPv6Address("2001:db8::1").packed
    return binary(family=0x21, block=ends + port.to_bytes(2) + b"\x01\xbb" + more)


GOOD = [
    (LINE, SourceAddress("255.255.255.255", 65535)),
    (b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 443\r\n", SourceAddress("198.51.100.7", 4711)),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", SourceAddress("2001:db8::7", 4711)),
    (b"PROXY TCP6 ::ffff:198.51.100.7 ::1 0 443\r\n", SourceAddress("198.51.100.7", 0)),
    (b"PROXY UNKNOWN\r\n", SourceAddress("", 0)),
    (LONGEST, SourceAddress("", 0)),
    (tcp4(), SourceAddress("198.51.100.7", 4711)),
    (tcp4(more=b"\x04\x00\x03abc"), SourceAddress("198.51.100.7", 4711)),
    (tcp6(), SourceAddress("2001:db8::7", 4711)),
    (binary(command=0x20, family=0, block=b""), SourceAddress("", 0)),
    (binary(command=0x20), SourceAddress("", 0)),
    (binary(family=0, block=b"tlv"), SourceAddress("", 0)),
    (tcp4(more=bytes(MAX_BYTES - 28)), SourceAddress("198.51.100.7", 4711)),
]
BAD = {
    "HTTP": b"POST / HTTP/1.1\r\n",
    "FIX": b"8=FIX.4.4\x019=5\x01",
    "TLS": bytes.fromhex("16030100"),
    "another word": b"PROXIES 1\r\n",
    "lower case": b"proxy UNKNOWN\r\n",
    "no CR": b"PROXY UNKNOWN\n",
    "a line too long": b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    "a line without an end": b"PROXY " + b"x" * 102,
    "no words": b"PROXY \r\n",
    "UDP": b"PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
    "two spaces": b"PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n",
    "a word too many": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n",
    "a name": b"PROXY TCP4 localhost 1.2.3.4 1 1\r\n",
    "octal": b"PROXY TCP4 01.2.3.4 1.2.3.4 1 1\r\n",
    "the other family": b"PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
    "a zone": b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n",
    "a bad destination": b"PROXY TCP4 1.2.3.4 1.2.3 1 1\r\n",
    "a port too high": b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n",
    "a port with a zero": b"PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
    "a negative port": b"PROXY TCP4 1.2.3.4 1.2.3.4 1 -1\r\n",
    "digits that are none": "PROXY TCP4 1.2.3.4 1.2.3.4 \u0661 1\r\n".encode(),
    "half a signature": SIGNATURE[:11] + b"\r",
    "version 1 in binary": binary(command=0x11),
    "an unknown command": binary(command=0x22),
    "datagrams": binary(family=0x12),
    "a Unix socket": binary(family=0x31, block=bytes(216)),
    "an unknown family": binary(family=0x41),
    "too short for IPv4": binary(block=bytes(11)),
    "too short for IPv6": binary(family=0x21, block=bytes(35)),
    "too long": binary(length=MAX_BYTES - 15),
}


def whole(data: bytes) -> tuple[SourceAddress | None, int]:
    header = ProxyHeader()
    taken = header.receive(data)
    return header.source, taken


@pytest.mark.parametrize(("header", "source"), GOOD)
def test_a_header_is_read_and_not_a_byte_after_it(header: bytes, source: SourceAddress) -> None:
    for behind in (b"", b"\n", b"\x16\x03\x01 a ClientHello", header):
        assert whole(header + behind) == (source, len(header))


@pytest.mark.parametrize("header", [header for header, _ in GOOD])
def test_a_header_is_not_whole_before_its_last_byte_and_any_cut_into_reads_gives_the_same(header: bytes) -> None:
    assert whole(header[:-1]) == (None, len(header) - 1)
    for size in (1, 2, 15, 16, 17):
        reader, at = ProxyHeader(), 0
        while reader.source is None:
            shown = header[at : at + size] + (b"" if at + size < len(header) else b"behind")
            at += reader.receive(shown)
        assert (reader.source, at) == (whole(header)[0], len(header))


def byte_by_byte(data: bytes) -> None:
    reader = ProxyHeader()
    for at in range(len(data)):
        assert reader.receive(data[at : at + 1]) == 1
        assert reader.source is None


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_no_header_is_refused_in_one_read_and_byte_by_byte(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        whole(data)
    with pytest.raises(RemoteProtocolError):
        byte_by_byte(data)


def test_a_whole_header_takes_no_more() -> None:
    header = ProxyHeader()
    header.receive(LINE)
    with pytest.raises(LocalProtocolError):
        header.receive(b"x")


@given(
    st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda start, rest: start + rest, st.sampled_from([b"PROXY ", b"PROXY TCP4 ", SIGNATURE]), st.binary()
        ),
        st.builds(binary, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=60)),
    ),
    st.lists(st.integers(1, 40), min_size=1),
)
def test_any_bytes_in_any_pieces_are_refused_or_read_the_same_and_never_kept_beyond_the_bound(
    data: bytes, sizes: list[int]
) -> None:
    def judge(pieces: list[bytes]) -> object:
        reader, taken = ProxyHeader(), 0
        try:
            for piece in pieces:
                if reader.source is None:
                    count = reader.receive(piece)
                    assert 0 < count <= len(piece)
                    assert reader.source is not None or count == len(piece)
                    taken += count
        except RemoteProtocolError:
            return "refused"
        return reader.source, taken

    pieces, at = [], 0
    while at < len(data):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[at : at + size])
        at += size
    assert judge(pieces) == judge([data] if data else [])


@given(st.ip_addresses(), st.ip_addresses(v=4), st.integers(0, 65_535), st.booleans())
def test_every_address_that_a_balancer_names_is_read_back(
    host: IPv4Address | IPv6Address, other: IPv4Address, port: int, is_binary: bool
) -> None:
    if is_binary:
        header = (tcp4 if host.version == 4 else tcp6)(str(host), port)
    else:
        header = f"PROXY TCP{host.version} {host} {other if host.version == 4 else '::'} {port} 1\r\n".encode()
    mapped = host.ipv4_mapped if isinstance(host, IPv6Address) else None
    assert whole(header) == (SourceAddress(str(mapped or host), port), len(header))
