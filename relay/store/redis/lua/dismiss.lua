-- at, by, reason, then ids. Whoever has claimed one: the fence moves, so an attempt under way has nothing left to record.
local at, changed = ARGV[1], 0
for n = 4, #ARGV do
  local id = ARGV[n]
  local key = P .. 'delivery:' .. id
  local row = redis.call('HMGET', key, 'state', 'owner', 'issuer', 'clientId', 'containmentId', 'attempts', 'sid')
  if row[1] == 'open' then
    local lane = row[3] .. ' ' .. row[4]
    redis.call('HSET', key, 'state', 'dismissed', 'endedMs', at, 'lastReason', 'dismissed')
    redis.call('HINCRBY', key, 'fence', 1)
    redis.call('HINCRBY', P .. 'containment:' .. row[3] .. ' ' .. row[5], 'dismissed', 1)
    leave(id, row[2])
    add_evidence(row[3], row[5], '{"kind":"dismissed","atMs":' .. at .. ',"data":' .. cjson.encode({ delivery = id,
      client_id = row[4], attempts = tonumber(row[6]), by = ARGV[2], reason = ARGV[3] }) .. '}')
    finish(id, lane, row[3], row[5], row[7], at)
    place(lane)
    changed = changed + 1
  end
end
return { whole(changed), unpack(closings) }
