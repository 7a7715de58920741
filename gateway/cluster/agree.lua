-- Sees that all gateways mean the same by an id, and notes those that are new.
--
-- KEYS: what the ids mean. ARGV: name of an id and its meaning, in turn.
-- Returns {} or, for each that means something else, its name and that.

local differs = {}
for at = 1, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[1], ARGV[at], ARGV[at + 1]) == 0 then
    local known = redis.call('HGET', KEYS[1], ARGV[at])
    if known ~= ARGV[at + 1] then
      table.insert(differs, ARGV[at])
      table.insert(differs, known)
    end
  end
end
return differs
