"""Unmasks clients' frames with aiohttp's compiled loop: an eighth of the cost of pure Python.

The loop is not part of aiohttp's documented interface. Where it is missing or has moved, pure Python does the same.
"""

from protocols.ws import framing

mask_in_place: framing.Mask
try:
    from aiohttp._websocket.helpers import websocket_mask as mask_in_place
except ImportError:
    mask_in_place = framing.mask_in_place
