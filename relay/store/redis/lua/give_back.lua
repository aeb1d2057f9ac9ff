-- member, then the ids of the claims that it knows of. It has none but these: an answer was lost on its way.
local known, lost = {}, {}
for n = 2, #ARGV do
  known[ARGV[n]] = true
end
for _, id in ipairs(redis.call('SMEMBERS', P .. 'claims:' .. ARGV[1])) do
  if not known[id] then
    lost[#lost + 1] = id
  end
end
free(ARGV[1], lost)
