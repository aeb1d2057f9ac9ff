-- member. It is gone for good: what it had claimed is due at once, and another leads. How many claims are left.
local left = free_all(ARGV[1], 1000)
if left == 0 then
  redis.call('ZREM', P .. 'members', ARGV[1])
  if redis.call('GET', P .. 'leader') == ARGV[1] then
    redis.call('DEL', P .. 'leader')
  end
end
return left
