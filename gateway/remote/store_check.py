"""Whether a Redis may hold a venue: it must keep what it was given. Pure."""

from collections.abc import Mapping

_POLICIES = ("noeviction",)
_PASSING = (
    "LOADING", "BUSY", "MASTERDOWN", "READONLY", "NOREPLICAS", "OOM", "MISCONF", "TRYAGAIN", "CLUSTERDOWN",
    "UNBLOCKED",
)  # fmt: skip


def why_unfit(info: Mapping[str, str]) -> str:
    """Why this Redis may not hold commands and events, and what to change; "" when it may. info: what INFO says."""
    policy = info.get("maxmemory_policy", "noeviction")
    if policy not in _POLICIES and info.get("maxmemory", "0") != "0":
        return f"this Redis evicts keys (maxmemory-policy {policy}), and so would lose orders: set it to noeviction"
    if info.get("aof_enabled") == "0":
        return "this Redis keeps no append-only file, and so would lose orders when it stops: set appendonly yes"
    if is_replica(info):
        return "this Redis is a replica: name the primary"
    return ""


def is_replica(info: Mapping[str, str]) -> bool:
    """Whether it copies another one: during a failover that passes."""
    return info.get("role") == "slave"


def history_of(info: Mapping[str, str]) -> str:
    """The name of this process' history: another process may lack what was written last, and so may one that was a
    replica for a while.
    """
    return f"{info['run_id']} {info.get('master_replid', '')}"


def is_passing(error: str) -> bool:
    """Whether a Redis that answers so took nothing, and may be itself again: it starts, or it has no room."""
    return error.startswith(_PASSING)


def info_of(text: bytes) -> dict[str, str]:
    """What INFO says, by name."""
    lines = (line.partition(":") for line in text.decode("utf-8", "replace").splitlines() if ":" in line)
    return {name: value for name, _, value in lines}
