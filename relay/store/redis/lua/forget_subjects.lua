-- before, limit. Of how many containments the subject was forgotten; any other number than the limit says that there are no more.
local before, forgotten = tonumber(ARGV[1]), 0
for _, of in ipairs(redis.call('ZRANGEBYSCORE', P .. 'named', '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])) do
  local key = P .. 'containment:' .. of
  local row = redis.call('HMGET', key, 'closedMs', 'lastEndMs', 'subject')
  if row[1] and tonumber(row[2] or 0) >= before then
    redis.call('ZADD', P .. 'named', row[2], of)
  else
    redis.call('ZREM', P .. 'named', of)
    -- Opened again since; its next close puts it back.
    if row[1] and row[3] then
      local issuer, id = string.match(of, '^(%S+) (.*)$')
      redis.call('HDEL', key, 'subject')
      redis.call('ZREM', P .. 'containments-of:' .. issuer .. ' ' .. row[3], id)
    end
  end
  forgotten = forgotten + 1
end
return forgotten
