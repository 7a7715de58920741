"""Replays recorded traffic against a policy, to show which messages it would have refused.

Recorded traffic is JSON lines {"at_ns", "account", "session", "message", "instrument"}, in order of time. Each message
is decided at its recorded time, as by one node. Several nodes admit no more than one. Pure.
"""

from collections.abc import Iterable

import msgspec

from limits.bucket import MILLI
from limits.local import LocalLimiter
from limits.policy import Policy


class Recorded(msgspec.Struct, frozen=True):
    """One received message. message: its wire name. instrument: 0 = none."""

    at_ns: int
    account: str
    session: str
    message: str
    instrument: int = 0


class Outcome(msgspec.Struct):
    """The outcome of one account's messages in one bucket. longest_wait_us: the longest wait in a refusal."""

    admitted: int = 0
    refused: int = 0
    shadow_refused: int = 0
    longest_wait_us: int = 0


def replay(policy: Policy, lines: Iterable[bytes]) -> dict[tuple[str, str], Outcome]:
    """(account, bucket) -> outcome, by name.

    Raises:
        ValueError: a line is not recorded traffic; the text gives its number.
    """
    limiter, decode = LocalLimiter(policy), msgspec.json.Decoder(Recorded).decode
    outcomes: dict[tuple[str, str], Outcome] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                recorded = decode(line)
            except msgspec.MsgspecError as error:
                raise ValueError(f"line {number}: {error}") from None
            _decide(limiter, recorded, outcomes)
    return dict(sorted(outcomes.items()))


def _decide(limiter: LocalLimiter, recorded: Recorded, outcomes: dict[tuple[str, str], Outcome]) -> None:
    """Charge one message as the order path does: `msgs` unless it is a cancel, then its own bucket."""
    charged = limiter.policy.cost(recorded.message)
    charges = [] if charged is not None and charged[0] in ("cancels", "logons") else [("msgs", MILLI)]
    if charged is not None and charged[0] != "msgs":
        charges.append(charged)
    path = limiter.open(recorded.account, recorded.session)
    for name, cost_milli in charges:
        shadow = limiter.counts[name].shadow_refused
        decision = limiter.take(path, name, cost_milli, recorded.at_ns, recorded.instrument)
        outcome = outcomes.setdefault((recorded.account, name), Outcome())
        outcome.shadow_refused += limiter.counts[name].shadow_refused - shadow
        if decision.allowed:
            outcome.admitted += 1
            continue
        outcome.refused += 1
        outcome.longest_wait_us = max(outcome.longest_wait_us, decision.wait_us)
        return
