-- What one replica settles with all others in one tenant's quota, in one go.
--
-- KEYS: epoch, replicas, requests, tokens, the tenant's slots, all slots, answers, and bitmaps of the commits and of
-- the reservations that hold a slot.
-- ARGV: the question, in msgpack. The answer is msgpack too. See quota/exchange.py for both.

local asked = cmsgpack.unpack(ARGV[1])
if redis.call('GET', KEYS[1]) ~= asked.epoch then return cmsgpack.pack({over = true}) end

-- A question that comes again, because its answer was lost, is answered again and counts once.
local known = redis.call('HGET', KEYS[7], asked.tenant)
if known then
  known = cmsgpack.unpack(known)
  if known.sequence == asked.sequence then return cmsgpack.pack(known.answer) end
end

local BUCKET, WINDOW = 250000, 240
local MINUTE = BUCKET * WINDOW
local DAY_MS = 86400000
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local now_ms = math.floor(now / 1000)
local bucket = math.floor(now / BUCKET)
local replicas = math.max(1, redis.call('ZCARD', KEYS[2]))

local function text(number) return string.format('%.0f', number) end

-- The meters: quota/meter.py has the same in Python, and says what they are.

local function meter(key, rate)
  local stored = redis.call('HMGET', key, 'level', 'at', 'total', 'head', 'last')
  local m = {
    key = key, per_minute = rate[1], burst = rate[2], total = tonumber(stored[3] or 0),
    head = tonumber(stored[4] or bucket), last = tonumber(stored[5] or bucket), waits = {}
  }
  local passed = math.max(0, now - tonumber(stored[2] or now))
  m.level = math.max(0, tonumber(stored[1] or 0) - passed * m.per_minute / MINUTE)
  if m.last > bucket then
    -- The clock went back: all that the minute holds counts from now on.
    redis.call('DEL', key)
    m.head, m.last = bucket, bucket
    if m.total > 0 then redis.call('HSET', key, text(bucket), text(m.total)) end
  elseif m.last < bucket - WINDOW then
    redis.call('DEL', key)
    m.head, m.total = bucket, 0
  end
  while m.head < bucket - WINDOW do
    local field = text(m.head)
    m.total = m.total - tonumber(redis.call('HGET', key, field) or 0)
    redis.call('HDEL', key, field)
    m.head = m.head + 1
  end
  return m
end

local function count(m, at, amount)
  at = math.min(at, bucket)
  if amount <= 0 or at < bucket - WINDOW then return end
  redis.call('HINCRBY', m.key, text(at), text(amount))
  m.total = m.total + amount
  m.head, m.last = math.min(m.head, at), math.max(m.last, at)
end

local function charge(m, amount)
  if amount <= 0 then return end
  m.level = m.level + amount
  count(m, bucket, amount)
end

-- What was taken earlier, oldest first: of the burst it takes what has not refilled since.
local function charge_past(m, lots, column)
  local level, before = 0, bucket
  for index, lot in ipairs(lots) do
    local passed = index > 1 and math.max(0, lot[1] - before) or 0
    level = math.max(0, level - passed * m.per_minute / WINDOW) + lot[column]
    before = lot[1]
    count(m, lot[1], lot[column])
  end
  m.level = m.level + math.max(0, level - math.max(0, bucket - before) * m.per_minute / WINDOW)
end

local function refund(m, at, amount)
  if amount <= 0 then return end
  m.level = math.max(0, m.level - amount)
  if at < m.head then return end
  local returned = math.min(amount, tonumber(redis.call('HGET', m.key, text(at)) or 0))
  if returned <= 0 then return end
  redis.call('HINCRBY', m.key, text(at), text(-returned))
  m.total = m.total - returned
end

local function room(m)
  return math.floor(math.min(m.per_minute - m.total, m.burst - m.level))
end

local function wait_ms(m, amount)
  if m.waits[amount] then return m.waits[amount] end
  local wait = math.max(0, (m.level + amount - m.burst) * MINUTE / m.per_minute)
  local over, at = m.total + amount - m.per_minute, m.head
  while over > 0 and at <= bucket do
    over = over - tonumber(redis.call('HGET', m.key, text(at)) or 0)
    at = at + 1
    wait = math.max(wait, (at + WINDOW) * BUCKET - now)
  end
  m.waits[amount] = math.ceil(wait / 1000)
  return m.waits[amount]
end

