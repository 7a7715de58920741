"""What must agree between the parts of a configuration: references, unique ids, key material, safe listeners.

Each check yields (where, what is wrong and what to do) and continues after a mistake. Single fields were checked
before. Rows that could not be read are missing here, so names are looked up in the raw tables, not among the rows.
"""

import ssl
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_network
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

import msgspec

from gateway.config import schema
from gateway.config.addresses import is_loopback, parse_proxies
from gateway.config.key_material import MAX_TRIED, parse_expiry, parse_public_key, permission_for
from gateway.core.acceptance import MAX_AMOUNT
from limits.toml_fields import none_called
from limits.toml_reader import NO_NUMBER
from limits.toml_text import Finding, Place
from protocols.instruments import Inexact, parse, render

_Parts: TypeAlias = Mapping[int, Place]
_Row = TypeVar("_Row", bound=msgspec.Struct)
_Value = TypeVar("_Value")


def check(settings: schema.Config, parts: _Parts, raw: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything wrong with `settings`. parts: where each Struct is in the file, by identity. raw: the file as read."""
    yield from _doubles(settings, parts)
    yield from _doors(settings, parts)
    for session in settings.fix.sessions:
        yield from _under(parts[id(session)], _session(session, settings, raw))
    for key in settings.keys:
        yield from _under(parts[id(key)], _key(key, raw))
    for row in settings.instruments:
        if NO_NUMBER not in (row.px_exp, row.qty_exp):
            yield from _under(parts[id(row)], _instrument_faults(row))


def _under(part: Place, faults: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    for field, why in faults:
        yield (*part, field), why


def _doubles(settings: schema.Config, parts: _Parts) -> Iterator[Finding]:
    fix = settings.fix
    ours = settings.venue.comp_id
    tokens = settings.admin.tokens if settings.admin is not None else ()
    by_name, by_id = (settings.accounts, tokens, fix.listeners), (settings.accounts, settings.keys, fix.sessions)
    for field, tables in (
        ("name", by_name),
        ("id", (*by_id, settings.instruments)),
        ("symbol", (settings.instruments,)),
    ):
        for rows in tables:
            yield from _repeated(rows, field, attrgetter(field), parts)
    yield from _repeated(fix.sessions, "comp_id", lambda row: (row.comp_id, row.target_comp_id or ours), parts)


def _repeated(rows: Sequence[_Row], field: str, key: Callable[[_Row], Hashable], parts: _Parts) -> Iterator[Finding]:
    seen: dict[Hashable, Place] = {}
    for row in rows:
        part = parts[id(row)]
        first = seen.setdefault(key(row), part)
        if first is not part:
            why = f"{getattr(row, field)} is already used by entry {first[-1]}; each entry needs its own"
            yield (*part, field), why


def _doors(settings: schema.Config, parts: _Parts) -> Iterator[Finding]:
    fix, ws = settings.fix, settings.ws
    if not fix.listeners and ws is None:
        yield (), "no door: add [[fix.listeners]] or [ws]"
    if fix.sessions and not fix.listeners:
        yield ("fix",), "there are sessions and no [[fix.listeners]] for them"
    if fix.heart_bt_int_min_s > fix.heart_bt_int_max_s:
        yield ("fix", "heart_bt_int_min_s"), f"is above heart_bt_int_max_s, {fix.heart_bt_int_max_s}"
    for row in fix.listeners:
        yield from _under(parts[id(row)], _listener(row))
    if ws is not None:
        if ws.tls is None and not ws.insecure and not is_loopback(ws.host):
            why = f"{ws.host} is not a loopback address: add [ws.tls], or insecure = true behind a proxy"
            yield ("ws", "host"), why
        yield from _under(("ws", "tls"), _tls(ws.tls))
        for field in ("proxy_protocol_from", "forwarded_for_from"):
            yield from _under(("ws",), _proxies(field, getattr(ws, field)))
    yield from _addresses(settings, parts)


def _listener(row: schema.FixListener) -> Iterator[tuple[str, str]]:
    if row.tls is None and not row.insecure:
        yield "insecure", "plain TCP: add a tls table, or insecure = true for tests and private links"
    if row.tls is not None and row.insecure:
        yield "insecure", "true beside a tls table: choose one"
    for _, why in _tls(row.tls):
        yield "tls", why
    yield from _proxies("proxy_protocol_from", row.proxy_protocol_from)


def _proxies(field: str, texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
        if why := why_not(parse_proxies, text):
            yield field, f"{text}: {why}"


def _tls(tls: schema.Tls | None) -> Iterator[tuple[str, str]]:
    """Load the files as the listener will, so that the check finds what would fail at start."""
    if tls is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    except OSError as error:
        yield "cert_file", f"{tls.cert_file} with {tls.key_file}: {error.strerror or error}"
    if tls.client_ca_file:
        try:
            context.load_verify_locations(tls.client_ca_file)
        except OSError as error:
            yield "client_ca_file", f"{tls.client_ca_file}: {error.strerror or error}"


def _addresses(settings: schema.Config, parts: _Parts) -> Iterator[Finding]:
    """Find two listeners on one port: the start would fail with half of the doors open."""
    listeners: list[tuple[Place, str, int]] = [(parts[id(row)], row.host, row.port) for row in settings.fix.listeners]
    for name, door in (("ws", settings.ws), ("admin", settings.admin)):
        if door is not None:
            listeners.append(((name,), door.host, door.port))
    seen: dict[tuple[str, int], Place] = {}
    for part, host, port in listeners:
        if port and seen.setdefault((host, port), part) is not part:
            yield (*part, "port"), f"{port} on {host} is used by another listener"


def _names(raw: Mapping[str, Any], *path: str) -> list[str]:
    """The values of one field in all rows of an array of tables, as in the file."""
    node: Any = raw
    for step in path[:-1]:
        node = node.get(step, {}) if isinstance(node, Mapping) else {}
    rows = node if isinstance(node, list) else []
    return [row[path[-1]] for row in rows if isinstance(row, Mapping) and isinstance(row.get(path[-1]), str)]


def _session(row: schema.FixSessionRow, settings: schema.Config, raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    accounts, symbols = _names(raw, "accounts", "name"), _names(raw, "instruments", "symbol")
    listeners = {listener.name: listener for listener in settings.fix.listeners}
    if row.account not in accounts:
        yield "account", none_called("account", row.account, accounts)
    known = [*_names(raw, "fix", "listeners", "name"), *listeners]
    if row.listener and row.listener not in known:
        yield "listener", none_called("listener", row.listener, known)
    for symbol in row.instruments:
        if symbol not in symbols:
            yield "instruments", none_called("instrument", symbol, symbols)
    if row.auth == "key" and row.version == "FIX.4.2":
        yield from _candidates(row, settings)
    if row.refused_logon == "logout" and not row.reset_on_logon:
        why = "logout needs reset_on_logon = true: without it the two sides would disagree on the numbers"
        yield "refused_logon", why
    if row.cod_grace_ms > row.cod_grace_max_ms:
        yield "cod_grace_ms", f"is above cod_grace_max_ms, {row.cod_grace_max_ms}"
    if row.auth == "none":
        usable = [listeners[row.listener]] if row.listener in listeners else list(listeners.values())
        if not all(listener.insecure and is_loopback(listener.host) for listener in usable):
            why = "none is for insecure listeners on loopback addresses only: name one as its listener, or use key"
            yield "auth", why
        if row.on_duplicate == "takeover":
            yield "on_duplicate", "takeover needs auth = key: a newcomer without proof must not end a session"


def _candidates(row: schema.FixSessionRow, settings: schema.Config) -> Iterator[tuple[str, str]]:
    """FIX.4.2 cannot name a key, so each candidate is tried. Any stranger can cause that work, so there must be few."""
    fitting = [
        key.id
        for key in settings.keys
        if key.account == row.account
        and permission_for(row) in key.permissions
        and (not key.fix_sessions or row.comp_id in key.fix_sessions)
    ]
    if len(fitting) > MAX_TRIED:
        why = (
            f"FIX.4.2 cannot name its key, and {len(fitting)} keys may log on to {row.comp_id}; at most {MAX_TRIED} are"
        )
        yield "version", f"{why} tried. Restrict keys to other sessions with their fix_sessions, or remove expired ones"


def _key(row: schema.Key, raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    accounts, comp_ids = _names(raw, "accounts", "name"), _names(raw, "fix", "sessions", "comp_id")
    if row.account not in accounts:
        yield "account", none_called("account", row.account, accounts)
    for comp_id in row.fix_sessions:
        if comp_id not in comp_ids:
            yield "fix_sessions", none_called("FIX session", comp_id, comp_ids)
    for text in row.ips:
        if why := why_not(ip_network, text):
            yield "ips", f"{text}: {why}"
    if why := why_not(parse_expiry, row.expires):
        yield "expires", f"{row.expires}: {why}; write it like 2027-01-31T00:00:00Z"
    yield from _key_material(row)


def _key_material(row: schema.Key) -> Iterator[tuple[str, str]]:
    if row.type == "ed25519":
        if not row.public_key:
            yield "public_key", "is missing: `penstock keys ed25519` makes a pair"
        elif why := why_not(parse_public_key, row.public_key):
            yield "public_key", f"{why}; 32 bytes in base64, as `penstock keys ed25519` prints them"
        if row.secret_env or row.secret_file:
            yield "type", "ed25519 has no secret here: remove secret_env and secret_file"
    else:
        if bool(row.secret_env) == bool(row.secret_file):
            yield "secret_file", "name the secret once: either secret_env or secret_file"
        if row.public_key:
            yield "public_key", "is for ed25519: remove it, or change the type"


def why_not(reader: Callable[[_Value], object], value: _Value) -> str:
    """Why the reader refuses the value; "" if it takes it."""
    try:
        reader(value)
    except ValueError as error:
        return str(error)
    return ""


def exponents(row: schema.InstrumentRow) -> dict[str, tuple[str, int]]:
    """Each decimal field, the setting that says how many decimals it may have, and how many."""
    return {
        **dict.fromkeys(("tick", "band_low", "band_high"), ("px_exp", row.px_exp)),
        **dict.fromkeys(("lot", "min_qty", "max_qty"), ("qty_exp", row.qty_exp)),
        **dict.fromkeys(("min_notional", "max_notional"), ("px_exp + qty_exp", row.px_exp + row.qty_exp)),
    }


def _instrument_faults(row: schema.InstrumentRow) -> Iterator[tuple[str, str]]:
    """(field, what is wrong) of one instrument: inexact decimals, bounds that cross, a missing tick."""
    values: dict[str, int] = {}
    for field, (name, exp) in exponents(row).items():
        text = getattr(row, field)
        try:
            values[field] = parse(text, exp)
        except Inexact:
            yield field, f"{text} has more decimals than {name} = {exp} carries"
        except ValueError as error:
            yield field, f"{text}: {error}"
    yield from _instrument_bounds(values, row.px_exp + row.qty_exp)


def _instrument_bounds(values: Mapping[str, int], quote_exp: int) -> Iterator[tuple[str, str]]:
    """How the numbers must relate; one that could not be read is missing, and is not reported again."""
    for field in ("tick", "lot"):
        if values.get(field) == 0:
            yield field, "must be above zero"
    for field, step in (("band_low", "tick"), ("band_high", "tick"), ("min_qty", "lot"), ("max_qty", "lot")):
        if values.get(step) and values.get(field, 0) % values[step]:
            yield field, f"is not a multiple of the {step}"
    for low, high in (("min_qty", "max_qty"), ("min_notional", "max_notional"), ("band_low", "band_high")):
        if values.get(high) and values.get(low, 0) > values[high]:
            yield low, f"is above {high}"
    price, qty = (max(values.get(a, 0), values.get(b, 0)) for a, b in (("tick", "band_low"), ("lot", "min_qty")))
    most = values.get("max_notional") or MAX_AMOUNT
    if price * qty > most:
        why = f"the smallest order is worth more than {render(most, quote_exp)}: nothing could be traded"
        yield "max_notional", why
