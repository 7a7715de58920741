"""FIX text for people: messages in pipe notation to bytes and back, so that tests read like transcripts."""

from protocols.fix.message import TRAILERS, byte_sum, encode


def fix(text: str, begin: str = "FIX.4.4") -> bytes:
    """`35=D|34=2|49=MM1|...` as a whole message: 8, 9 and 10 are computed and put around it.

    Text that starts with `8=` is taken as it is where it has its own 9 and 10, so that wrong ones can be written; a
    missing 10 is computed. The closing `|` may be left out.
    """
    body = text.strip("\n").replace("|", "\x01")
    if not body.endswith("\x01"):
        body += "\x01"
    if not body.startswith("8="):
        return encode(begin, body)
    data = body.encode("latin-1")
    if b"\x0110=" in data:
        return data
    return data + TRAILERS[byte_sum(data) & 255]


def pipes(data: bytes) -> list[str]:
    """The messages in `data`, each in pipe notation without 8, 9 and 10."""
    messages = []
    while data:
        end = data.index(b"\x01", data.index(b"\x0110=") + 1) + 1
        message, data = data[:end], data[end:]
        fields = message[:-1].decode("latin-1").split("\x01")
        assert fields[0].startswith("8="), message
        assert fields[1].startswith("9="), message
        messages.append("|".join(fields[2:-1]))
    return messages