local function state(m)
  local reset = m.level * MINUTE / m.per_minute
  if m.total > 0 then reset = math.max(reset, (m.last + WINDOW + 1) * BUCKET - now) end
  return {math.max(0, room(m)), math.ceil(reset / 1000), m.total}
end

local function save(m)
  redis.call('HSET', m.key, 'level', string.format('%.6f', m.level), 'at', text(now), 'total', text(m.total),
    'head', text(m.head), 'last', text(m.last))
  redis.call('PEXPIRE', m.key, text(math.min(DAY_MS, math.ceil((2 * MINUTE + m.level * MINUTE / m.per_minute) / 1000))))
end

-- The slots of open streams: each runs out by itself.

redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', text(now_ms))
redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', text(now_ms))

local function hold(slot, ttl_ms)
  redis.call('ZADD', KEYS[5], text(now_ms + ttl_ms), slot)
  redis.call('ZADD', KEYS[6], text(now_ms + ttl_ms), slot)
end

local function leave(slot)
  redis.call('ZREM', KEYS[5], slot)
  redis.call('ZREM', KEYS[6], slot)
end

local requests, tokens = meter(KEYS[3], asked.requests), meter(KEYS[4], asked.tokens)

-- A slot in use is held, unless its commit came first by way of another replica.

for index, slot in ipairs(asked.held) do
  if redis.call('GETBIT', KEYS[7 + #asked.commits + index], slot[1]) == 0 then hold(slot[2], asked.reservation_ms) end
end

-- First what makes room, then what takes it.

for _, lot in ipairs(asked.returned) do
  refund(requests, lot[1], lot[2])
  refund(tokens, lot[1], lot[3])
end
for _, slot in ipairs(asked.left) do leave(slot) end

local first = {}
for index, commit in ipairs(asked.commits) do
  local key = KEYS[7 + index]
  first[index] = redis.call('SETBIT', key, commit[1], 1) == 0
  redis.call('PEXPIRE', key, asked.reservation_ms)
  if first[index] then
    refund(tokens, commit[2], commit[3] - commit[4])
    charge(tokens, commit[4] - commit[3])
    leave(commit[5])
  end
end

charge_past(requests, asked.charged, 2)
charge_past(tokens, asked.charged, 3)

local used, all = redis.call('ZCARD', KEYS[5]), redis.call('ZCARD', KEYS[6])
local waiters = {}
for index, waiter in ipairs(asked.waiters) do
  local amount, slot = waiter[1], waiter[2]
  if room(requests) < 1 then
    waiters[index] = {1, wait_ms(requests, 1)}
  elseif room(tokens) < amount then
    waiters[index] = {2, wait_ms(tokens, amount)}
  elseif slot ~= '' and used >= asked.streams then
    waiters[index] = {3, 0}
  elseif slot ~= '' and all >= asked.all_streams then
    waiters[index] = {4, 0}
  else
    charge(requests, 1)
    charge(tokens, amount)
    if slot ~= '' then
      hold(slot, asked.reservation_ms)
      used, all = used + 1, all + 1
    end
    waiters[index] = {0, 0}
  end
end

-- Leases last: half of a fair share of what is left, so that the last of it is given out one by one.

local function lease(free, wanted)
  return math.max(0, math.min(wanted, math.floor(free / (2 * replicas))))
end

local leased = {lease(room(requests), asked.wanted[1]), lease(room(tokens), asked.wanted[2]), 0}
charge(requests, leased[1])
charge(tokens, leased[2])
leased[3] = lease(math.min(asked.streams - used, asked.all_streams - all), #asked.slots)
for index = 1, leased[3] do hold(asked.slots[index], asked.lease_ms) end

save(requests)
save(tokens)
redis.call('PEXPIRE', KEYS[5], asked.reservation_ms)
redis.call('PEXPIRE', KEYS[6], asked.reservation_ms)
local answer = {
  now_us = now, bucket = bucket, waiters = waiters, leased = leased, first = first,
  requests = state(requests), tokens = state(tokens), streams = used + leased[3], replicas = replicas,
  streams_left = math.max(0, math.min(asked.streams - used, asked.all_streams - all) - leased[3])
}
redis.call('HSET', KEYS[7], asked.tenant, cmsgpack.pack({sequence = asked.sequence, answer = answer}))
redis.call('PEXPIRE', KEYS[7], asked.reservation_ms)
return cmsgpack.pack(answer)
