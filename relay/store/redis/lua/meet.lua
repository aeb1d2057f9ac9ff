-- run id of the server, now, an epoch for a store that has none, the layout of this relay, how far the outbox is read again
-- before what is known. Called on every new connection, before anything else. Answers epoch and gap ('' if none), or the
-- layout alone if it is newer.
local meta = P .. 'meta'
local row = redis.call('HMGET', meta, 'layout', 'epoch', 'run', 'storedMs', 'gapMs')
local run, now = ARGV[1], tonumber(ARGV[2])
if row[1] and tonumber(row[1]) > tonumber(ARGV[4]) then
  return { row[1] }
end
local epoch, gap = row[2], row[5]
if not epoch then
  epoch, gap = ARGV[3], '0'
elseif row[3] ~= run then
  -- Another server, or this one started again: what it was told last may be missing.
  local from = math.max(0, tonumber(row[4] or 0) - tonumber(ARGV[5]))
  gap = whole(math.min(tonumber(gap or from), from))
end
if row[3] ~= run or not row[2] then
  -- No change of a watermark may get a number that guards have seen on another one that is lost, whatever the clocks say.
  local floor = math.max(tonumber(redis.call('HGET', meta, 'floor') or 0) + 60000000, (now + 60000) * 1000)
  redis.call('HSET', meta, 'layout', ARGV[4], 'epoch', epoch, 'run', run, 'gapMs', gap, 'floor', whole(floor))
end
return { epoch, gap or '' }
