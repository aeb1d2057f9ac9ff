-- now, limit. How many were dropped.
local past = redis.call('ZRANGEBYSCORE', P .. 'watermark-ends', '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
for _, name in ipairs(past) do
  local issuer, rest = string.match(name, '^(%S+) (.*)$')
  redis.call('ZREM', P .. 'watermarks:' .. issuer, rest)
  redis.call('HDEL', P .. 'watermark:' .. issuer, rest)
  redis.call('ZREM', P .. 'watermark-ends', name)
end
return #past
