-- Begins or renews a gateway's lease of its name, and tells which gateways are dead.
--
-- KEYS: the gateway's row, the set of all gateways, the command stream. ARGV: the prefix of all keys, the gateway's name, its boot, how long
-- the lease is in ms, and 1 to begin: then the name may be taken from a process whose lease is over.
--
-- Returns {"ok", name of each dead gateway that owns sessions ...}, to begin also the name itself if a process before
-- this one left sessions; {"taken", ms until its lease is over}; {"gone"} as commit.lua.

local base, name, boot = ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local row = redis.call('HMGET', KEYS[1], 'boot', 'until')
if row[1] ~= boot then
  if ARGV[5] ~= '1' then
    return {'gone'}
  end
  local left = row[2] and tonumber(row[2]) - now or 0
  if left > 0 then
    return {'taken', left}
  end
  redis.call('HSET', KEYS[1], 'boot', boot, 'commit', 0)
  redis.call('SADD', KEYS[2], name)
end
redis.call('HSET', KEYS[1], 'until', string.format('%d', now + ARGV[4]))

local told = {'ok'}
for _, other in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local has_sessions = redis.call('EXISTS', base .. 'owned:' .. other) == 1
  if other == name then
    if ARGV[5] == '1' and has_sessions then
      table.insert(told, other)
    end
  else
    local until_ms = redis.call('HGET', base .. 'gateway:' .. other, 'until')
    if not until_ms or tonumber(until_ms) <= now then
      if has_sessions then
        table.insert(told, other)
      else
        redis.call('SREM', KEYS[2], other)
        redis.call('DEL', base .. 'gateway:' .. other)
        redis.call('XADD', KEYS[3], '*', 'node', other, 'bye', '1')
      end
    end
  end
end
return told
