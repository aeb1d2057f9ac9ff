-- id, fence, state, at, due, attempts, reason, status or '', target, evidence, before when siblings that end with it were
-- created (or ''), why, how many at most. '0' if the fence has moved or it has ended.
local id, at = ARGV[1], ARGV[4]
local key = P .. 'delivery:' .. id
local row = redis.call('HMGET', key, 'fence', 'state', 'issuer', 'clientId', 'containmentId', 'owner', 'sid')
if row[1] ~= ARGV[2] or row[2] ~= 'open' then
  return { '0' }
end
local issuer, client, containment, sid, lane = row[3], row[4], row[5], row[7], row[3] .. ' ' .. row[4]
redis.call('HSET', key, 'state', ARGV[3], 'attempts', ARGV[6], 'lastReason', ARGV[7], 'target', ARGV[9])
if ARGV[8] == '' then
  redis.call('HDEL', key, 'lastStatus')
else
  redis.call('HSET', key, 'lastStatus', ARGV[8])
end
leave(id, row[6])
add_evidence(issuer, containment, ARGV[10])
if ARGV[3] == 'open' then
  due(id, lane, ARGV[5])
else
  redis.call('HSET', key, 'endedMs', at)
  if ARGV[3] == 'dismissed' then
    redis.call('HINCRBY', P .. 'containment:' .. issuer .. ' ' .. containment, 'dismissed', 1)
  end
  finish(id, lane, issuer, containment, sid, at)
end
if ARGV[11] ~= '' then
  local session = P .. 'session:' .. lane .. ' ' .. sid
  for _, sibling in ipairs(redis.call('SRANDMEMBER', session, ARGV[13])) do
    local its = P .. 'delivery:' .. sibling
    local is = redis.call('HMGET', its, 'state', 'owner', 'clientId', 'sid', 'createdMs', 'containmentId', 'attempts')
    if is[1] ~= 'open' then
      -- Ended by a relay that does not know of this list.
      redis.call('SREM', session, sibling)
    elseif is[2] == '' and is[3] == client and is[4] == sid and tonumber(is[5]) < tonumber(ARGV[11]) then
      redis.call('HSET', its, 'state', 'delivered', 'endedMs', at, 'lastReason', ARGV[12], 'lastStatus', ARGV[8])
      add_evidence(issuer, is[6], '{"kind":"ended_by_sibling","atMs":' .. at .. ',"data":' .. cjson.encode({ delivery = sibling,
        client_id = client, attempts = tonumber(is[7]), sibling = id, sibling_containment = containment }) .. '}')
      finish(sibling, lane, issuer, is[6], sid, at)
    end
  end
end
place(lane)
return { '1', unpack(closings) }
