-- issuer, ms: everything that was committed there before it is in this store.
local known = tonumber(redis.call('HGET', P .. 'stored', ARGV[1]) or 0)
if tonumber(ARGV[2]) > known then
  redis.call('HSET', P .. 'stored', ARGV[1], ARGV[2])
end
