-- Hands out ids for WebSocket sessions that no session has.
--
-- KEYS: the counter. ARGV: the prefix of all keys, how many, the lowest id, how many ids there are.
-- Returns the ids.

local found = {}
for _ = 1, tonumber(ARGV[4]) do
  if #found == tonumber(ARGV[2]) then
    break
  end
  local id = tonumber(ARGV[3]) + (redis.call('INCR', KEYS[1]) - 1) % tonumber(ARGV[4])
  if redis.call('EXISTS', ARGV[1] .. 'session:' .. id) == 0 then
    table.insert(found, id)
  end
end
return found
