-- Writes what one entry of the command stream has caused: an entry in each of some streams, all or, if another core has
-- been faster, none. KEYS: the streams. ARGV, for each: the id of the entry, how many entries the stream keeps, how many
-- fields follow, and these, name and value in turn.
--
-- Returns 0 when everything is there as it was to be written, whoever wrote it; the number of the first stream, from 1,
-- in which something else was written, when two cores differ.

local function is_there(key, id, fields)
  local found = redis.call('XRANGE', key, id, id)
  if #found == 0 then
    -- Trimmed, if all that is left is later. A stream that has an earlier entry never had this one.
    local first = redis.call('XRANGE', key, '-', id, 'COUNT', 1)
    return #first == 0
  end
  local there = found[1][2]
  if #there ~= #fields then
    return false
  end
  for at = 1, #fields do
    if there[at] ~= fields[at] then
      return false
    end
  end
  return true
end

local at = 1
for stream, key in ipairs(KEYS) do
  local id, kept, count = ARGV[at], ARGV[at + 1], 2 * tonumber(ARGV[at + 2])
  local fields = {unpack(ARGV, at + 3, at + 2 + count)}
  at = at + 3 + count
  local done = redis.pcall('XADD', key, 'MAXLEN', '~', kept, id, unpack(fields))
  if type(done) == 'table' and done.err then
    if not string.find(done.err, 'equal or smaller', 1, true) then
      return done
    end
    if not is_there(key, id, fields) then
      return stream
    end
  end
end
return 0
