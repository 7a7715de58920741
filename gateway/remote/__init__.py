"""A matching core in another process, reached through Redis Streams.

`docs/connect/core.md` is the contract, for a core in any language. Here are both ends of it: `RemoteCore` is the
gateway's, `CoreHost` that of our own engine. Both are pure; `link.py` and `core_process.py` connect them to Redis. Open
`core.py` first.
"""
