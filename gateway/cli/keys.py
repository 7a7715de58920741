"""`penstock keys`: a new key for a client, and the lines of gateway.toml that admit it.

An Ed25519 private key goes only to the client; the gateway needs just the public half. Both sides hold an HMAC secret.
Files are created with mode 0600, and never replace an existing one.
"""

import base64
import json
import os
import re
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.cli.options import FILE

_SECRET_BYTES = 32


class KeyPair(msgspec.Struct, frozen=True):
    """A new Ed25519 key: PKCS#8 PEM, the same as its 32-byte seed, and the public half; the last two in base64."""

    private_pem: str
    seed_b64: str
    public_b64: str


def new_ed25519() -> KeyPair:
    """A new pair from the system's randomness."""
    key = Ed25519PrivateKey.generate()
    return KeyPair(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        base64.b64encode(key.private_bytes_raw()).decode(),
        base64.b64encode(key.public_key().public_bytes_raw()).decode(),
    )


def write_secret(path: Path, text: str) -> None:
    """Create a file that only its owner can read.

    Raises:
        OSError: it exists (nothing was changed), or cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


@click.group()
def keys() -> None:
    """Make keys for clients."""


def _like(max_length: int) -> Callable[[click.Context, click.Parameter, str], str]:
    def check(_: click.Context, __: click.Parameter, value: str) -> str:
        if not re.fullmatch(rf"[A-Za-z0-9._-]{{1,{max_length}}}", value):
            raise click.BadParameter("letters, digits, dots, dashes and underscores only")
        return value

    return check


_name = partial(click.option, show_default=True)
_id = _name("--id", "key_id", default="key-1", callback=_like(64), help="what the client sends as 553 or api_key")
_account = _name("--account", default="ACCOUNT", callback=_like(32), help="the account it acts for")
_out = click.option("--out", type=FILE, help="write the secret to this file (mode 0600) instead of printing it")


@keys.command()
@_id
@_account
@_out
def ed25519(key_id: str, account: str, out: Path | None) -> None:
    """A key pair: the client keeps the private key, the gateway gets the public one. Prefer this."""
    pair = new_ed25519()
    if out is None:
        click.echo(f"{pair.private_pem}# the same as 32 bytes, base64\n{pair.seed_b64}\n")
    else:
        _save(out, pair.private_pem)
    click.echo(_row(key_id, account, f'public_key = "{pair.public_b64}"'))


@keys.command()
@_id
@_account
@_out
def hmac(key_id: str, account: str, out: Path | None) -> None:
    """A shared secret (HMAC-SHA256), for clients that cannot sign with Ed25519."""
    secret = base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    if out is None:
        click.echo(f"# {_SECRET_BYTES} bytes, base64: for the client, and for the gateway's environment\n{secret}\n")
        words = "".join(char if char.isalnum() else "_" for char in key_id)
        where = f'secret_env = "PENSTOCK_{words.upper()}"'
    else:
        _save(out, secret + "\n")
        where = f"secret_file = {json.dumps(str(out.absolute()))}"
    click.echo(_row(key_id, account, f'type = "hmac-sha256"\n{where}'))


def _save(out: Path, text: str) -> None:
    try:
        write_secret(out, text)
    except FileExistsError:
        raise click.ClickException(f"{out} exists and is never overwritten") from None
    except OSError as error:
        raise click.ClickException(f"{out}: {error.strerror}") from error
    click.echo(f"# secret written to {out}")


def _row(key_id: str, account: str, material: str) -> str:
    return f'# for gateway.toml\n[[keys]]\nid = "{key_id}"\naccount = "{account}"\n{material}'
