-- id, fence, state, at, due, attempts, reason, status or '', uri, evidence. '0' if the fence has moved or it has ended.
local id, at = ARGV[1], ARGV[4]
local key = P .. 'delivery:' .. id
local row = redis.call('HMGET', key, 'fence', 'state', 'issuer', 'clientId', 'containmentId', 'owner')
if row[1] ~= ARGV[2] or row[2] ~= 'open' then
  return { '0' }
end
local issuer, containment, lane = row[3], row[5], row[3] .. ' ' .. row[4]
redis.call('HSET', key, 'state', ARGV[3], 'attempts', ARGV[6], 'lastReason', ARGV[7], 'logoutUri', ARGV[9])
if ARGV[8] == '' then
  redis.call('HDEL', key, 'lastStatus')
else
  redis.call('HSET', key, 'lastStatus', ARGV[8])
end
leave(id, row[6])
note(issuer, containment, ARGV[10])
if ARGV[3] == 'open' then
  due(id, lane, ARGV[5])
else
  redis.call('HSET', key, 'endedMs', at)
  finish(id, lane, issuer, containment, at)
end
place(lane)
return { '1', unpack(closings) }
