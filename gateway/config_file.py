"""From a TOML file to a checked `Config`, or to every mistake in it with its line and what to write instead.

Nothing stops at the first mistake: what a Struct says about its fields is checked here field by field, what must agree
between them in `gateway.config_check`. Files that the configuration names are relative to its own directory.
"""

import base64
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gateway import config, config_check
from gateway.config_check import NO_NUMBER, Finding, Part
from gateway.config_fields import describe, nearest, rows_of, struct_of
from limits import redis_url, reload
from limits.places import Places
from protocols.instruments import Instrument, Instruments, parse

MAX_BYTES = 4_194_304
MIN_SECRET_BYTES = 16
MIN_TOKEN_CHARACTERS = 20
_ROW_HEADER = re.compile(r"[ \t]*\[\[[ \t]*([A-Za-z0-9_.\- \t]+?)[ \t]*\]\]")
_TOML_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_BAD = object()


class Problem(msgspec.Struct, frozen=True):
    """One mistake: the line it is on (0 = the file as a whole), the dotted place, what is wrong and what mends it."""

    line: int
    place: str
    text: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.place}: {self.text}" if self.place else f"{where}{self.text}"


class ConfigErrors(Exception):
    """A configuration that cannot be used, with every mistake in it. Nothing was started."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        super().__init__("\n".join(f"{path}: {problem}" for problem in problems))
        self.path = path
        self.problems = problems


def load(path: Path) -> config.Config:
    """The configuration in the TOML file `path`, checked whole.

    Raises:
        ConfigErrors: every mistake in it, with its place.
    """
    try:
        text = _read_text(path)
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _TOML_LINE.search(str(error))
        raise ConfigErrors(path, [Problem(int(found[1]) if found else 0, "", f"not TOML: {error}")]) from None
    except (OSError, ValueError) as error:
        raise ConfigErrors(path, [Problem(0, "", _reason(error))]) from None
    reader = _Reader(path.parent.absolute())
    settings = reader.read(config.Config, data, ())
    findings = list(reader.findings)
    if isinstance(settings, config.Config):
        findings += reader.settled(config_check.check(settings, reader.parts, data))
        findings += _check_secrets(settings, reader.parts)
        findings += _check_limits(settings, path.parent)
        findings += _check_store(settings)
    if findings or not isinstance(settings, config.Config):
        raise ConfigErrors(path, _placed(text, findings))
    return settings


def build_instruments(settings: config.Config) -> Instruments:
    """The instruments of a checked configuration, as whole numbers.

    Where no max_notional is set it is the largest price x quantity that fits in 64 bits: no order can exceed it.
    """
    return Instruments(tuple(_instrument(row) for row in settings.instruments))


def read_secrets(settings: config.Config) -> dict[str, bytes]:
    """The HMAC secrets of a checked configuration by key id, from environment and files.

    Raises:
        ValueError: one is missing or is no base64 of at least 16 bytes; the text never has the secret in it.
    """
    return {row.id: _secret(row) for row in settings.keys if row.type == "hmac-sha256"}


def read_tokens(settings: config.Config) -> dict[str, str]:
    """The operators' tokens of a checked configuration by name, from environment and files.

    Raises:
        ValueError: one is missing or too short; the text never has the token in it.
    """
    return {row.name: _token(row) for row in settings.admin.tokens} if settings.admin is not None else {}


def _instrument(row: config.InstrumentRow) -> Instrument:
    px, qty, quote = row.px_exp, row.qty_exp, row.px_exp + row.qty_exp
    return Instrument(
        id=row.id,
        symbol=row.symbol,
        base=row.base,
        quote=row.quote,
        px_exp=px,
        qty_exp=qty,
        tick=parse(row.tick, px),
        lot=parse(row.lot, qty),
        min_qty=parse(row.min_qty, qty),
        max_qty=parse(row.max_qty, qty),
        min_notional=parse(row.min_notional, quote),
        max_notional=parse(row.max_notional, quote) or config_check.MAX_NOTIONAL,
        band_low=parse(row.band_low, px),
        band_high=parse(row.band_high, px),
        session_bound=row.session_bound,
    )


class _Reader:
    """Reads tables into Structs. A field that is wrong is found and left at its default, so that reading can go on.

    One that has no default gets a stand-in, which no check may be told about: `settled` drops what it finds there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.findings: list[Finding] = []
        self.parts: dict[int, Part] = {}  # id of each Struct read -> where it stands
        self.stand_ins: set[Part] = set()

    def read(self, kind: type[msgspec.Struct], table: object, part: Part) -> object:
        """A `kind` made of `table`, _BAD when that is none."""
        if not isinstance(table, Mapping):
            self.findings.append((part, f"is {_shown(table)}, must be a table"))
            return _BAD
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for name in table.keys() - fields.keys():
            self.findings.append(((*part, name), f"no such knob{nearest(name, fields)}"))
        values: dict[str, object] = {}
        for name, field in fields.items():
            value = self._value(field.type, table[name], (*part, name)) if name in table else _BAD
            if value is not _BAD:
                values[name] = value
            elif field.required:
                values[name] = NO_NUMBER if describe(field.type).startswith("a whole number") else ""
                self.stand_ins.add((*part, name))
                if name not in table:
                    self.findings.append((part, f"{name} is missing: {describe(field.type)}"))
        struct = kind(**values)
        self.parts[id(struct)] = part
        return struct

    def settled(self, findings: Iterable[Finding]) -> list[Finding]:
        """Those of `findings` that are not about a stand-in."""
        return [(part, why) for part, why in findings if part not in self.stand_ins]

    def _value(self, kind: Any, value: object, part: Part) -> object:
        struct, row = struct_of(kind), rows_of(kind)
        if struct is not None:
            return self.read(struct, value, part)
        if row is not None:
            return self._rows(row, value, part)
        try:
            converted = msgspec.convert(value, kind)
        except msgspec.ValidationError:
            self.findings.append((part, f"is {_shown(value)}, must be {describe(kind)}"))
            return _BAD
        if isinstance(converted, str) and converted and str(part[-1]).endswith("_file"):
            return str(self._directory / converted)
        return converted

    def _rows(self, kind: type[msgspec.Struct], value: object, part: Part) -> object:
        if not isinstance(value, list):
            self.findings.append((part, f"is {_shown(value)}, must be [[{'.'.join(map(str, part))}]] tables"))
            return _BAD
        rows = (self.read(kind, row, (*part, number)) for number, row in enumerate(value, 1))
        return tuple(row for row in rows if row is not _BAD)


