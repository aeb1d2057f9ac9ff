-- issuer, name, what it was, what it is to be (each '' or '=' and the text), then changes. 0 if it was something else.
local key, field = P .. 'notes', ARGV[1] .. ' ' .. ARGV[2]
local was = redis.call('HGET', key, field)
if (was and '=' .. was or '') ~= ARGV[3] then
  return 0
end
if ARGV[4] == '' then
  redis.call('HDEL', key, field)
else
  redis.call('HSET', key, field, string.sub(ARGV[4], 2))
end
for n = 5, #ARGV do
  add_change(ARGV[1], ARGV[n])
end
return 1
