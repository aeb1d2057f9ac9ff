-- member, lease ms, epoch, how many claims of the dead to free at most. Answers whether this store is still that of the
-- epoch, whether the member leads, and the gap. By the clock of the server, which is one for all members.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local member = ARGV[1]
local meta = redis.call('HMGET', P .. 'meta', 'epoch', 'gap')
if meta[1] ~= ARGV[3] then
  return { 'emptied' }
end
redis.call('ZADD', P .. 'members', now + ARGV[2], member)
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', P .. 'members', '-inf', now)) do
  if free_all(dead, ARGV[4]) == 0 then
    redis.call('ZREM', P .. 'members', dead)
  end
end
local leader = redis.call('GET', P .. 'leader')
local led = leader and redis.call('ZSCORE', P .. 'members', leader)
if not led or tonumber(led) <= now then
  redis.call('SET', P .. 'leader', member)
  leader = member
end
return { 'ok', leader == member and '1' or '0', meta[2] or '' }
