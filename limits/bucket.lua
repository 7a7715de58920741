-- Shared token buckets, decided inside Redis: one call of this script carries all requests of one event loop turn.
--
-- tests/support/ledger.py is the same code in Python, function by function. Change both: test_bucket_lua.py fails when
-- they differ. All numbers are whole and below 2^53, so a double holds them exactly. A product above 2^53 is compared
-- with a capacity below it and clamped; rounding keeps their order. For x < 2^53, floor(x / y) is exact too.
--
-- KEYS  one hash per bucket: level, as_of, spare, plan = "load amount period burst", n:<node> = "held expiry seq paid"
-- ARGV  msgpack of limits.store.Batch {terms of each key, asks, takes}; answers msgpack of limits.store.Answer

local SEQ_KEPT_US = 60000000 -- a lease's number outlives the lease, so that a late duplicate is recognised
local MAX_UNITS = 9007199254740992 -- 2^53: the largest debt that can be counted

local time = redis.call('TIME')
local clock = tonumber(time[1]) * 1000000 + tonumber(time[2])
local terms, asks, takes = unpack(cmsgpack.unpack(ARGV[1]))
local buckets = {}

local function set_plan(b, load, amount, period, burst)
  b.load, b.amount, b.period, b.burst = load, amount, period, burst
  b.milli, b.capacity = period / 1000, burst * period
  b.fills = math.ceil(b.capacity / amount)
end

-- The most that the bucket may contain: tokens that a node may still spend are not refilled (I1).
local function room(b)
  return math.max(0, b.capacity - b.out * b.milli)
end

-- Adds the tokens for the elapsed time, up to the room. Time in which the bucket is full adds nothing and is spare.
local function refill(b, at)
  local elapsed = at - b.as_of
  if elapsed > 0 then
    local most = room(b)
    local lacks = math.ceil((most - b.level) / b.amount)
    if elapsed < lacks then
      b.level = b.level + elapsed * b.amount
    else
      b.level, b.spare = most, b.spare + elapsed - lacks
    end
    b.as_of = at
  end
end

-- An expired lease counts as spent (I4). It occupies room until its expiry; after that the room refills.
local function expire(b)
  while true do
    local first, holder
    for node, record in pairs(b.nodes) do
      if record.held > 0 and record.expiry <= b.now and (not first or record.expiry < first.expiry) then
        first, holder = record, node
      end
    end
    if not first then
      return refill(b, b.now)
    end
    refill(b, first.expiry)
    b.out = b.out - first.held
    first.held = 0
    b.touched[holder] = true
  end
end

-- Tokens survive a change of plan, rounded down to a thousandth and clamped. No change creates a token.
local function retune(b, load, amount, period, burst)
  if load < b.load then
    return -- another node loaded its limits later than this one
  end
  if amount ~= b.amount or period ~= b.period or burst ~= b.burst then
    local level_milli = math.floor(b.level / b.milli)
    set_plan(b, load, amount, period, burst)
    b.level = math.min(level_milli * b.milli, room(b))
  end
  b.load = load
end

local function read(key, b)
  local stored = redis.call('HGETALL', key)
  for i = 1, #stored, 2 do
    local name, value = stored[i], stored[i + 1]
    if name == 'level' then
      b.level = tonumber(value)
    elseif name == 'as_of' then
      b.as_of = tonumber(value)
    elseif name == 'spare' then
      b.spare = tonumber(value)
    elseif name == 'plan' then
      local load, amount, period, burst = string.match(value, '(%d+) (%d+) (%d+) (%d+)')
      set_plan(b, tonumber(load), tonumber(amount), tonumber(period), tonumber(burst))
    else
      local held, expiry, seq, paid = string.match(value, '(%d+) (%d+) (%d+) ?(%d*)')
      local record = { held = tonumber(held), expiry = tonumber(expiry), seq = tonumber(seq) }
      record.paid = tonumber(paid) or 0 -- a record of an older script has neither this number nor `spare`
      b.nodes[string.sub(name, 3)] = record
      b.out = b.out + record.held
    end
  end
end

-- When the bucket's time jumps, leases keep their distance from it: a node measures a lease from when it got it.
local function shift(b, by)
  if by ~= 0 then
    for node, record in pairs(b.nodes) do
      record.expiry = record.expiry + by
      b.touched[node] = true
    end
  end
end

-- After a clock that was ahead is corrected, a bucket is frozen for at most the time that it takes to fill. Its times
-- are moved back by the excess; nothing else in it changes. Within that time, no period refills the bucket twice.
local function pull_back(b)
  local ahead = b.as_of - clock - b.fills
  if ahead > 0 then
    b.as_of, b.spare, b.pulled, b.lives = b.as_of - ahead, b.spare - ahead, ahead, 'LT'
    shift(b, -ahead)
  end
end

-- The bucket as it is now. A bucket that Redis has lost is restored as the asking node last saw it. One that was lost
-- before its expiry (a flush, a restart, a lagging replica) is empty from then on: lost writes admit nothing twice.
-- A state older than the node's may also be one that was pulled back, so debts in it still count. What a node saw
-- while the clock was far ahead is ignored.
local function open(i)
  local load, amount, period, burst, seen, expires, spare, level_milli = unpack(terms[i])
  local b = { nodes = {}, touched = {}, out = 0, pulled = 0, lives = 'GT' }
  read(KEYS[i], b)
  if not b.as_of then
    b.lives = 'NX'
    set_plan(b, load, amount, period, burst)
    b.level, b.as_of, b.spare = b.capacity, clock, clock
    if seen > 0 and seen <= clock + b.fills then
      local most = clock < expires and 0 or b.capacity
      b.level, b.as_of, b.spare = math.min(level_milli * b.milli, most), seen, spare
    end
  else
    b.spare = b.spare or b.as_of
    pull_back(b)
    if b.as_of < seen and seen <= clock + b.fills then
      shift(b, math.max(0, seen - math.max(clock, b.as_of)))
      refill(b, seen)
      b.level, b.spare = math.min(b.level, level_milli * b.milli, 0), math.min(b.spare, spare)
    end
  end
  b.now = math.max(clock, b.as_of)
  expire(b)
  retune(b, load, amount, period, burst)
  buckets[i] = b
