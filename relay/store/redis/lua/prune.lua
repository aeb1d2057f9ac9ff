-- now, ended before, limit, then the issuers whose evidence goes only when the security feed has told it. How many watermarks,
-- containments, deliveries, lines of evidence and changes were dropped.
local now, before, left = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local fed = {}
for n = 4, #ARGV do
  fed[ARGV[n]] = true
end
local containments, deliveries, evidence, changes = 0, 0, 0, 0

-- Whether the security feed has come to this place of the journal.
local function told(issuer, place)
  local at = redis.call('HGET', P .. 'security-feed:' .. issuer, 'at')
  if not at then
    return false
  end
  local ms, n = string.match(place, '^(%d+)-(%d+)$')
  local at_ms, at_n = string.match(at, '^(%d+)-(%d+)$')
  return tonumber(ms) < tonumber(at_ms) or (ms == at_ms and tonumber(n) <= tonumber(at_n))
end

local function drop_evidence(issuer, containment, list)
  local places = left > 0 and redis.call('LRANGE', list, 0, left - 1) or {}
  local journal = P .. 'journal:' .. issuer
  for _, place in ipairs(places) do
    local line = redis.call('XRANGE', journal, place, place)[1]
    -- Each event has left at least one line that names it.
    local jti = line and cjson.decode(line[2][4]).data.jti
    if jti then
      redis.call('DEL', P .. 'event:' .. issuer .. ' ' .. jti)
    end
    redis.call('XDEL', journal, place)
  end
  redis.call('LTRIM', list, #places, -1)
  evidence, left = evidence + #places, left - #places
end

local function drop_deliveries(issuer, ids)
  local some = redis.call('ZRANGEBYLEX', ids, '-', '+', 'LIMIT', 0, left)
  for _, id in ipairs(some) do
    local row = redis.call('HMGET', P .. 'delivery:' .. id, 'clientId', 'sid')
    -- An older relay has left it in this list.
    redis.call('SREM', P .. 'session:' .. issuer .. ' ' .. (row[1] or '') .. ' ' .. (row[2] or ''), id)
    redis.call('DEL', P .. 'delivery:' .. id)
    redis.call('ZREM', ids, id)
    redis.call('ZREM', P .. 'ids:' .. issuer, id)
    redis.call('ZREM', P .. 'unreported:' .. issuer, id)
  end
  deliveries, left = deliveries + #some, left - #some
end

local past = redis.call('ZRANGEBYSCORE', P .. 'watermark-ends', '-inf', '(' .. now, 'LIMIT', 0, left)
for _, name in ipairs(past) do
  local issuer, rest = string.match(name, '^(%S+) (.*)$')
  redis.call('ZREM', P .. 'watermarks:' .. issuer, rest)
  redis.call('HDEL', P .. 'watermark:' .. issuer, rest)
  redis.call('ZREM', P .. 'watermark-ends', name)
end
left = left - #past

local gone = 0
for _, lane in ipairs(redis.call('SMEMBERS', P .. 'unreachable')) do
  local at = P .. 'unreachable-at:' .. lane
  local ended = redis.call('ZRANGEBYSCORE', at, '-inf', '(' .. now, 'LIMIT', 0, left)
  if #ended > 0 then
    redis.call('ZREM', at, unpack(ended))
  end
  if redis.call('EXISTS', at) == 0 then
    redis.call('SREM', P .. 'unreachable', lane)
  end
  gone, left = gone + #ended, left - #ended
end

for _, issuer in ipairs(redis.call('SMEMBERS', P .. 'issuers')) do
  for _, change in ipairs(redis.call('ZRANGEBYSCORE', P .. 'changes:' .. issuer, '-inf', '+inf', 'LIMIT', 0, left)) do
    if cjson.decode(string.match(change, '^%d+ (.*)$')).atMs >= before then
      break
    end
    redis.call('ZREM', P .. 'changes:' .. issuer, change)
    changes, left = changes + 1, left - 1
  end
  local index = P .. 'past:' .. issuer
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', '(' .. ARGV[2], 'LIMIT', 0, left)) do
    local of = issuer .. ' ' .. id
    local key, list = P .. 'containment:' .. of, P .. 'evidence:' .. of
    local row = redis.call('HMGET', key, 'closedMs', 'lastEndMs')
    local last = redis.call('LINDEX', list, -1)
    if not row[1] then
      -- Opened again since; its next close puts it back.
      redis.call('ZREM', index, id)
    elseif tonumber(row[2] or 0) >= before then
      redis.call('ZADD', index, row[2], id)
    elseif left > 0 and (not fed[issuer] or not last or told(issuer, last)) then
      drop_evidence(issuer, id, list)
      drop_deliveries(issuer, P .. 'ids-of:' .. of)
      if left > 0 then
        local subject = redis.call('HGET', key, 'subject')
        if subject then
          redis.call('ZREM', P .. 'containments-of:' .. issuer .. ' ' .. subject, id)
        end
        redis.call('DEL', key)
        redis.call('ZREM', P .. 'named', of)
        redis.call('ZREM', index, id)
        redis.call('ZREM', P .. 'containments:' .. issuer, id)
        containments, left = containments + 1, left - 1
      end
    end
  end
end
return { #past + gone, containments, deliveries, evidence, changes }
