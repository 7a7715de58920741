"""How many decisions a second the peers make on one Redis, 64 tasks each: `limits_shared.py` runs this in their own
environment, because PyPI's `limits` has the same name as ours. Prints JSON: name -> decisions a second.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

_TASKS = 64
_SECONDS = 2.0

Decide = Callable[[], Awaitable[object]]


async def per_second(decide: Decide) -> float:
    """Decisions a second with 64 tasks in flight."""
    done, until = 0, time.perf_counter() + _SECONDS

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < until:
            await decide()
            done += 1

    await decide()
    await asyncio.gather(*(one() for _ in range(_TASKS)))
    return done / _SECONDS


async def limits_package(url: str) -> Decide:
    from limits.aio.storage import RedisStorage
    from limits.aio.strategies import SlidingWindowCounterRateLimiter

    from limits import RateLimitItemPerSecond

    limiter = SlidingWindowCounterRateLimiter(RedisStorage(f"async+{url}"))
    item = RateLimitItemPerSecond(10_000_000)
    return lambda: limiter.hit(item, "bench")


async def throttled_package(url: str) -> Decide:
    from throttled.asyncio import RateLimiterType, Throttled, rate_limiter, store

    throttle = Throttled(
        key="bench",
        using=RateLimiterType.TOKEN_BUCKET.value,
        quota=rate_limiter.per_sec(1_000_000, burst=10_000_000),
        store=store.RedisStore(server=url),
    )
    return throttle.limit


async def pyrate_package(url: str) -> Decide:
    from pyrate_limiter import Duration, Limiter, Rate, RedisBucket
    from redis.asyncio import Redis

    bucket = await RedisBucket.init([Rate(10_000_000, Duration.SECOND)], Redis.from_url(url), "bench")
    limiter = Limiter(bucket)

    async def decide() -> object:
        return await limiter.try_acquire_async("bench", 1)

    return decide


async def main(url: str) -> None:
    """Measure each that is installed and works; say on stderr what does not."""
    rates = {}
    for name, make in (
        ("limits", limits_package),
        ("throttled-py", throttled_package),
        ("pyrate-limiter", pyrate_package),
    ):
        try:
            rates[name] = await per_second(await make(url))
        except Exception as error:
            print(f"{name}: {error!r}", file=sys.stderr)
    print(json.dumps(rates))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
