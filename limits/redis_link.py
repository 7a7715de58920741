"""How we connect to Redis: alone or a cluster, with time-outs of ours, and never a repeat that we did not ask for."""

from typing import Any

import redis.asyncio as redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

_REDIRECTIONS = 5  # of one call

FAILURES = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What a call may end with that is the store's doing, or the network's. A cluster's own errors are no RedisError."""


def connect(url: str, connect_timeout_s: float, answer_timeout_s: float | None = None, cluster: bool = False) -> Any:
    """A client that never repeats a call by itself: redis-py's own retries block one for 4.67 s (measured).

    Nothing is sent before the first call. answer_timeout_s: None = whoever calls bounds the call as a whole.
    """
    options: dict[str, Any] = {
        "socket_timeout": answer_timeout_s,
        "socket_connect_timeout": connect_timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    if not cluster:
        return redis.Redis.from_url(url, **options)
    # While a slot moves its keys are sought here and there; that must not close the connections of everybody else.
    client: Any = RedisCluster.from_url(url, reinitialize_steps=0, **options)
    client.RedisClusterRequestTTL = _REDIRECTIONS
    return client


async def is_cluster(client: Any) -> bool:
    """Whether the server that `client` is connected to is one node of a cluster."""
    return bool((await client.info("cluster")).get("cluster_enabled"))
