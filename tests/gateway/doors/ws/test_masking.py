"""Unmasking in place: the compiled function and the one of pure Python do the same."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.doors.ws.masking import mask_in_place
from protocols.ws import framing


@given(st.binary(min_size=4, max_size=4), st.binary(max_size=300))
def test_compiled_and_pure_masking_give_the_same_bytes(key: bytes, data: bytes) -> None:
    compiled, pure = bytearray(data), bytearray(data)
    mask_in_place(key, compiled)
    framing.mask_in_place(key, pure)
    assert compiled == pure == bytes(byte ^ key[at % 4] for at, byte in enumerate(data))


def test_the_installed_aiohttp_has_the_compiled_function() -> None:
    assert mask_in_place is not framing.mask_in_place
