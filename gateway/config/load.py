"""From a TOML file to a checked `Config`, or to every mistake in it with its line and what to write instead.

Nothing stops at the first mistake. Each field is checked against its Struct here; what must agree between fields is
checked in `gateway.config.check`. Paths in the configuration are relative to its own directory.
"""

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway.config import check, schema
from gateway.core.acceptance import MAX_AMOUNT
from limits import redis_url, reload
from limits.toml_reader import TableReader
from limits.toml_text import Finding, NoToml, Place, Problem, TomlLines, tables_in, text_in, why_no_text
from protocols.instruments import Instrument, Instruments, parse

CORE_REDIS_ENV = "PENSTOCK_CORE_REDIS"
NODE_ENV = "PENSTOCK_NODE"
MAX_BYTES = 4_194_304
MIN_SECRET_BYTES = 16
MAX_SECRET_FILE_BYTES = 65_536
MIN_TOKEN_CHARACTERS = 20


class ConfigErrors(Exception):
    """A configuration that cannot be used, with every mistake in it. Nothing was started."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        super().__init__("\n".join(f"{path}: {problem}" for problem in problems))
        self.path = path
        self.problems = problems


def load(path: Path) -> schema.Config:
    """The configuration in the TOML file `path`, completely checked.

    Raises:
        ConfigErrors: every mistake in it, with its line.
    """
    try:
        text = text_in(reload.read_bytes(path, MAX_BYTES), MAX_BYTES)
        tables = tables_in(text)
    except NoToml as error:
        raise ConfigErrors(path, [error.problem]) from None
    except OSError as error:
        raise ConfigErrors(path, [Problem(0, "", f"cannot be read: {error.strerror or error}")]) from None
    reader = TableReader(path.parent.absolute())
    settings = reader.read(schema.Config, tables)
    findings = [
        *reader.findings,
        *reader.settled(check.check(settings, reader.parts, tables)),
        *_check_secrets(settings, reader.parts),
        *_check_limits(settings, path.parent),
        *_check_store(settings),
        *_check_link(settings),
        *_check_cluster(settings),
    ]
    if findings:
        raise ConfigErrors(path, TomlLines(text).problems(findings))
    return settings


def build_instruments(settings: schema.Config) -> Instruments:
    """The instruments of a checked configuration, as whole numbers.

    The default of max_notional is the largest price x quantity that fits in 64 bits: no order can exceed it.
    """
    return Instruments(tuple(_instrument(row) for row in settings.instruments))


def read_secrets(settings: schema.Config) -> dict[str, bytes]:
    """The HMAC secrets of a checked configuration by key id, from environment and files.

    Raises:
        ValueError: one is missing or is not base64 of at least 16 bytes; the text never contains the secret.
    """
    return {row.id: _secret(row) for row in settings.keys if row.type == "hmac-sha256"}


def read_tokens(settings: schema.Config) -> dict[str, str]:
    """The operators' tokens of a checked configuration by name, from environment and files.

    Raises:
        ValueError: one is missing or too short; the text never contains the token.
    """
    return {row.name: _token(row) for row in settings.admin.tokens} if settings.admin is not None else {}


def _instrument(row: schema.InstrumentRow) -> Instrument:
    exact = {field: parse(getattr(row, field), exp) for field, (_, exp) in check.exponents(row).items()}
    exact["max_notional"] = exact["max_notional"] or MAX_AMOUNT
    return Instrument(**{**msgspec.structs.asdict(row), **exact})


def _check_secrets(settings: schema.Config, parts: Mapping[int, Place]) -> list[Finding]:
    keys = [row for row in settings.keys if row.type == "hmac-sha256" and bool(row.secret_env) != bool(row.secret_file)]
    found = [(parts[id(row)], check.why_not(_secret, row)) for row in keys]
    tokens = settings.admin.tokens if settings.admin is not None else ()
    found += [(parts[id(row)], check.why_not(_token, row)) for row in tokens]
    return [(place, why) for place, why in found if why]


def _check_limits(settings: schema.Config, directory: Path) -> list[Finding]:
    """Mistakes in the limits file, reported at the setting that names it."""
    name = settings.limits.file
    if not name:
        return []
    if not (directory / name).exists():
        return [(("limits", "file"), f'no file {name} beside this one; file = "" takes the built-in limits')]
    return [(("limits", "file"), f"{name}: {fault}") for fault in reload.load(directory / name).errors]


def core_url(settings: schema.Config) -> str:
    """Where the link to the core is: the environment wins, so that no password has to be in a file."""
    return _url_of(CORE_REDIS_ENV, settings.core.redis)[0]


def node_of(settings: schema.Config) -> str:
    """The gateway's name on the link: the environment wins, so that several gateways can have one file."""
    return os.environ.get(NODE_ENV) or settings.core.node


