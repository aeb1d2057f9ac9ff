-- Before every other script. KEYS[1] is the prefix of every key, and holds the hash tag that keeps them on one server.
-- Numbers go through redis.call as they are; in texts they need whole(), since Lua would round them to 14 digits.
local P = KEYS[1]

local function whole(number)
  return string.format('%.0f', number)
end

-- A newer relay has brought what is stored into a form that this one does not know: nothing is changed any more.
local form = redis.call('HMGET', P .. 'meta', 'layout', 'version', 'floor')
if tonumber(form[1] or 0) > LAYOUT then
  return redis.error_reply('NEWER layout ' .. form[1] .. ' of ' .. tostring(form[2]))
end

-- The fence of the next lease. One that is lost with a failover must not come again for another: its holder would speak for
-- both.
local function fence_after(fence)
  return whole(math.max(tonumber(fence) + 1, tonumber(form[3] or 0)))
end

-- Where a lane stands among the lanes is where its first delivery stands. What is owed for privileged subjects stands in a
-- list of its own as well.
local function place(lane)
  for dues, lanes in pairs({ ['due:'] = 'lanes', ['privileged:'] = 'privileged-lanes' }) do
    local first = redis.call('ZRANGE', P .. dues .. lane, 0, 0, 'WITHSCORES')
    if first[1] then
      redis.call('ZADD', P .. lanes, first[2], lane)
    else
      redis.call('ZREM', P .. lanes, lane)
    end
  end
end

local function due(id, lane, ms)
  redis.call('HSET', P .. 'delivery:' .. id, 'dueMs', ms)
  redis.call('ZADD', P .. 'due:' .. lane, ms, id)
  redis.call('ZADD', P .. 'privileged:' .. lane, 'XX', ms, id)
end

local function leave(id, owner)
  if owner ~= '' then
    redis.call('HSET', P .. 'delivery:' .. id, 'owner', '')
    redis.call('SREM', P .. 'claims:' .. owner, id)
  end
end

-- A line of evidence stands once, in the journal of its issuer; a containment has the places of its own.
local function add_evidence(issuer, containment, line)
  local at = redis.call('XADD', P .. 'journal:' .. issuer, '*', 'containment', containment, 'line', line)
  redis.call('RPUSH', P .. 'evidence:' .. issuer .. ' ' .. containment, at)
end

-- What a closed containment adds to its month, or takes from it, as countsOfClosed() in domain/month.ts. An older relay has
-- left one without a month, and its month does not have it.
local function count_closed(key, by)
  local row = redis.call('HMGET', key, 'month', 'issuer', 'deliveries', 'dismissed', 'eventMs', 'closedMs')
  if not row[1] or not row[6] then
    return
  end
  local months = P .. 'months:' .. row[2]
  local function add(what, count)
    -- Lua writes nothing taken away as -0, which is no integer to Redis.
    if count ~= 0 then
      redis.call('HINCRBY', months, row[1] .. ' ' .. what, by * count)
    end
  end
  local deliveries, dismissed = tonumber(row[3]), tonumber(row[4] or 0)
  local took = tonumber(row[6]) - tonumber(row[5])
  add('closed', 1)
  add('sessions', deliveries - dismissed)
  if deliveries > 0 and dismissed == 0 then
    add('told', 1)
    if took <= 1000 then
      add('withinSecond', 1)
    end
    if took <= 60000 then
      add('withinMinute', 1)
    end
    local longest = redis.call('HGET', months, row[1] .. ' longestMs')
    if took > tonumber(longest or 0) then
      redis.call('HSET', months, row[1] .. ' longestMs', whole(took))
    end
  end
end

-- Milliseconds from the event of each containment that a script has closed; its answer ends with them.
local closings = {}

local function close_if_ended(issuer, containment, at)
  local key = P .. 'containment:' .. issuer .. ' ' .. containment
  local row = redis.call('HMGET', key, 'open', 'closedMs', 'deliveries', 'eventMs', 'arrived', 'parts', 'lastEndMs',
    'subject')
  if row[1] == '0' and not row[2] and row[5] == row[6] then
    local since = whole(tonumber(at) - tonumber(row[4]))
    redis.call('HSET', key, 'closedMs', at)
    count_closed(key, 1)
    local past = math.max(tonumber(at), tonumber(row[7] or 0))
    redis.call('ZADD', P .. 'past:' .. issuer, past, containment)
    if row[8] then
      redis.call('ZADD', P .. 'named', past, issuer .. ' ' .. containment)
    end
    add_evidence(issuer, containment, '{"kind":"closed","atMs":' .. at .. ',"data":{"deliveries":' .. row[3]
      .. ',"ms_since_event":' .. since .. '}}')
    closings[#closings + 1] = since
  end
end

-- It is nobody's any more, and the identity provider is to be told.
local function finish(id, lane, issuer, containment, sid, at)
  redis.call('ZREM', P .. 'due:' .. lane, id)
  redis.call('ZREM', P .. 'privileged:' .. lane, id)
  redis.call('ZREM', P .. 'open-of:' .. lane, id)
  redis.call('ZREM', P .. 'created:' .. lane, id)
  redis.call('ZREM', P .. 'open:' .. issuer, id)
  redis.call('SREM', P .. 'session:' .. lane .. ' ' .. sid, id)
  redis.call('ZADD', P .. 'unreported:' .. issuer, at, id)
  redis.call('HINCRBY', P .. 'containment:' .. issuer .. ' ' .. containment, 'open', -1)
  close_if_ended(issuer, containment, at)
end

-- A claim of whoever is gone, or does not know of it: due at once, and its outcome counts no more.
local function free(member, ids)
  for _, id in ipairs(ids) do
    local key = P .. 'delivery:' .. id
    local row = redis.call('HMGET', key, 'owner', 'issuer', 'clientId')
    if row[1] == member then
      local lane = row[2] .. ' ' .. row[3]
      redis.call('HINCRBY', key, 'fence', 1)
      due(id, lane, 0)
      place(lane)
      leave(id, member)
    else
      redis.call('SREM', P .. 'claims:' .. member, id)
    end
  end
end

-- At most `most` of the claims of a process that is gone; how many are left.
local function free_all(member, most)
  free(member, redis.call('SRANDMEMBER', P .. 'claims:' .. member, most))
  return redis.call('SCARD', P .. 'claims:' .. member)
end

local function add_change(issuer, text)
  local seq = redis.call('INCR', P .. 'change-seq')
  redis.call('SADD', P .. 'issuers', issuer)
  redis.call('ZADD', P .. 'changes:' .. issuer, seq, whole(seq) .. ' ' .. text)
end
