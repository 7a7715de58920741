-- Writes what one turn of a gateway has changed: rows of its sessions, the messages that they sent, and the commands
-- that it hands over. All of it, or nothing.
--
-- KEYS: the gateway's row, the command stream, then for each session its row and its stream of sent messages.
-- ARGV: the gateway's name, its boot, the number of the commit; how many messages of a session are kept; how
-- many hand-overs, and for each its field and its value; then for each session: its token, 1 if its numbers begin anew,
-- how many fields are set, and these; how many are deleted, and these; how many runs of messages, and for each the
-- first number, how many, and the messages.
--
-- Returns {"ok", id of each hand-over ...}; {"gone"} if another process has the gateway's name now; {"early"} if a
-- commit before this one is missing; {"fenced", for each session that has another owner its index, from 1, and "1" if its
-- client has asked for it there ...}.

local boot, number, kept = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local row = redis.call('HMGET', KEYS[1], 'boot', 'commit')
if row[1] ~= boot then
  return {'gone'}
end
local last = tonumber(row[2])
if number > last + 1 then
  return {'early'}
end

local at = 6
local hand_overs = {}
for index = 1, tonumber(ARGV[5]) do
  hand_overs[index] = {ARGV[at], ARGV[at + 1]}
  at = at + 2
end

local sessions = {}
local fenced = {'fenced'}
for index = 1, (#KEYS - 2) / 2 do
  local key = KEYS[1 + 2 * index]
  local row = redis.call('HMGET', key, 'token', 'for_client')
  local token = row[1]
  if token and token ~= ARGV[at] then
    table.insert(fenced, index)
    table.insert(fenced, row[2] or '1')
  end
  local session = {row = key, sent = KEYS[2 + 2 * index], token = ARGV[at], is_new = not token}
  session.is_reset = ARGV[at + 1] == '1'
  local count = tonumber(ARGV[at + 2])
  at = at + 3
  session.set, session.set_end = at, at + 2 * count - 1
  at = at + 2 * count
  count = tonumber(ARGV[at])
  session.del, session.del_end = at + 1, at + count
  at = at + 1 + count
  session.runs = tonumber(ARGV[at])
  session.run = at + 1
  at = at + 1 + 3 * session.runs
  sessions[index] = session
end
if #fenced > 1 then
  return fenced
end

if number == last + 1 then
  for _, session in ipairs(sessions) do
    if session.is_new then
      redis.call('HSET', session.row, 'token', session.token)
    end
    if session.is_reset then
      redis.call('DEL', session.sent)
    end
    if session.set_end > session.set then
      redis.call('HSET', session.row, unpack(ARGV, session.set, session.set_end))
    end
    if session.del_end >= session.del then
      redis.call('HDEL', session.row, unpack(ARGV, session.del, session.del_end))
    end
    for index = 0, session.runs - 1 do
      local run = session.run + 3 * index
      local id = ARGV[run] .. '-' .. ARGV[run + 1]
      redis.call('XADD', session.sent, 'MINID', '~', math.max(ARGV[run] - kept, 0), id, 'm', ARGV[run + 2])
    end
  end
  redis.call('HSET', KEYS[1], 'commit', number)
end

-- A commit that is sent again, because its answer was lost, hands over again: the core drops what it has executed.
local told = {'ok'}
for index, hand_over in ipairs(hand_overs) do
  told[index + 1] = redis.call('XADD', KEYS[2], '*', 'node', ARGV[1], hand_over[1], hand_over[2])
end
return told
