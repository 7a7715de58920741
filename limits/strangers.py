"""Names in a limits file that nobody has: a limit for a mistyped account limits nobody, without a word. Pure."""

from collections.abc import Collection, Iterator

from limits.places import Places, dotted
from limits.policy import Policy
from limits.policy_parse import Fault, nearest


def strangers(policy: Policy, text: str, accounts: Collection[str]) -> Iterator[Fault]:
    """A warning for each account of the file that is not configured. text: of the file; accounts: those that are."""
    paths: list[tuple[str, ...]] = [("assign", "accounts", account) for account in policy.accounts]
    paths += [("override", owner) for owner in policy.overrides]
    if not paths:
        return
    places = Places(text)
    for path in paths:
        account = path[-1].partition("/")[0]
        if account not in accounts:
            yield Fault(places.line_of(path), dotted(path), f"limits nobody: {unknown_account(account, accounts)}")


def unknown_account(account: str, accounts: Collection[str]) -> str:
    """That there is no such account, and which one was probably meant."""
    return f"no account is called {account[:64]}{nearest(account, accounts)}"
