"""What an error of Redis means: its reason in one word, whether it affects all calls, and whether anything was done.

An outage is reported with its reason. A single bucket that cannot be used must not look like an outage.
"""

import msgspec
from redis import exceptions

from limits.store import Trouble

_OF_A_BUCKET = frozenset(("moving", "old_number", "refused", "wrong_type"))
_MAX_TEXT = 200

_BY_KIND = (
    ((TimeoutError, exceptions.TimeoutError), "timeout"),
    ((exceptions.AuthenticationError, exceptions.AuthorizationError), "wrong_password"),
    (exceptions.AuthenticationWrongNumberOfArgsError, "wrong_password"),
    (exceptions.NoPermissionError, "no_permission"),
    (exceptions.OutOfMemoryError, "out_of_memory"),
    (exceptions.ReadOnlyError, "read_only"),
    (exceptions.BusyLoadingError, "loading"),
    (exceptions.MaxConnectionsError, "too_many_clients"),
    ((exceptions.AskError, exceptions.TryAgainError, exceptions.ClusterCrossSlotError), "moving"),
    ((exceptions.ClusterDownError, exceptions.RedisClusterException), "cluster_down"),
    (exceptions.ClusterError, "moving"),
    (msgspec.MsgspecError, "nonsense"),
)
_BY_CODE = {"BUSY": "busy", "MISCONF": "write_failed", "NOREPLICAS": "no_replicas", "WRONGTYPE": "wrong_type"}
_BY_WORDS = (
    ("max number of clients", "too_many_clients"),
    ("Authentication required", "wrong_password"),
    ("ACL failure in script", "no_permission"),
)
_KNOWN = {reason for _, reason in (*_BY_KIND, *_BY_CODE.items(), *_BY_WORDS)}
REASONS = sorted(_KNOWN | _OF_A_BUCKET | {"connection"})
"""All reasons, for the label of a metric."""


def trouble_of(error: BaseException) -> Trouble:
    """The error as it is reported. If the server itself refuses, nothing was done: it decides before it writes."""
    reason, text = _reason(error), str(error) or repr(error)
    if isinstance(error, exceptions.RedisError) and (code := getattr(error, "status_code", "")) and code not in text:
        text = f"{code} {text}"  # redis-py removes the code
    is_undone = isinstance(error, exceptions.ResponseError)
    return Trouble(reason, text[:_MAX_TEXT], is_undone)


def is_everybodys(trouble: Trouble) -> bool:
    """Whether every call would fail like this. A permission that is missing for one key is that key's trouble."""
    if trouble.reason == "no_permission":
        return "key" not in trouble.text
    return trouble.reason not in _OF_A_BUCKET


def _reason(error: BaseException) -> str:
    text = str(error)
    reasons = [reason for kind, reason in _BY_KIND if isinstance(error, kind)]
    reasons += [reason for words, reason in _BY_WORDS if words in text]
    if isinstance(error, exceptions.ResponseError):
        reasons.append(_BY_CODE.get(text.partition(" ")[0], "refused"))
    return next(iter(reasons), "connection")
