-- now, lease ms, limit, member, its lease ms, how many lanes of privileged subjects, these (lane, room), then lanes (lane, room for others,
-- how many of it for the latest)
local now, lease, left, member = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local claimed, taken = {}, {}

local function take(lane, ids)
  for _, id in ipairs(ids) do
    local key = P .. 'delivery:' .. id
    leave(id, redis.call('HGET', key, 'owner'))
    redis.call('HSET', key, 'fence', fence_after(redis.call('HGET', key, 'fence')), 'owner', member)
    redis.call('SADD', P .. 'claims:' .. member, id)
    due(id, lane, now + lease)
    claimed[#claimed + 1] = redis.call('HGETALL', key)
  end
  left = left - #ids
  return #ids
end

local privileged = tonumber(ARGV[6])
local at = 7
for _ = 1, privileged do
  local lane, most = ARGV[at], math.min(tonumber(ARGV[at + 1]), left)
  at = at + 2
  if most > 0 then
    taken[lane] = take(lane, redis.call('ZRANGEBYSCORE', P .. 'privileged:' .. lane, '-inf', now, 'LIMIT', 0, most))
  end
end
while at <= #ARGV do
  local lane = ARGV[at]
  local most = math.min(tonumber(ARGV[at + 1]) - (taken[lane] or 0), left)
  local latest = math.min(tonumber(ARGV[at + 2]), most)
  at = at + 3
  if most > 0 then
    local key = P .. 'due:' .. lane
    local longest = most - latest
    local count = longest > 0 and take(lane, redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, longest)) or 0
    if latest > 0 and count == longest then
      count = count + take(lane, redis.call('ZREVRANGEBYSCORE', key, now, '-inf', 'LIMIT', 0, latest))
    end
    taken[lane] = (taken[lane] or 0) + count
  end
end
for lane in pairs(taken) do
  place(lane)
end
if claimed[1] then
  -- A store that was emptied knows nobody until the next beat; whoever dies before it would keep its claims to their end.
  local time = redis.call('TIME')
  redis.call('ZADD', P .. 'members', 'NX', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[5], member)
end
return claimed
