-- Keeps an operator's change of mode, and tells all gateways.
--
-- KEYS: the modes, the control stream. ARGV: the gateway that makes it, the place, the change, 1 if open orders are
-- cancelled too, how many entries the control stream keeps, 1 if the place is normal again.

if ARGV[6] == '1' then
  redis.call('HDEL', KEYS[1], ARGV[2])
else
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 'mode', ARGV[3], 'kill', ARGV[4], 'by', ARGV[1])
return 1
