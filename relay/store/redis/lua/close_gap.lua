-- gap. Unless a wider one has been found meanwhile.
if redis.call('HGET', P .. 'meta', 'gapMs') == ARGV[1] then
  redis.call('HDEL', P .. 'meta', 'gapMs')
end
