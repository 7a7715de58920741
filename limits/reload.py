"""Watches the limits file: returns a valid newer policy; anything else changes nothing and is reported once.

`poll` is called often and on SIGHUP. It resolves the path each time, because a Kubernetes ConfigMap is changed by
swapping a symlink above the file, which a watcher of the file itself misses. A file that is written in place may be
seen half written. So it is read once it has stopped changing, and for 10 s the same version is taken again.
"""

from collections.abc import Collection
from errno import EINVAL
from functools import cache
from os import PathLike, stat
from os.path import realpath
from pathlib import Path
from stat import S_ISREG

import msgspec

from limits.policy import Policy
from limits.policy_parse import Parsed, parse
from limits.toml_text import NoToml, Problem, text_in

MAX_BYTES = 1_048_576  # a larger file is refused unread

STABLE_NS = 200_000_000
"""A file that has not changed for this long is assumed to be complete."""
_WRITTEN_NS = 10_000_000_000  # in this time it may still be written, so the same version is taken again

_Stamp = tuple[str, int, int, int, int]


class Reloaded(msgspec.Struct, frozen=True):
    """A new policy to put in force, and its warnings."""

    policy: Policy
    warnings: tuple[Problem, ...]


class Refused(msgspec.Struct, frozen=True):
    """The file changed and cannot be used. The policy in force stays."""

    errors: tuple[Problem, ...]


@cache
def default_text() -> str:
    """The built-in limits file, with its comments."""
    return Path(__file__).with_name("default.toml").read_text(encoding="utf-8")


@cache
def built_in() -> Policy:
    """The policy that is in force without a file."""
    policy = parse(default_text()).policy
    if policy is None:
        raise AssertionError("limits/default.toml is broken")
    return policy


def load(file: str | PathLike[str], accounts: Collection[str] | None = None) -> Parsed:
    """The policy in `file`, on top of the built-in one. A file that cannot be read is a `Parsed` with one error.

    accounts: the configured ones, to warn of unknown names; None = not known.
    """
    return _look_at(file, accounts)[1]


class Watcher:
    """Knows one file and the policy in force. `poll` returns what has changed since the last look."""

    def __init__(
        self, file: str | PathLike[str], current: Policy, now_ns: int, accounts: Collection[str] | None = None
    ) -> None:
        """now_ns: when `current` was read. accounts: see `load`."""
        self._file = file
        self._current = current
        self._taken_ns = now_ns
        self._accounts = accounts
        self._stamp: _Stamp | None = None
        self._since_ns = now_ns
        self._reads = 0  # of the file in its present state
        self._reported: tuple[bytes | None, Refused] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether the file has changed and is not read yet. Look again after STABLE_NS."""
        return self._reads == 0

    def poll(self, now_ns: int) -> Reloaded | Refused | None:
        """Look once. None = nothing new: the file is unchanged, of equal content, as bad as before, or changed just now
        and may still be written. Never raises.

        After a Reloaded, its policy is taken as the one in force.
        """
        stamp = _stamp_of(self._file)
        if stamp != self._stamp:
            self._stamp, self._since_ns, self._reads = stamp, now_ns, 0
        # A second write within the file system's clock resolution leaves the same stamp, so each change is read twice.
        if now_ns - self._since_ns < STABLE_NS or self._reads == 2:
            return None
        content, parsed = _look_at(self._file, self._accounts)
        self._reads = 1 if content is None else self._reads + 1  # stays 1 while it cannot be read
        outcome = self._judge(parsed, now_ns)
        reported, self._reported = self._reported, (content, outcome) if isinstance(outcome, Refused) else None
        return None if reported is not None and reported == self._reported else outcome

    def _judge(self, parsed: Parsed, now_ns: int) -> Reloaded | Refused | None:
        policy, current = parsed.policy, self._current
        if policy is None:
            return Refused(parsed.errors)
        if policy == current:
            return None
        warnings = parsed.warnings
        if policy.version == current.version and now_ns - self._taken_ns < _WRITTEN_NS:
            text = f"is {policy.version} again: the file was taken while it was written; replace it by a rename"
            warnings = (Problem(parsed.version_line, "version", text), *warnings)
        elif policy.version <= current.version:
            text = f"is {policy.version}; a change is taken when it is above {current.version}, the version in force"
            if policy.version == current.version:
                text = f"is {policy.version}, which is in force with other content: raise it to {policy.version + 1}"
            return Refused((Problem(parsed.version_line, "version", text),))
        else:
            self._taken_ns = now_ns
        self._current = policy
        return Reloaded(policy, warnings)


def _look_at(file: str | PathLike[str], accounts: Collection[str] | None) -> tuple[bytes | None, Parsed]:
    """The content of the file (None when it cannot be read), and the result of parsing it."""
    try:
        content = read_bytes(file, MAX_BYTES)
    except OSError as error:
        return None, Parsed(None, (Problem(0, "", f"cannot be read: {error.strerror}"),))
    try:
        return content, parse(text_in(content, MAX_BYTES), built_in(), accounts)
    except NoToml as error:
        return content, Parsed(None, (error.problem,))


def read_bytes(file: str | PathLike[str], max_bytes: int) -> bytes:
    """At most max_bytes + 1 of the file. A pipe or device is refused, because reading it could block for ever.

    Raises:
        OSError: it does not exist, cannot be read, or is not a regular file.
    """
    if not S_ISREG(stat(file).st_mode):
        raise OSError(EINVAL, "not a regular file")
    with open(file, "rb") as opened:
        return opened.read(max_bytes + 1)


def _stamp_of(file: str | PathLike[str]) -> _Stamp | None:
    """A value that changes when the file is written, replaced or reached by other symlinks; None without a file."""
    real = realpath(file)
    try:
        status = stat(real)
    except OSError:
        return None
    return real, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
