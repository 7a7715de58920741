"""As much of Redis as gateways and cores use: hashes, sets, counters and streams, and their own Lua scripts.

The scripts are the product's; only what `redis.call` does is ours, and `test_redis_short.py` plays the same commands
against a real server. Time is the world's.
"""

import hashlib
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import lupa.lua51
import msgspec

from gateway.remote.keys import BEFORE_ALL, EntryId, id_text

Reply = Any
"""None, an int, bytes, a list of these, or one of the next two."""


class Refusal(Exception):
    """An error reply."""


class Status(bytes):
    """A reply like OK."""


_LAST: EntryId = ((1 << 64) - 1, (1 << 64) - 1)


class Stream:
    """Entries in order of their ids."""

    def __init__(self) -> None:
        self.rows: dict[EntryId, list[bytes]] = {}  # in order, as ids only rise
        self.latest = BEFORE_ALL
        self.added = 0

    def trim(self, is_old: Callable[[EntryId], bool]) -> int:
        """Let go of entries from the beginning."""
        before = len(self.rows)
        while self.rows and is_old(first := next(iter(self.rows))):
            del self.rows[first]
        return before - len(self.rows)


class Redis:
    """What is kept, and what commands do with it. on_added: is called with a stream's name once it has a new entry."""

    def __init__(self, time_ns: Callable[[], int]) -> None:
        self._time_ns = time_ns
        self.values: dict[bytes, Any] = {}
        self.on_added: Callable[[bytes], None] = lambda _: None
        self.history = 1  # processes that there were
        self._scripts: dict[bytes, Any] = {}
        self._lua = Lua(self.run)
        self._commands: dict[bytes, Callable[..., Reply]] = {
            name[1:].upper().encode(): getattr(self, name)
            for name in dir(type(self))
            if name[:1] == "_" and name[1:2].isalpha() and name[1:].isalnum() and name not in ("_lua", "_scripts")
        }

    def run(self, command: list[bytes]) -> Reply:
        """One command.

        Raises:
            Refusal: it is refused.
        """
        name = command[0].upper()
        if name not in self._commands:
            raise Refusal(f"ERR unknown command '{name.decode()}'")
        return self._commands[name](*command[1:])

    def _of(self, key: bytes, kind: type) -> Any:
        """What a key has, made if it is not there."""
        found = self.values.get(key)
        if found is None:
            found = self.values[key] = kind()
        if not isinstance(found, kind):
            raise Refusal("WRONGTYPE Operation against a key holding the wrong kind of value")
        return found

    def _seen(self, key: bytes, kind: type) -> Any:
        """What a key has; an empty one when it is not there."""
        return self._of(key, kind) if key in self.values else kind()

    def _let_go_of_empty(self, key: bytes) -> None:
        if not self.values.get(key):
            self.values.pop(key, None)

    # -- any kind ------------------------------------------------------------------------------------------------

    def _ping(self) -> Reply:
        return Status(b"PONG")

    def _info(self, *_: bytes) -> Reply:
        lines = f"run_id:{self.history:040x}", f"master_replid:{1:040x}", "role:master", "aof_enabled:1"
        return "\r\n".join((*lines, "maxmemory:0", "maxmemory_policy:noeviction", "")).encode()

    def _time(self) -> Reply:
        us = self._time_ns() // 1_000
        return [b"%d" % (us // 1_000_000), b"%d" % (us % 1_000_000)]

    def _exists(self, *keys: bytes) -> Reply:
        return sum(key in self.values for key in keys)

    def _del(self, *keys: bytes) -> Reply:
        return sum(self.values.pop(key, None) is not None for key in keys)

    def _rename(self, key: bytes, other: bytes) -> Reply:
        if key not in self.values:
            raise Refusal("ERR no such key")
        self.values[other] = self.values.pop(key)
        return Status(b"OK")

    def _expire(self, key: bytes, _: bytes) -> Reply:
        """So late that no world gets there."""
        return int(key in self.values)

    def _persist(self, key: bytes) -> Reply:
        return int(key in self.values)

    def _incr(self, key: bytes) -> Reply:
        value = int(self.values.get(key, b"0")) + 1
        self.values[key] = b"%d" % value
        return value

    # -- hashes and sets -----------------------------------------------------------------------------------------

    def _hset(self, key: bytes, *pairs: bytes) -> Reply:
        row, before = self._of(key, dict), len(self._seen(key, dict))
        row.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(row) - before

    def _hsetnx(self, key: bytes, field: bytes, value: bytes) -> Reply:
        row = self._of(key, dict)
        if field in row:
            return 0
        row[field] = value
        return 1

    def _hget(self, key: bytes, field: bytes) -> Reply:
        return self._seen(key, dict).get(field)

    def _hmget(self, key: bytes, *fields: bytes) -> Reply:
        row = self._seen(key, dict)
        return [row.get(field) for field in fields]

    def _hgetall(self, key: bytes) -> Reply:
        return [part for pair in self._seen(key, dict).items() for part in pair]

    def _hlen(self, key: bytes) -> Reply:
        return len(self._seen(key, dict))

    def _hdel(self, key: bytes, *fields: bytes) -> Reply:
        row = self._seen(key, dict)
        gone = sum(row.pop(field, None) is not None for field in fields)
        self._let_go_of_empty(key)
        return gone

    def _sadd(self, key: bytes, *members: bytes) -> Reply:
        known = self._of(key, set)
        fresh = set(members) - known
        known |= fresh
        return len(fresh)

    def _srem(self, key: bytes, *members: bytes) -> Reply:
        known = self._seen(key, set)
        gone = known & set(members)
        known -= gone
        self._let_go_of_empty(key)
        return len(gone)

    def _smembers(self, key: bytes) -> Reply:
        return sorted(self._seen(key, set))

    # -- streams -------------------------------------------------------------------------------------------------

    def _xadd(self, key: bytes, *words: bytes) -> Reply:
        stream, at, old = self._of(key, Stream), 0, None
        if words[0].upper() in (b"MAXLEN", b"MINID"):
            at = 3 if words[1] in (b"~", b"=") else 2
            old = words[0].upper(), words[at - 1], words[1] != b"~"
        entry = self._next_id(stream, words[at])
        stream.rows[entry] = list(words[at + 1 :])
        stream.latest, stream.added = entry, stream.added + 1
        if old is not None:
            self._trim(stream, *old)
        self.on_added(key)
        return id_text(entry).encode()

    def _next_id(self, stream: Stream, wanted: bytes) -> EntryId:
        if wanted == b"*":
            now_ms, (ms, number) = self._time_ns() // 1_000_000, stream.latest
            return (now_ms, 0) if now_ms > ms else (ms, number + 1)
        entry = _id_of(wanted, 0)
        if entry <= stream.latest:
            raise Refusal("ERR The ID specified in XADD is equal or smaller than the target stream top item")
        return entry

    def _trim(self, stream: Stream, how: bytes, bound: bytes, is_exact: bool) -> int:
        """By number exactly in any case, where a server keeps a little more: nobody may count on that."""
        if how == b"MINID":
            lowest = _id_of(bound, 0)
            return stream.trim(lambda entry: entry < lowest)
        most = int(bound)
        return stream.trim(lambda _: len(stream.rows) > most) if is_exact or len(stream.rows) > 2 * most else 0

    def _xtrim(self, key: bytes, *words: bytes) -> Reply:
        return self._trim(self._seen(key, Stream), words[0].upper(), words[-1], words[1] != b"~")

    def _xrange(self, key: bytes, low: bytes, high: bytes, *count: bytes) -> Reply:
        rows = self._seen(key, Stream).rows
        first, last = BEFORE_ALL if low == b"-" else _id_of(low, 0), _LAST if high == b"+" else _id_of(high, _LAST[1])
        most = int(count[1]) if count else 1 << 30
        if first == last:
            return _told(rows, [first] if first in rows else [])
        is_open, found = low[:1] == b"(", []
        for entry in rows:
            if entry > last or len(found) == most:
                break
            if entry > first or (entry == first and not is_open):
                found.append(entry)
        return _told(rows, found)

    def _xrevrange(self, key: bytes, high: bytes, low: bytes, *count: bytes) -> Reply:
        """Of the whole stream, as nobody asks for less."""
        assert (high, low) == (b"+", b"-")
        rows = self._seen(key, Stream).rows
        return _told(rows, islice(reversed(rows), int(count[1]) if count else None))

    def _xread(self, *words: bytes) -> Reply:
        """Without the waiting: None where there is nothing."""
        at = next(index for index, word in enumerate(words) if word.upper() == b"STREAMS") + 1
        count = next((int(words[index + 1]) for index, word in enumerate(words) if word.upper() == b"COUNT"), 1 << 30)
        half, told = (len(words) - at) // 2, []
        for key, after in zip(words[at : at + half], words[at + half :], strict=True):
            rows, last = self._seen(key, Stream).rows, _id_of(after, 0)
            if last < self._seen(key, Stream).latest and (found := _later(rows, last)):
                told.append([key, _told(rows, found[:count])])
        return told or None

    def _xinfo(self, _: bytes, key: bytes) -> Reply:
        if key not in self.values:
            raise Refusal("ERR no such key")
        stream = self.values[key]
        first = _told(stream.rows, list(stream.rows)[:1])
        return [
            b"length", len(stream.rows),
            b"last-generated-id", id_text(stream.latest).encode(),
            b"max-deleted-entry-id", id_text(BEFORE_ALL).encode(),
            b"entries-added", stream.added,
            b"first-entry", first[0] if first else None,
        ]  # fmt: skip

    # -- scripts -------------------------------------------------------------------------------------------------

    def _script(self, _: bytes, text: bytes) -> Reply:
        sha = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
        if sha not in self._scripts:
            self._scripts[sha] = self._lua.compile(text)
        return sha

    def _eval(self, text: bytes, *words: bytes) -> Reply:
        return self._evalsha(self._script(b"LOAD", text), *words)

    def _evalsha(self, sha: bytes, count: bytes, *words: bytes) -> Reply:
        if sha not in self._scripts:
            raise Refusal("NOSCRIPT No matching script. Please use EVAL.")
        return self._lua.call(self._scripts[sha], words[: int(count)], words[int(count) :])


class Lua:
    """Runs scripts as Redis does: `redis.call`, `redis.pcall`, `cmsgpack.unpack`."""

    def __init__(self, run: Callable[[list[bytes]], Reply]) -> None:
        self._run = run
        self._lua = lupa.lua51.LuaRuntime(encoding=None, register_eval=False, register_builtins=False)
        self._type = lupa.lua51.lua_type
        bind = self._lua.execute(
            b"""
            return function(run, decode)
              redis = {
                pcall = function(...)
                  return run({...})
                end,
                call = function(...)
                  local told = run({...})
                  if type(told) == 'table' and told.err then
                    error(told, 0)
                  end
                  return told
                end,
              }
              cmsgpack = {unpack = decode}
            end
            """
        )
        bind(self._called, lambda data: self._into(msgspec.msgpack.decode(data)))

    def compile(self, text: bytes) -> Any:
        return self._lua.execute(b"return function(KEYS, ARGV)\n" + text + b"\nend")

    def call(self, script: Any, keys: Iterable[bytes], words: Iterable[bytes]) -> Reply:
        table = self._lua.table_from
        try:
            return self._out(script(table(list(keys)), table(list(words))))
        except lupa.lua51.LuaError as error:
            raise Refusal(f"ERR {error}") from error

    def _called(self, words: Any) -> Any:
        command = [_argument(word) for word in words.values()]
        try:
            return self._into(self._run(command))
        except Refusal as refusal:
            return self._lua.table_from({b"err": str(refusal).encode()})

    def _into(self, reply: Any) -> Any:
        if reply is None:
            return False
        if isinstance(reply, Status):
            return self._lua.table_from({b"ok": bytes(reply)})
        if isinstance(reply, str):
            return reply.encode()
        if isinstance(reply, list):
            return self._lua.table_from([self._into(each) for each in reply])
        return reply

    def _out(self, told: Any) -> Reply:
        if told is None or told is False:
            return None
        if told is True:
            return 1
        if isinstance(told, int | float):
            return int(told)
        if self._type(told) == "table":
            if (err := told[b"err"]) is not None:
                raise Refusal(err.decode())
            if (ok := told[b"ok"]) is not None:
                return Status(ok)
            return [self._out(told[index + 1]) for index in range(len(told))]
        return told


def _argument(word: Any) -> bytes:
    """As Redis takes an argument of `redis.call`."""
    if isinstance(word, bytes):
        return word
    if isinstance(word, int | float) and not isinstance(word, bool):
        return b"%.17g" % word
    raise Refusal("ERR Lua redis lib command arguments must be strings or integers")


def _id_of(text: bytes, number: int) -> EntryId:
    """number: of an id without one."""
    ms, _, rest = text.lstrip(b"(").partition(b"-")
    return int(ms), int(rest) if rest else number


def _later(rows: dict[EntryId, list[bytes]], last: EntryId) -> list[EntryId]:
    """Ids behind this one, found from the end."""
    found = []
    for entry in reversed(rows):
        if entry <= last:
            break
        found.append(entry)
    return found[::-1]


def _told(rows: dict[EntryId, list[bytes]], entries: Iterable[EntryId]) -> Reply:
    return [[id_text(entry).encode(), list(rows[entry])] for entry in entries]
