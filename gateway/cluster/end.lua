-- Forgets a session that has ended for good.
--
-- KEYS: the session's row, its stream of sent messages, the gateway's sessions. ARGV: the session, its token.

if redis.call('HGET', KEYS[1], 'token') == ARGV[2] then
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('SREM', KEYS[3], ARGV[1])
end
return 1
