-- now. The earliest due time after it, or nothing: of the lanes that begin later, and of those with something due the next.
local now = ARGV[1]
local later = redis.call('ZRANGEBYSCORE', P .. 'lanes', '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
for _, lane in ipairs(redis.call('ZRANGEBYSCORE', P .. 'lanes', '-inf', now)) do
  local ms = redis.call('ZRANGEBYSCORE', P .. 'due:' .. lane, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  if ms and (not later or tonumber(ms) < tonumber(later)) then
    later = ms
  end
end
return later
