"""Rows of a gateway.toml, of which every venue of the tests is made: instruments, accounts, keys, FIX sessions."""

import base64
import hashlib
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

BTC = """
[[instruments]]
id = 1
symbol = "BTC-USDT"
base = "BTC"
quote = "USDT"
px_exp = 2
qty_exp = 8
tick = "0.01"
lot = "0.00000001"
min_notional = "5"
band_low = "1000"
band_high = "1000000"
"""
ETH = """
[[instruments]]
id = 2
symbol = "ETH-USDT"
base = "ETH"
quote = "USDT"
px_exp = 2
qty_exp = 4
tick = "0.05"
lot = "0.001"
"""


def seed_of(account: str) -> bytes:
    """The private key of an account's API key `key-<account>`: made from its name, worth nothing elsewhere."""
    return hashlib.sha256(account.encode()).digest()


def public_key_of(account: str) -> str:
    """Its public half, as the configuration has it."""
    key = Ed25519PrivateKey.from_private_bytes(seed_of(account)).public_key()
    return base64.b64encode(key.public_bytes_raw()).decode()


def session_row(number: int, comp_id: str, account: str = "", **settings: str | int | bool) -> str:
    """A FIX session, of the account of its name unless another is given."""
    return _row("fix.sessions", id=number, comp_id=comp_id, account=account or comp_id, **settings)


def account_row(number: int, name: str) -> str:
    """An account that has no key yet."""
    return _row("accounts", id=number, name=name)


def key_row(account: str, key_id: str = "", public_key: str = "") -> str:
    """A key of the account: `key-<account>`, whose public half is `public_key_of` it, unless others are given."""
    key_id, public_key = key_id or f"key-{account}", public_key or public_key_of(account)
    return _row("keys", id=key_id, account=account, public_key=public_key)


def _row(table: str, **fields: str | int | bool) -> str:
    lines = (f"{name} = {json.dumps(value)}" for name, value in fields.items())
    return "\n".join((f"\n[[{table}]]", *lines, ""))
