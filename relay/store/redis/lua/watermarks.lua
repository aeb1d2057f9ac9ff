-- issuer, after, limit. Flat: kind and name in one text, seq, watermark and until in one text.
local rows = redis.call('ZRANGEBYSCORE', P .. 'watermarks:' .. ARGV[1], '(' .. ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0,
  ARGV[3])
local changes = {}
for n = 1, #rows, 2 do
  changes[#changes + 1] = rows[n]
  changes[#changes + 1] = rows[n + 1]
  changes[#changes + 1] = redis.call('HGET', P .. 'watermark:' .. ARGV[1], rows[n])
end
return changes
