-- issuer, now, lease ms, limit. Fence and lines (place, containment, trigger, line, subject or ''), or nothing if there is none or it is held.
local key = P .. 'security-feed:' .. ARGV[1]
local feed = redis.call('HMGET', key, 'at', 'leaseMs', 'fence')
local news = redis.call('XRANGE', P .. 'journal:' .. ARGV[1], feed[1] and '(' .. feed[1] or '-', '+', 'COUNT', ARGV[4])
if #news == 0 or tonumber(feed[2] or 0) > tonumber(ARGV[2]) then
  return {}
end
local fence = fence_after(feed[3] or 0)
redis.call('HSET', key, 'leaseMs', whole(tonumber(ARGV[2]) + tonumber(ARGV[3])), 'fence', fence)
local answer = { fence }
for _, entry in ipairs(news) do
  local containment = entry[2][2]
  local row = redis.call('HMGET', P .. 'containment:' .. ARGV[1] .. ' ' .. containment, 'trigger', 'subject')
  for _, part in ipairs({ entry[1], containment, row[1], entry[2][4], row[2] or '' }) do
    answer[#answer + 1] = part
  end
end
return answer
