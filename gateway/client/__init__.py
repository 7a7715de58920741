"""The Python clients for both doors, and the simulated traders of the demo built on them.

`fix` and `ws` import none of the protocol rooms: what they and the gateway agree on is the published contract alone.
"""
