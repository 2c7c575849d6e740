-- Notes that what was sent before a lease counts as not sent. KEYS: the lease. ARGV: its number,
-- the name of that. Answers with whether the lease is still that one.
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'clean', ARGV[2])
return 1
