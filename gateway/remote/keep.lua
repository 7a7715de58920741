-- Puts a whole snapshot in the place of an older one, and lets go of the commands before it. A later one stays: of two
-- cores, the one that is behind may be done last.
--
-- KEYS: the new snapshot, the snapshot, the command stream, the notes of what was trimmed. ARGV: the position of the new
-- one. Returns 1, 0 = a later one stays.

local function parts(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(number)
end

local known = redis.call('HGET', KEYS[2], 'position')
if known then
  local ms, number = parts(known)
  local new_ms, new_number = parts(ARGV[1])
  if ms > new_ms or (ms == new_ms and number >= new_number) then
    redis.call('DEL', KEYS[1])
    return 0
  end
end
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('PERSIST', KEYS[2])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 1, '*', 'before', ARGV[1])
redis.call('XTRIM', KEYS[3], 'MINID', '~', ARGV[1])
return 1
