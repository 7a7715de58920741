"""Watches the limits file: a sound, newer one is handed out, anything else changes nothing and says why, once.

`poll` is called once a second and on SIGHUP. It looks at the resolved path each time, because a Kubernetes ConfigMap is
changed by swapping a symlink above the file, which watchers on the file itself miss. Replace a file by rename: a file
that is written in place may be seen half written.
"""

from errno import EINVAL
from functools import cache
from os import PathLike, stat
from os.path import realpath
from pathlib import Path
from stat import S_ISREG

import msgspec

from limits.policy import Policy
from limits.policy_parse import Fault, Parsed, parse

MAX_BYTES = 1_048_576  # a larger file is refused unread

_Stamp = tuple[str, int, int, int, int]


class Reloaded(msgspec.Struct, frozen=True):
    """A new policy to put in force, and what is odd about it."""

    policy: Policy
    warnings: tuple[Fault, ...]


class Refused(msgspec.Struct, frozen=True):
    """The file changed and cannot be used; the policy in force stays."""

    errors: tuple[Fault, ...]


@cache
def default_text() -> str:
    """The built-in limits file, with its comments."""
    return Path(__file__).with_name("default.toml").read_text(encoding="utf-8")


@cache
def built_in() -> Policy:
    """The policy that is in force where no file says otherwise."""
    policy = parse(default_text()).policy
    if policy is None:
        raise AssertionError("limits/default.toml is broken")
    return policy


def load(file: str | PathLike[str]) -> Parsed:
    """The policy in `file`, on top of the built-in one. A file that cannot be read is a `Parsed` with one error."""
    try:
        return _parsed(_read(file))
    except OSError as error:
        return _unreadable(error)


class Watcher:
    """Knows one file and the policy in force; `poll` says what became of the file since the last look."""

    def __init__(self, file: str | PathLike[str], current: Policy) -> None:
        self._file = file
        self._current = current
        self._stamp: _Stamp | None = None
        self._settled = False
        self._told: tuple[bytes, Refused] | None = None

    def poll(self) -> Reloaded | Refused | None:
        """Look once. None = nothing new: untouched, of equal content, or the same bad file as before. Never raises.

        After a Reloaded its policy counts as the one in force.
        """
        content = b""
        try:
            stamp: _Stamp | None = _stamp(self._file)
            if self._settled and stamp == self._stamp:
                return None
            content = _read(self._file)
            parsed = _parsed(content)
        except OSError as error:
            stamp, parsed = None, _unreadable(error)
        # A second write within one tick of the file system's clock leaves the same stamp: every change is read twice.
        self._settled, self._stamp = stamp == self._stamp, stamp
        outcome = self._judge(parsed)
        if not isinstance(outcome, Refused):
            self._told = None
        elif self._told == (content, outcome):
            return None
        else:
            self._told = content, outcome
        return outcome

    def _judge(self, parsed: Parsed) -> Reloaded | Refused | None:
        policy, current = parsed.policy, self._current
        if policy is None:
            return Refused(parsed.errors)
        if policy == current:
            return None
        if policy.version <= current.version:
            text = f"is {policy.version}; a change is taken when it is above {current.version}, the version in force"
            return Refused((Fault(parsed.version_line, "version", text),))
        self._current = policy
        return Reloaded(policy, parsed.warnings)


def _parsed(content: bytes) -> Parsed:
    if len(content) > MAX_BYTES:
        return Parsed(None, (Fault(1, "", f"larger than {MAX_BYTES} bytes"),))
    try:
        return parse(content.decode(), built_in())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Parsed(None, (Fault(line, "", "not UTF-8"),))


def _read(file: str | PathLike[str]) -> bytes:
    """At most MAX_BYTES + 1 of the file. A pipe or device is refused: reading one could wait for ever."""
    if not S_ISREG(stat(file).st_mode):
        raise OSError(EINVAL, "not a regular file")
    with open(file, "rb") as opened:
        return opened.read(MAX_BYTES + 1)


def _stamp(file: str | PathLike[str]) -> _Stamp:
    """What changes when the file is written, replaced, or reached through other symlinks."""
    real = realpath(file)
    status = stat(real)
    return real, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _unreadable(error: OSError) -> Parsed:
    return Parsed(None, (Fault(1, "", f"cannot be read: {error.strerror}"),))