def _check_cluster(settings: schema.Config) -> list[Finding]:
    """What several gateways need to be one venue, and to be told apart."""
    found: list[Finding] = []
    if not re.fullmatch(schema.NODE_NAME, node_of(settings)):
        why = f"{NODE_ENV} in the environment is {node_of(settings)!r}: 1 to 64 letters, digits, dots, _ or -"
        found.append((("core", "node"), why))
    if settings.cluster is None:
        return found
    if settings.core.link == "embedded":
        why = 'several gateways need one core beside them: set core.link = "redis", and run `penstock core`'
        found.append((("cluster",), why))
    if not _url_of(redis_url.REDIS_ENV, settings.limits.redis)[0]:
        why = "each gateway would have the limits for itself: set limits.redis, where they share them"
        found.append((("cluster",), why))
    return found


def _check_link(settings: schema.Config) -> list[Finding]:
    """Mistakes in the URL of the link to the core, from the environment or the file."""
    if settings.core.link == "embedded":
        return []
    url, source = _url_of(CORE_REDIS_ENV, settings.core.redis)
    why = redis_url.why_not(url) if url else f'link = "redis" needs its URL here, or in {CORE_REDIS_ENV}'
    return [(("core", "redis"), f"{source}{why}")] if why else []


def _check_store(settings: schema.Config) -> list[Finding]:
    """Mistakes in the URL of the store of limits, from the environment or the file."""
    url, source = _url_of(redis_url.REDIS_ENV, settings.limits.redis)
    why = redis_url.why_not(url) if url else ""
    return [(("limits", "redis"), f"{source}{why}")] if why else []


def _url_of(variable: str, setting: str) -> tuple[str, str]:
    """The URL, from this environment variable or else as it is set, and how a mistake in it begins."""
    url = os.environ.get(variable)
    return (url, f"{variable} in the environment ") if url else (setting, "")


def _from_outside(variable: str, path: str) -> tuple[str, str]:
    """(source, text) of an environment variable or, without one, a file.

    Raises:
        ValueError: it does not exist.
    """
    if variable:
        source, text = f"environment variable {variable}", os.environ.get(variable)
        if text is None:
            raise ValueError(f"{source} is not set")
        return source, text
    try:
        content = reload.read_bytes(path, MAX_SECRET_FILE_BYTES)
        if why := why_no_text(content):
            raise ValueError(f"{path}: {why}")
        return path, content.decode("ascii")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not ASCII text") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from None


def _token(row: schema.AdminToken) -> str:
    if bool(row.token_env) == bool(row.token_file):
        raise ValueError("name the token once: either token_env or token_file")
    source, text = _from_outside(row.token_env, row.token_file)
    token = text.strip()
    if len(token) < MIN_TOKEN_CHARACTERS or not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError(f"{source} does not hold {MIN_TOKEN_CHARACTERS} or more printable characters without a space")
    return token


def _secret(row: schema.Key) -> bytes:
    source, text = _from_outside(row.secret_env, row.secret_file)
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        raise ValueError(f"{source} does not hold base64") from None
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"{source} holds {len(secret)} bytes; a secret has at least {MIN_SECRET_BYTES}")
    return secret
