-- Forgets a session that has ended for good, and its name.
--
-- KEYS: the session's row, its stream of sent messages, the gateway's sessions. ARGV: the prefix of all keys, the
-- session, its token.

local row = redis.call('HMGET', KEYS[1], 'token', 'ws')
if row[1] == ARGV[3] then
  if row[2] then
    local named = cmsgpack.unpack(row[2])
    local names = ARGV[1] .. 'names:' .. named[2]
    if redis.call('HGET', names, named[3]) == ARGV[2] then
      redis.call('HDEL', names, named[3])
    end
  end
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('SREM', KEYS[3], ARGV[2])
end
return 1
