-- ms: everything that was committed at the identity provider before it is in this store.
local known = tonumber(redis.call('HGET', P .. 'meta', 'storedMs') or 0)
if tonumber(ARGV[1]) > known then
  redis.call('HSET', P .. 'meta', 'storedMs', ARGV[1])
end
