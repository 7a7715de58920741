"""Units of time. Everything counts in nanoseconds (`_ns`); settings and the wire have seconds, `_ms` and `_us`."""

from typing import Final

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
NS_PER_US: Final = 1_000
