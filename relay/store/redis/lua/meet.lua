-- run id of the server, now, an epoch for a store that has none, the layout of this relay, how far the outbox is read again
-- before what is known. Called on every new connection, before anything else. Answers epoch and gap ('' if none: since when,
-- and what makes it another than every other), or the
-- layout alone if it is newer.
local meta = P .. 'meta'
local row = redis.call('HMGET', meta, 'layout', 'epoch', 'run', 'gap')
local run, now = ARGV[1], tonumber(ARGV[2])
if row[1] and tonumber(row[1]) > tonumber(ARGV[4]) then
  return { row[1] }
end
local epoch, gap = row[2], row[4]
if not epoch then
  epoch, gap = ARGV[3], '0 ' .. ARGV[3] .. ' ' .. run
elseif row[3] ~= run then
  -- Another server, or this one started again: what it was told last may be missing.
  local from
  for _, ms in ipairs(redis.call('HVALS', P .. 'stored')) do
    from = math.min(from or tonumber(ms), tonumber(ms))
  end
  from = math.max(0, (from or 0) - tonumber(ARGV[5]))
  gap = whole(math.min(gap and tonumber(string.match(gap, '^%d+')) or from, from)) .. ' ' .. epoch .. ' ' .. run
end
if row[3] ~= run or not row[2] then
  -- No change of a watermark may get a number that guards have seen on another one that is lost, whatever the clocks say;
  -- nor a lease the fence of one that is lost.
  local floor = math.max(tonumber(redis.call('HGET', meta, 'floor') or 0) + 60000000, (now + 60000) * 1000)
  redis.call('HSET', meta, 'layout', ARGV[4], 'epoch', epoch, 'run', run, 'gap', gap, 'floor', whole(floor))
end
return { epoch, gap or '' }
