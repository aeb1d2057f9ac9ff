-- issuer, jti, containment, trigger, event ms, created ms, parts, when its last session ends, then three lists, each with its length before it:
-- deliveries (id, client, sid, due, created, whether privileged, how many texts its row has, its row as fields and values in
-- turn), evidence (line), watermarks (kind, name, ms, until); then the subject and one more list, what is unreachable (client,
-- sid, until); at the very end the month of the created ms
local issuer, jti, containment, created = ARGV[1], ARGV[2], ARGV[3], ARGV[6]
local event = P .. 'event:' .. issuer .. ' ' .. jti
if redis.call('EXISTS', event) == 1 then
  return { 'duplicate' }
end
local deliveries = tonumber(ARGV[9])
local seen, at = {}, 10
for _ = 1, deliveries do
  local id = ARGV[at]
  if seen[id] or redis.call('EXISTS', P .. 'delivery:' .. id) == 1 then
    return redis.error_reply('ERR a session is named twice')
  end
  seen[id] = true
  at = at + 7 + tonumber(ARGV[at + 6])
end

redis.call('SET', event, containment)
redis.call('SADD', P .. 'issuers', issuer)
local of = issuer .. ' ' .. containment
local key = P .. 'containment:' .. of
if redis.call('EXISTS', key) == 0 then
  redis.call('HSET', key, 'id', containment, 'issuer', issuer, 'trigger', ARGV[4], 'eventMs', ARGV[5],
    'createdMs', created, 'deliveries', 0, 'open', 0, 'parts', 0, 'arrived', 0)
  redis.call('HSET', key, 'month', ARGV[#ARGV])
  redis.call('HINCRBY', P .. 'months:' .. issuer, ARGV[#ARGV] .. ' containments', 1)
  redis.call('ZADD', P .. 'containments:' .. issuer, created, containment)
elseif deliveries > 0 or tonumber(ARGV[7]) > tonumber(redis.call('HGET', key, 'parts')) then
  count_closed(key, -1)
end
if deliveries > 0 then
  redis.call('HINCRBY', key, 'deliveries', deliveries)
  redis.call('HINCRBY', key, 'open', deliveries)
  redis.call('HDEL', key, 'closedMs')
end
-- A supplementary event, of one part, is no part of a large one.
local parts, arrived = unpack(redis.call('HMGET', key, 'parts', 'arrived'))
if tonumber(ARGV[7]) > tonumber(parts) then
  redis.call('HSET', key, 'parts', ARGV[7], 'arrived', 1)
  redis.call('HDEL', key, 'closedMs')
elseif ARGV[7] == parts and arrived ~= parts then
  redis.call('HINCRBY', key, 'arrived', 1)
end
local last_end = math.max(tonumber(redis.call('HGET', key, 'lastEndMs') or 0), tonumber(ARGV[8]))
redis.call('HSET', key, 'lastEndMs', whole(last_end))
local lanes = {}
at = 10
for _ = 1, deliveries do
  local id, client, sid, due_ms, created_ms, privileged, texts = unpack(ARGV, at, at + 6)
  local lane = issuer .. ' ' .. client
  redis.call('HSET', P .. 'delivery:' .. id, 'fence', 0, 'owner', '', unpack(ARGV, at + 7, at + 6 + tonumber(texts)))
  at = at + 7 + tonumber(texts)
  if privileged == 'true' then
    redis.call('ZADD', P .. 'privileged:' .. lane, due_ms, id)
  end
  redis.call('ZADD', P .. 'due:' .. lane, due_ms, id)
  redis.call('ZADD', P .. 'created:' .. lane, created_ms, id)
  redis.call('ZADD', P .. 'open-of:' .. lane, 0, id)
  redis.call('ZADD', P .. 'open:' .. issuer, 0, id)
  redis.call('SADD', P .. 'session:' .. lane .. ' ' .. sid, id)
  redis.call('ZREM', P .. 'unreachable-at:' .. lane, sid)
  redis.call('ZADD', P .. 'ids:' .. issuer, 0, id)
  redis.call('ZADD', P .. 'ids-of:' .. of, 0, id)
  lanes[lane] = true
end
for lane in pairs(lanes) do
  place(lane)
end

local lines = tonumber(ARGV[at])
for n = 1, lines do
  add_evidence(issuer, containment, ARGV[at + n])
end
at = at + lines + 1

local log = P .. 'watermarks:' .. issuer
local newest = redis.call('ZREVRANGE', log, 0, 0, 'WITHSCORES')
local seq = math.max(tonumber(newest[2] or 0), tonumber(created) * 1000,
  tonumber(redis.call('HGET', P .. 'meta', 'floor') or 0))
local watermarks = tonumber(ARGV[at])
at = at + 1
for _ = 1, watermarks do
  local name = ARGV[at] .. ' ' .. ARGV[at + 1]
  local ms, until_ms = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  at = at + 4
  local known = redis.call('HGET', P .. 'watermark:' .. issuer, name)
  local known_ms, known_until = 0, 0
  if known then
    known_ms, known_until = string.match(known, '^(%d+) (%d+)$')
    known_ms, known_until = tonumber(known_ms), tonumber(known_until)
  end
  if ms > known_ms or until_ms > known_until then
    seq = seq + 1
    ms, until_ms = math.max(ms, known_ms), math.max(until_ms, known_until)
    redis.call('HSET', P .. 'watermark:' .. issuer, name, whole(ms) .. ' ' .. whole(until_ms))
    redis.call('ZADD', log, whole(seq), name)
    redis.call('ZADD', P .. 'watermark-ends', until_ms, issuer .. ' ' .. name)
  end
end

if not redis.call('HGET', key, 'subject') then
  redis.call('HSET', key, 'subject', ARGV[at])
  redis.call('ZADD', P .. 'containments-of:' .. issuer .. ' ' .. ARGV[at], created, containment)
end
local unreachable = tonumber(ARGV[at + 1])
at = at + 2
if unreachable > 0 then
  redis.call('HINCRBY', key, 'unreachable', unreachable)
end
local until_last = tonumber(redis.call('HGET', key, 'unreachableUntilMs') or 0)
for _ = 1, unreachable do
  local client, sid, until_ms = unpack(ARGV, at, at + 2)
  redis.call('ZADD', P .. 'unreachable-at:' .. issuer .. ' ' .. client, 'GT', until_ms, sid)
  redis.call('SADD', P .. 'unreachable', issuer .. ' ' .. client)
  until_last = math.max(until_last, tonumber(until_ms))
  at = at + 3
end
if unreachable > 0 then
  redis.call('HSET', key, 'unreachableUntilMs', whole(until_last))
end
close_if_ended(issuer, containment, created)
return { 'accepted', unpack(closings) }
