-- run id of the server, now, a name for what is new (a UUID), version of this relay, how far the outbox is read again before
-- what is known, and the era that this connection was in until now, '' if in none. An era lasts until another server is met, or
-- an emptied one. Called on every new connection, before anything else. Answers epoch, gap ('' if none: since when, and a name
-- of its own) and era.
local meta = P .. 'meta'
local row = redis.call('HMGET', meta, 'epoch', 'run', 'gap', 'era')
local run, now, name, last = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[6]
local epoch, gap, era = row[1], row[3], row[4]
local floor = math.max(tonumber(form[3] or 0) + 60000000, (now + 60000) * 1000)
local function missing(since)
  gap = whole(math.min(gap and tonumber(string.match(gap, '^%d+')) or since, since)) .. ' ' .. name
end
if tonumber(form[1] or 0) < LAYOUT then
  redis.call('HSET', meta, 'layout', LAYOUT, 'version', ARGV[4])
end
if not epoch or row[2] ~= run then
  if not epoch then
    epoch = name
    missing(0)
  else
    -- Another server, or this one started again: what it was told last may be missing.
    local from
    for _, ms in ipairs(redis.call('HVALS', P .. 'stored')) do
      from = math.min(from or tonumber(ms), tonumber(ms))
    end
    from = math.max(0, (from or 0) - tonumber(ARGV[5]))
    missing(from)
    redis.call('HSET', P .. 'eras', era or '', whole(from) .. ' ' .. (form[3] or '0'))
  end
  era = name
  -- No change of a watermark may get a number that guards have seen on another one that is lost, whatever the clocks say; nor a
  -- lease the fence of one that is lost, also where the old master goes on and is itself started again.
  floor = floor + tonumber(string.sub(name, 1, 6), 16)
  redis.call('HSET', meta, 'epoch', epoch, 'run', run, 'era', era, 'gap', gap, 'floor', whole(floor))
elseif last ~= '' and last ~= era then
  -- Others have met this server before. What this relay was told meanwhile by one that was cut off, and is master no more, is
  -- missing here, and nobody but this relay can know. And its guards have seen numbers there behind which they would miss what
  -- has changed here: that gets higher ones.
  local since, from = string.match(redis.call('HGET', P .. 'eras', last) or '0 0', '(%d+) (%d+)')
  missing(tonumber(since))
  for _, issuer in ipairs(redis.call('HKEYS', P .. 'stored')) do
    local changes = P .. 'watermarks:' .. issuer
    for _, changed in ipairs(redis.call('ZRANGEBYSCORE', changes, '(' .. from, '+inf')) do
      floor = floor + 1
      redis.call('ZADD', changes, whole(floor), changed)
    end
  end
  redis.call('HSET', meta, 'gap', gap, 'floor', whole(floor))
end
return { epoch, gap or '', era }
