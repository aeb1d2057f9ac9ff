-- at, by ('' for the relay itself: no evidence), then ids. Those that wait are due at `at`; how many they were.
local at, changed = ARGV[1], 0
for n = 3, #ARGV do
  local id = ARGV[n]
  local row = redis.call('HMGET', P .. 'delivery:' .. id, 'state', 'owner', 'dueMs', 'issuer', 'clientId', 'containmentId')
  if row[1] == 'open' and row[2] == '' and tonumber(row[3]) > tonumber(at) then
    local lane = row[4] .. ' ' .. row[5]
    due(id, lane, at)
    place(lane)
    if ARGV[2] ~= '' then
      add_evidence(row[4], row[6], '{"kind":"retry_asked","atMs":' .. at .. ',"data":'
        .. cjson.encode({ delivery = id, client_id = row[5], by = ARGV[2] }) .. '}')
    end
    changed = changed + 1
  end
end
return changed
