"""The PROXY protocol, versions 1 and 2: the header by which a load balancer gives the address of the client.

The header comes first, even before a TLS handshake, so no byte after it may be consumed: `receive` returns how many of
the bytes belong to the header. Strict and bounded; what follows the addresses (TLVs) is skipped.

Source: the PROXY protocol, HAProxy Technologies, 2020/03/05, sections 2.1 and 2.2.
"""

from ipaddress import IPv4Address, IPv6Address

import msgspec

from protocols.errors import LocalProtocolError, RemoteProtocolError

MAX_BYTES = 4_096
"""A version 2 header may claim 64 KiB; real ones, with TLVs, have a few hundred bytes."""

_MAX_LINE = 107  # of version 1, CR and LF included
_LINE = b"PROXY "
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED_BYTES = 16  # signature, version and command, family, length
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_UNSPECIFIED = 0x00


class SourceAddress(msgspec.Struct, frozen=True):
    """Who connected to the balancer. host "": the balancer itself, as in a health check.

    An IPv4-mapped IPv6 address is given as IPv4.
    """

    host: str
    port: int


_ITSELF = SourceAddress("", 0)


class ProxyHeader:
    """The header at the start of one connection. `source` is None until the header is complete."""

    def __init__(self) -> None:
        self.source: SourceAddress | None = None
        self._raw = bytearray()

    def receive(self, data: bytes) -> int:
        """How many of these bytes belong to the header: at least one, unless `data` is empty.

        Raises:
            RemoteProtocolError: this is not a PROXY header; close the connection.
            LocalProtocolError: the header was complete before.
        """
        if self.source is not None:
            raise LocalProtocolError("the header is whole")
        taken = 0
        while taken < len(data) and self.source is None:
            step = data[taken : taken + self._wanted(data, taken)]
            self._raw += step
            taken += len(step)
            self._judge()
        return taken

    def _wanted(self, data: bytes, taken: int) -> int:
        """How many bytes certainly belong to the header: those up to the next point where it must be checked."""
        have = len(self._raw)
        if not have:
            return 1
        if self._raw[0] == _LINE[0]:
            end = data.find(b"\n", taken)
            return min((end if end >= 0 else len(data) - 1) + 1 - taken, _MAX_LINE + 1 - have)
        return self._size() - have

    def _size(self) -> int:
        """Bytes of a version 2 header; the fixed part only, until its length field is there."""
        return _FIXED_BYTES + (int.from_bytes(self._raw[14:16]) if len(self._raw) >= _FIXED_BYTES else 0)

    def _judge(self) -> None:
        raw = bytes(self._raw)
        if _LINE.startswith(raw[:6]):
            if len(raw) > _MAX_LINE:
                raise RemoteProtocolError(f"a line of over {_MAX_LINE} bytes")
            if raw.endswith(b"\n"):
                self.source = _read_line(raw)
        elif _SIGNATURE.startswith(raw[:12]):
            if len(raw) >= _FIXED_BYTES:
                self._judge_binary(raw)
        else:
            raise RemoteProtocolError("no PROXY header")

    def _judge_binary(self, raw: bytes) -> None:
        size, command = self._size(), raw[12]
        if command not in (_LOCAL, _PROXY):
            raise RemoteProtocolError(f"version and command {command:#04x} are not served")
        if size > MAX_BYTES:
            raise RemoteProtocolError(f"a header of {size} bytes")
        if len(raw) == size:
            self.source = _ITSELF if command == _LOCAL else _read_addresses(raw[13], raw[_FIXED_BYTES:])


def _read_line(line: bytes) -> SourceAddress:
    """Version 1: `PROXY TCP4 198.51.100.1 203.0.113.7 56324 443`, CR, LF."""
    if not line.endswith(b"\r\n"):
        raise RemoteProtocolError("a line that ends without CR")
    try:
        words = line[:-2].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise RemoteProtocolError("a line that is no ASCII") from None
    if words[1] == "UNKNOWN":
        return _ITSELF
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6") or b"%" in line:
        raise RemoteProtocolError("a line that does not name two addresses and two ports")
    kind = IPv4Address if words[1] == "TCP4" else IPv6Address
    try:
        host, _ = kind(words[2]), kind(words[3])
    except ValueError:
        raise RemoteProtocolError(f"a line with what is no {words[1]} address") from None
    port, _ = _port(words[4]), _port(words[5])
    return _source(host, port)


def _port(word: str) -> int:
    if not (word.isdigit() and len(word) <= 5 and int(word) <= 65_535 and str(int(word)) == word):
        raise RemoteProtocolError("a line with what is no port")
    return int(word)


def _read_addresses(family: int, block: bytes) -> SourceAddress:
    """Version 2: source and destination address, source and destination port, then what is skipped."""
    if family == _UNSPECIFIED:
        return _ITSELF
    if family not in (_TCP4, _TCP6):
        raise RemoteProtocolError(f"address family {family:#04x} is not served")
    size = 4 if family == _TCP4 else 16
    if len(block) < 2 * size + 4:
        raise RemoteProtocolError(f"{len(block)} bytes for two addresses and two ports")
    host = IPv4Address(block[:size]) if size == 4 else IPv6Address(block[:size])
    return _source(host, int.from_bytes(block[2 * size : 2 * size + 2]))


def _source(host: IPv4Address | IPv6Address, port: int) -> SourceAddress:
    mapped = host.ipv4_mapped if isinstance(host, IPv6Address) else None
    return SourceAddress(str(mapped or host), port)
