-- The session of a key that has this name. All gateways are told of a new one.
--
-- KEYS: the names of the key, the control stream. ARGV: the name, the id that a new one shall have, how many names a key
-- may have, the key, how many entries the control stream keeps.
-- Returns its id, and 1 if it is new; {0} when the key has too many.

local found = redis.call('HGET', KEYS[1], ARGV[1])
if found then
  return {tonumber(found), 0}
end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then
  return {0}
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'named', ARGV[2], 'key', ARGV[4], 'name', ARGV[1])
return {tonumber(ARGV[2]), 1}
