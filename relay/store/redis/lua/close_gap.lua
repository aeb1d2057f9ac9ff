-- gap. Unless another one has been found meanwhile.
if redis.call('HGET', P .. 'meta', 'gap') == ARGV[1] then
  redis.call('HDEL', P .. 'meta', 'gap')
end
