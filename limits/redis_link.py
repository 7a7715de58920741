"""Connects to Redis, a single server or a cluster, with explicit time-outs and without automatic retries."""

from typing import Any

import redis.asyncio as redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

_REDIRECTIONS = 5  # of one call

FAILURES = (RedisError, RedisClusterException, OSError, TimeoutError)
"""Errors of a call that the store or the network may cause. The errors of a cluster are not RedisErrors."""


def connect(url: str, connect_timeout_s: float, answer_timeout_s: float | None = None, cluster: bool = False) -> Any:
    """A client that never repeats a call by itself: the retries of redis-py block a call for 4.67 s (measured).

    Nothing is sent before the first call. answer_timeout_s: None = the caller bounds the call as a whole.
    """
    options: dict[str, Any] = {
        "socket_timeout": answer_timeout_s,
        "socket_connect_timeout": connect_timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    if not cluster:
        return redis.Redis.from_url(url, **options)
    # While a slot moves, its keys are looked up on several nodes. That must not close the connections of other calls.
    client: Any = RedisCluster.from_url(url, reinitialize_steps=0, **options)
    client.RedisClusterRequestTTL = _REDIRECTIONS
    return client


async def is_cluster(client: Any) -> bool:
    """Whether the server that `client` is connected to is one node of a cluster."""
    return bool((await client.info("cluster")).get("cluster_enabled"))
