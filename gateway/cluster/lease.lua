-- Begins, renews or ends a gateway's lease of its name, and tells which gateways are dead.
--
-- KEYS: the gateway's row, the set of all gateways, the command stream. ARGV: the prefix of all keys, the gateway's
-- name, its boot, how long the lease is in ms, and what to do: "begin" takes the name, also from a process whose lease is
-- over; "renew"; "end" = the process ends in good order, and its clients were asked to go elsewhere.
--
-- A dead gateway without sessions is forgotten: at once if it ended in good order, else after a minute. It may only have
-- been cut off, and goes on.
--
-- Returns {"ok", for each dead gateway that owns sessions its name and 1 if it ended in good order ...}, to begin also
-- the gateway itself if a process before this one left sessions; {"taken", ms until the lease is over}; {"gone"} as
-- commit.lua.

local base, name, boot, wish = ARGV[1], ARGV[2], ARGV[3], ARGV[5]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local row = redis.call('HMGET', KEYS[1], 'boot', 'until', 'is_planned')
if row[1] ~= boot then
  if wish ~= 'begin' then
    return {'gone'}
  end
  local left = row[2] and tonumber(row[2]) - now or 0
  if left > 0 then
    return {'taken', left}
  end
  redis.call('HSET', KEYS[1], 'boot', boot, 'commit', 0, 'is_planned', '0')
  redis.call('SADD', KEYS[2], name)
end
if wish == 'end' then
  redis.call('HSET', KEYS[1], 'until', '0', 'is_planned', '1')
  return {'ok'}
end
redis.call('HSET', KEYS[1], 'until', string.format('%d', now + ARGV[4]))

local told = {'ok'}
local forgotten = now - 60000
if wish == 'begin' and redis.call('EXISTS', base .. 'owned:' .. name) == 1 then
  table.insert(told, name)
  table.insert(told, row[3] or '0')
end
for _, other in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local known = redis.call('HMGET', base .. 'gateway:' .. other, 'until', 'is_planned')
  local until_ms = tonumber(known[1] or '0')
  if other ~= name and until_ms <= now then
    if redis.call('EXISTS', base .. 'owned:' .. other) == 1 then
      table.insert(told, other)
      table.insert(told, known[2] or '0')
    elseif until_ms <= forgotten then
      redis.call('SREM', KEYS[2], other)
      redis.call('DEL', base .. 'gateway:' .. other)
      redis.call('XADD', KEYS[3], '*', 'node', other, 'bye', '1')
    end
  end
end
return told
