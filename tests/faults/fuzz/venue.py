"""The gateway that is attacked: its configuration, who may trade there, and how much memory it may take.

Time-outs are set short, so that what an attacker holds is given back within seconds of his leaving; retention is set
low, so that a run of a minute reaches its bounds. Everything else is as it is by default.
"""

import random
from pathlib import Path

import msgspec

from tests.faults.fuzz import bursts as fuzz_bursts
from tests.faults.fuzz import fix as fuzz_fix
from tests.faults.fuzz.attack import ACCOUNTS, BURSTS, DOORS, KINDS, MIXED, PLAIN, Door, Wave
from tests.faults.fuzz.strangers import BALANCER, CROWDS
from tests.support.certificates import make_certificates
from tests.support.server import GENEROUS, SESSIONS, free_ports
from tests.support.venue_rows import account_row, key_row, session_row

LEAVE_S = 6.0
"""After this long whatever the attackers held must be given back: the longest time-out of the configuration, twice."""

OPEN_FILES = 256
"""The limit of descriptors: a crowd of the attackers could use them all up."""

_BALANCERS = f'proxy_protocol_from = ["{BALANCER}/32"]\n'
_KNOBS_OF_DOORS = {
    "fix": "logon_timeout_s = 2\nlogout_timeout_s = 1",
    "ws": f"logon_timeout_s = 2\nheader_timeout_s = 2\nheartbeat_ms = 2000\n{_BALANCERS}",
}
_TLS_LISTENER = """
[[fix.listeners]]
name = "tls"
port = {port}
[fix.listeners.tls]
cert_file = "gate.pem"
key_file = "gate.key"
"""
_RETAINED = 10_000
EVENTS_KEPT = _RETAINED * (len(ACCOUNTS) + 3)  # by the attackers' accounts, the plain one and the two healthy ones
_MORE = """
[out]
max_age_ms = 2000
[stream]
retain_events = {retained}
[core]
dedupe_ids = 4096
[venue]
drain_ms = 2000
[journal]
durability = "{durability}"
"""
# Every second attacker trades under the limits of an ordinary client, the others under hardly any.
_USUAL = """
[plans.usual]
orders = { rate = "100/s", burst = 200 }
cancels = { rate = "250/s", burst = 500 }
queries = { rate = "10/s", burst = 50 }
msgs = { rate = "200/s", burst = 400 }
logons = { rate = "100/s", burst = 100 }
"""
_WIDTHS = (1, 4, 12)  # attackers at a time: one bad client, a few, a crowd


class Settings(msgspec.Struct, frozen=True):
    """One run of the fuzzer.

    patience_s: an answer to a healthy session that takes longer is a violation. kinds: only these attacks; () = all.
    """

    seconds: float
    seed: int
    doors: tuple[Door, ...] = DOORS
    wave_s: float = 1.5
    only_wave: int | None = None
    patience_s: float = 1.0
    kinds: tuple[str, ...] = ()
    durability: str = "process"


def knobs(settings: Settings, directory: Path) -> tuple[int, dict[str, str]]:
    """The port for TLS, and the configuration as arguments of `tests.support.server.started`."""
    make_certificates(directory, "gate")
    tls_port = free_ports("tls")["tls"]
    rows = [_BALANCERS, _TLS_LISTENER.format(port=tls_port), SESSIONS]  # the first is the plain listener's
    identities = [fuzz_fix.Identity(name) for name in ACCOUNTS]
    for n, who in enumerate((*identities, *PLAIN), 11):
        account, auth, listener = (who.comp_id, "key", "") if who.key else ("PLAIN", "none", "fix")
        rows.append(session_row(n, who.comp_id, account, version=who.version, auth=auth, listener=listener))
    accounts = [account_row(n, name) + key_row(name) for n, name in enumerate((*ACCOUNTS, "PLAIN"), 11)]
    usual = ", ".join(f'{name} = "usual"' for name in ACCOUNTS[::2])
    limits = GENEROUS.replace("[assign]", f"{_USUAL}[assign]\naccounts = {{ {usual} }}")
    more = _MORE.format(durability=settings.durability, retained=_RETAINED) + "".join(accounts)
    return tls_port, {**_KNOBS_OF_DOORS, "sessions": "".join(rows), "more": more, "limits": limits}


def waves(settings: Settings, ports: dict[str, int]) -> list[Wave]:
    """Every kind of attack in an order of the seed's choosing, then again; each third wave is mixed."""
    rng = random.Random(settings.seed)
    doors = settings.doors
    kinds = [(door, kind) for door in doors for kind in kinds_of(door) if kind in (settings.kinds or KINDS[door])]
    rng.shuffle(kinds)
    planned = []
    count = max(int(settings.seconds / settings.wave_s) + 1, (settings.only_wave or 0) + 1)
    has_mixed = not settings.kinds or MIXED in settings.kinds
    for number in range(count):
        if has_mixed and (not kinds or number % 3 == 2):
            turn = number // 3 if kinds else number
            door, kind = doors[turn % len(doors)], MIXED
        else:
            door, kind = kinds[(number - number // 3 if has_mixed else number) % len(kinds)]
        width = rng.choice(_widths(kind))
        planned.append(Wave(settings.seed, number, door, kind, width, settings.wave_s, ports[door]))
    return planned if settings.only_wave is None else [planned[settings.only_wave]] * len(planned)


def _widths(kind: str) -> tuple[int, ...]:
    return fuzz_bursts.WIDTHS if kind in BURSTS else CROWDS.get(kind, _WIDTHS)


def kinds_of(door: Door) -> list[str]:
    """Names of the attacks on one door."""
    return sorted(KINDS[door])