def _check_secrets(settings: config.Config, parts: Mapping[int, Part]) -> list[Finding]:
    findings: list[Finding] = []
    for row in settings.keys:
        if row.type == "hmac-sha256" and bool(row.secret_env) != bool(row.secret_file):
            try:
                _secret(row)
            except ValueError as error:
                findings.append((parts[id(row)], str(error)))
    for token in settings.admin.tokens if settings.admin is not None else ():
        try:
            _token(token)
        except ValueError as error:
            findings.append((parts[id(token)], str(error)))
    return findings


def _check_limits(settings: config.Config, directory: Path) -> list[Finding]:
    """Mistakes of the limits file, told at the knob that names it."""
    name = settings.limits.file
    if not name:
        return []
    if not (directory / name).exists():
        return [(("limits", "file"), f'no file {name} beside this one; file = "" takes the built-in limits')]
    return [(("limits", "file"), f"{name}: {fault}") for fault in reload.load(directory / name).errors]


def _check_store(settings: config.Config) -> list[Finding]:
    """Mistakes in the URL of the store of limits, of the environment or of the file."""
    by_environment = os.environ.get(redis_url.REDIS_ENV)
    url, source = (
        (by_environment, f"{redis_url.REDIS_ENV} in the environment ")
        if by_environment
        else (settings.limits.redis, "")
    )
    why = redis_url.why_not(url) if url else ""
    return [(("limits", "redis"), f"{source}{why}")] if why else []


def _from_outside(variable: str, path: str) -> tuple[str, str]:
    """(where it is from, the text) of what an environment variable or else a file holds.

    Raises:
        ValueError: it is not there.
    """
    if variable:
        source, text = f"environment variable {variable}", os.environ.get(variable)
        if text is None:
            raise ValueError(f"{source} is not set")
        return source, text
    try:
        content = Path(path).read_bytes()
        if why := reload.why_no_text(content):
            raise ValueError(why)
        return path, content.decode("ascii")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {_reason(error)}") from None


def _token(row: config.AdminToken) -> str:
    if bool(row.token_env) == bool(row.token_file):
        raise ValueError("name the token once: either token_env or token_file")
    source, text = _from_outside(row.token_env, row.token_file)
    token = text.strip()
    if len(token) < MIN_TOKEN_CHARACTERS or not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError(f"{source} does not hold {MIN_TOKEN_CHARACTERS} or more printable characters without a space")
    return token


def _secret(row: config.Key) -> bytes:
    source, text = _from_outside(row.secret_env, row.secret_file)
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        raise ValueError(f"{source} does not hold base64") from None
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"{source} holds {len(secret)} bytes; a secret has at least {MIN_SECRET_BYTES}")
    return secret


def _read_text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"over {MAX_BYTES} bytes")
    if why := reload.why_no_text(content):
        raise ValueError(why)
    return content.decode("utf-8")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)


def _placed(text: str, findings: list[Finding]) -> list[Problem]:
    """The findings with their lines, in the order of the file."""
    lines = _Lines(text)
    problems = {Problem(lines.line_of(part), _dotted(part), why): None for part, why in findings}
    return sorted(problems, key=lambda problem: problem.line)


class _Lines:
    """`limits.places`, which knows single tables, applied to one `[[row]]` at a time."""

    def __init__(self, text: str) -> None:
        self._whole = Places(text)
        self._rows: dict[tuple[str, int], tuple[int, Places]] = {}
        lines = text.split("\n")
        heads = [(number, found[1]) for number, line in enumerate(lines) if (found := _ROW_HEADER.match(line))]
        counts: dict[str, int] = {}
        ends = [*(start for start, _ in heads[1:]), len(lines)]
        for (start, name), end in zip(heads, ends, strict=False):
            counts[name] = counts.get(name, 0) + 1
            self._rows[name, counts[name]] = start, Places("\n".join(lines[start:end]))

    def line_of(self, part: Part) -> int:
        """The line of the place, or of the nearest thing around it that stands in the file."""
        names = tuple(str(step) for step in part if isinstance(step, str))
        for at, step in enumerate(part):
            if isinstance(step, int):
                start, places = self._rows.get((".".join(map(str, part[:at])), step), (0, self._whole))
                return start + places.line_of(names)
        return self._whole.line_of(names) if names else 1


def _dotted(part: Part) -> str:
    text = ""
    for step in part:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _shown(value: object) -> str:
    """A value of the file as an error names it: short, and never a control character."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else f"{value[:60]}...")
    if isinstance(value, Mapping):
        return "a table"
    return "a list" if isinstance(value, list) else str(value)[:60]
