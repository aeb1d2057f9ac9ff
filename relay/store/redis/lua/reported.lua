-- ids
for _, id in ipairs(ARGV) do
  local row = redis.call('HMGET', P .. 'delivery:' .. id, 'state', 'issuer')
  if row[1] and row[1] ~= 'open' then
    redis.call('ZREM', P .. 'unreported:' .. row[2], id)
  end
end
