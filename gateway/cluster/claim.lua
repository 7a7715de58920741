-- Gives a session to a gateway, and tells it what the last owner wrote of it.
--
-- KEYS: the session's row, the gateway's row, the command stream, the control stream.
-- ARGV: the prefix of all keys, the gateway's name, its boot, the session, when it may be taken, how many entries the
-- control stream keeps, and a `join` for the core. When: "any"; "idle" = not from a living gateway where its client is
-- connected; "dead" = not from a living gateway.
--
-- The command stream gets the `join` in the same moment: the core answers it when it has executed all that the last owner
-- handed over, and no more can come.
--
-- Returns {"ok", token, id of the join, the last owner or "", the fields of the row ...}; {"busy", owner, ms until it is
-- dead unless it is heard of}; {"gone"} as commit.lua.

local base, name, session, condition = ARGV[1], ARGV[2], ARGV[4], ARGV[5]
if redis.call('HGET', KEYS[2], 'boot') ~= ARGV[3] then
  return {'gone'}
end

local found = redis.call('HMGET', KEYS[1], 'owner', 'token', 'link')
local owner = found[1] or ''
if condition ~= 'any' and owner ~= name then
  local left = 0
  if owner ~= '' then
    local time = redis.call('TIME')
    local until_ms = tonumber(redis.call('HGET', base .. 'gateway:' .. owner, 'until') or '0')
    left = math.max(until_ms - time[1] * 1000 - math.floor(time[2] / 1000), 0)
  end
  local told = {'busy', owner, string.format('%d', left)}
  local is_connected = found[3] and cmsgpack.unpack(found[3])[3]
  if left > 0 and (condition == 'dead' or is_connected) then
    return told
  end
end

local token = string.format('%d', (tonumber(found[2]) or 0) + 1)
local for_client = condition == 'dead' and '0' or '1'
redis.call('HSET', KEYS[1], 'owner', name, 'token', token, 'for_client', for_client)
if owner ~= name then
  if owner ~= '' then
    redis.call('SREM', base .. 'owned:' .. owner, session)
    local moved = {'moved', session, 'token', token, 'from', owner, 'for_client', for_client}
    redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[6], '*', unpack(moved))
  end
  redis.call('SADD', base .. 'owned:' .. name, session)
end
local join = redis.call('XADD', KEYS[3], '*', 'node', name, 'join', ARGV[7])
local told = {'ok', token, join, owner}
for _, each in ipairs(redis.call('HGETALL', KEYS[1])) do
  table.insert(told, each)
end
return told