end

local function wait(b, cost_milli)
  local need = cost_milli * b.milli
  if need <= math.max(0, b.level) then
    return 0
  elseif need > b.capacity then
    return -1
  end
  return b.as_of - clock + math.ceil((need - b.level) / b.amount)
end

-- A node's debt is paid from the spare time since the node last saw the bucket, then from the level, which may go
-- below zero. A debt is never forgiven, and never paid twice.
local function settle(b, debt_milli, seen, spare)
  local debt = debt_milli * b.milli
  local used = seen > 0 and math.min(math.max(0, b.spare - spare), math.ceil(debt / b.amount)) or 0
  b.spare = b.spare - used
  b.level = math.max(b.level - math.max(0, debt - used * b.amount), b.capacity - MAX_UNITS)
end

-- Removes from the record what the node has spent. Returned tokens count only if they are on record (I5). Then it
-- grants whole tokens: what the node wants within its share, what it needs if available, or nothing.
local function lease(ask)
  local i, node, seq, left, back, refund, owed, paid, want, need, ttl = unpack(ask)
  local b = buckets[i + 1]
  local record = b.nodes[node]
  if record and seq <= record.seq then
    return { -1, 0, 0 }
  end
  record = record or { held = 0, paid = 0 }
  paid = math.max(paid, record.paid)
  if owed > paid then
    settle(b, owed - paid, terms[i + 1][5], terms[i + 1][7])
    paid = owed
  end
  local held = math.min(record.held, left + back)
  local returned = math.min(held, back)
  held = held - returned
  b.out = b.out - record.held + held
  b.level = math.min(b.level + (returned + refund) * b.milli, room(b))
  local holders = 1
  for other, each in pairs(b.nodes) do
    if other ~= node and each.held > 0 then
      holders = holders + 1
    end
  end
  local share = math.floor(b.burst / (2 * holders)) - math.ceil(held / 1000)
  local there = math.max(0, math.floor(b.level / b.period))
  local granted = math.min(math.max(need, math.min(want, share)), there)
  local wait_us = 0
  if granted < need then
    granted, wait_us = 0, wait(b, need * 1000)
  end
  b.level = b.level - granted * b.period
  b.out = b.out + granted * 1000
  b.nodes[node] = { held = held + granted * 1000, expiry = b.now + ttl, seq = seq, paid = paid }
  b.touched[node] = true
  return { granted, wait_us, held + granted * 1000 }
end

-- All levels are checked before any is debited: either all of them pay, or none.
local function take(request)
  local cost_milli, longest, binds = request[1], 0, 0
  for position = 2, #request do
    local wait_us = wait(buckets[request[position] + 1], cost_milli)
    if wait_us == -1 or (longest ~= -1 and wait_us > longest) then
      longest, binds = wait_us, position - 2
    end
  end
  if longest == 0 then
    for position = 2, #request do
      local b = buckets[request[position] + 1]
      b.level = b.level - cost_milli * b.milli
    end
  end
  return { longest, binds }
end

-- A bucket may expire when it would be full without any lease, under every plan that it has had. So a wider plan does
-- not erase what was spent under a narrower one. Rounded up, because a TTL of 0 deletes at once.
local function write(key, b)
  local latest, fields, gone = b.now, {}, {}
  for node, record in pairs(b.nodes) do
    if record.held > 0 and record.expiry > latest then
      latest = record.expiry
    end
    if record.held == 0 and record.expiry + SEQ_KEPT_US < b.now then
      gone[#gone + 1] = 'n:' .. node
    elseif b.touched[node] then
      fields[#fields + 1] = 'n:' .. node
      fields[#fields + 1] = string.format('%.0f %.0f %.0f %.0f', record.held, record.expiry, record.seq, record.paid)
    end
  end
  local plan = string.format('%.0f %.0f %.0f %.0f', b.load, b.amount, b.period, b.burst)
  redis.call('HSET', key, 'level', b.level, 'as_of', b.as_of, 'spare', b.spare, 'plan', plan, unpack(fields))
  if #gone > 0 then
    redis.call('HDEL', key, unpack(gone))
  end
  local full_us = math.ceil((b.capacity - b.level) / b.amount)
  local ttl_ms = math.ceil((latest - clock + full_us) / 1000) + 1
  redis.call('PEXPIRE', key, ttl_ms, b.lives)
  return { b.as_of, clock + ttl_ms * 1000, math.floor(b.level / b.milli), b.out, b.spare, b.pulled }
end

-- Everything is read and decided before anything is written, so a call that fails has changed nothing.
local granted, taken, states = {}, {}, {}
for i = 1, #KEYS do
  open(i)
end
for number, ask in ipairs(asks) do
  granted[number] = lease(ask)
end
for number, request in ipairs(takes) do
  taken[number] = take(request)
end
for i, key in ipairs(KEYS) do
  states[i] = write(key, buckets[i])
end
return cmsgpack.pack({ clock, granted, taken, states })
