-- Shared token buckets, decided inside Redis: whatever one gateway tick asks of them is one call of this script.
--
-- limits/ledger.py is the same, function by function, in Python: change both, and tests/limits/test_ledger.py says so
-- when they differ. All numbers are whole and below 2^53, so a double counts them exactly; a product that grows beyond
-- is compared with a capacity below 2^53 and clamped, and rounding keeps order. x < 2^53 makes floor(x / y) exact too.
--
-- KEYS  one hash a bucket: level, as_of, plan = "version amount period burst", and n:<node> = "held expiry seq"
-- ARGV  msgpack of limits.store.Batch {terms of each key, asks, takes}; answers msgpack of limits.store.Answer

local SEQ_KEPT_US = 60000000 -- a lease's number outlives the lease, so that a late duplicate still finds it

local time = redis.call('TIME')
local clock = tonumber(time[1]) * 1000000 + tonumber(time[2])
local terms, asks, takes = unpack(cmsgpack.unpack(ARGV[1]))
local buckets = {}

local function set_plan(b, version, amount, period, burst)
  b.version, b.amount, b.period, b.burst = version, amount, period, burst
  b.milli, b.capacity = period / 1000, burst * period
end

-- What time brings, up to what is not out on leases: tokens that a node may still spend are not refilled (I1).
local function refill(b, at)
  if at > b.as_of then
    local room = b.capacity - b.out * b.milli
    b.level = math.max(0, math.min(b.level + (at - b.as_of) * b.amount, room))
    b.as_of = at
  end
end

-- An expired lease counts as spent (I4): up to its expiry it takes room, after that time refills the room.
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

-- Tokens survive a change of plan, rounded down to a thousandth and clamped: no change ever makes one.
local function retune(b, version, amount, period, burst)
  if version < b.version then
    return -- this node has not heard of the newer plan yet
  end
  if amount ~= b.amount or period ~= b.period or burst ~= b.burst then
    local level_milli = math.floor(b.level / b.milli)
    set_plan(b, version, amount, period, burst)
    b.level = math.max(0, math.min(level_milli * b.milli, b.capacity - b.out * b.milli))
  end
  b.version = version
end

local function read(key, b)
  local stored = redis.call('HGETALL', key)
  for i = 1, #stored, 2 do
    local name, value = stored[i], stored[i + 1]
    if name == 'level' then
      b.level = tonumber(value)
    elseif name == 'as_of' then
      b.as_of = tonumber(value)
    elseif name == 'plan' then
      local version, amount, period, burst = string.match(value, '(%d+) (%d+) (%d+) (%d+)')
      set_plan(b, tonumber(version), tonumber(amount), tonumber(period), tonumber(burst))
    else
      local held, expiry, seq = string.match(value, '(%d+) (%d+) (%d+)')
      local record = { held = tonumber(held), expiry = tonumber(expiry), seq = tonumber(seq) }
      b.nodes[string.sub(name, 3)] = record
      b.out = b.out + record.held
    end
  end
end

-- The bucket as it is now. What Redis has forgotten although the asking node knows it better (a flush, a restart, a
-- replica that lagged) counts as empty since the node saw it: lost writes admit nothing twice.
local function open(i)
  local version, amount, period, burst, seen, expires = unpack(terms[i])
  local b = { nodes = {}, touched = {}, out = 0 }
  read(KEYS[i], b)
  if not b.as_of then
    set_plan(b, version, amount, period, burst)
    b.level, b.as_of = b.capacity, clock
    if clock < expires then
      b.level, b.as_of = 0, seen
    end
  elseif b.as_of < seen then
    b.level, b.as_of = 0, seen
  end
  b.now = math.max(clock, b.as_of)
  expire(b)
  retune(b, version, amount, period, burst)
  buckets[i] = b
  return b
end

local function wait(b, cost_milli)
  local need = cost_milli * b.milli
  if need <= b.level then
    return 0
  elseif need > b.capacity then
    return -1
  end
  return b.as_of - clock + math.ceil((need - b.level) / b.amount)
end

-- What the node has spent leaves the record, what it returns counts only out of the record (I5), then it is granted
-- whole tokens: what it wants within its share, what it needs if that is there, or nothing.
local function lease(ask)
  local i, node, seq, left, back, refund, debt, want, need, ttl = unpack(ask)
  local b = buckets[i + 1] or open(i + 1)
  local record = b.nodes[node]
  if record and seq <= record.seq then
    return { -1, 0, 0 }
  end
  record = record or { held = 0 }
  local held = math.min(record.held, left + back)
  local returned = math.min(held, back)
  held = held - returned
  b.out = b.out - record.held + held
  b.level = math.min(b.level + (returned + refund) * b.milli, b.capacity - b.out * b.milli)
  b.level = math.max(0, b.level - debt * b.milli)
  local holders = 1
  for other, each in pairs(b.nodes) do
    if other ~= node and each.held > 0 then
      holders = holders + 1
    end
  end
  local share = math.floor(b.burst / (2 * holders)) - math.ceil(held / 1000)
  local granted = math.min(math.max(need, math.min(want, share)), math.floor(b.level / b.period))
  local wait_us = 0
  if granted < need then
    granted, wait_us = 0, wait(b, need * 1000)
  end
  b.level = b.level - granted * b.period
  b.out = b.out + granted * 1000
  b.nodes[node] = { held = held + granted * 1000, expiry = b.now + ttl, seq = seq }
  b.touched[node] = true
  return { granted, wait_us, held + granted * 1000 }
end

-- All levels are asked before any is debited: either every one pays, or none.
local function take(request)
  local cost_milli, longest, binds = request[1], 0, 0
  for position = 2, #request do
    local i = request[position] + 1
    local wait_us = wait(buckets[i] or open(i), cost_milli)
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

-- A bucket may be forgotten once it would be full without any lease; rounded up, because a TTL of 0 deletes at once.
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
      fields[#fields + 1] = string.format('%.0f %.0f %.0f', record.held, record.expiry, record.seq)
    end
  end
  local plan = string.format('%.0f %.0f %.0f %.0f', b.version, b.amount, b.period, b.burst)
  redis.call('HSET', key, 'level', b.level, 'as_of', b.as_of, 'plan', plan, unpack(fields))
  if #gone > 0 then
    redis.call('HDEL', key, unpack(gone))
  end
  local full_us = math.ceil((b.capacity - b.level) / b.amount)
  local ttl_ms = math.ceil((latest - clock + full_us) / 1000) + 1
  redis.call('PEXPIRE', key, ttl_ms)
  return { b.as_of, clock + ttl_ms * 1000, math.floor(b.level / b.milli), b.out }
end

local granted, taken, states = {}, {}, {}
for number, ask in ipairs(asks) do
  granted[number] = lease(ask)
end
for number, request in ipairs(takes) do
  taken[number] = take(request)
end
for i, key in ipairs(KEYS) do
  states[i] = write(key, buckets[i] or open(i))
end
return cmsgpack.pack({ clock, granted, taken, states })
