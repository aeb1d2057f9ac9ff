-- issuer, fence, place of the last line that was told, or ''. 0 if it is another's by now.
local key = P .. 'security-feed:' .. ARGV[1]
local feed = redis.call('HMGET', key, 'fence', 'leaseMs')
if feed[1] ~= ARGV[2] or feed[2] == '0' then
  return 0
end
redis.call('HSET', key, 'leaseMs', 0)
if ARGV[3] ~= '' then
  redis.call('HSET', key, 'at', ARGV[3])
end
return 1
