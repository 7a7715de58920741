-- The session of a key that has this name.
--
-- KEYS: the names of the key. ARGV: the name, the id that a new one shall have, how many names a key may have.
-- Returns its id, and 1 if it is new; {0} when the key has too many.

local found = redis.call('HGET', KEYS[1], ARGV[1])
if found then
  return {tonumber(found), 0}
end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then
  return {0}
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return {tonumber(ARGV[2]), 1}
