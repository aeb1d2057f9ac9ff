-- id, fence, due
local id = ARGV[1]
local row = redis.call('HMGET', P .. 'delivery:' .. id, 'fence', 'state', 'issuer', 'clientId', 'owner')
if row[1] == ARGV[2] and row[2] == 'open' then
  local lane = row[3] .. ' ' .. row[4]
  leave(id, row[5])
  due(id, lane, ARGV[3])
  place(lane)
end
