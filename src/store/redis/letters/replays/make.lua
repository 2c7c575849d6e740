-- Begins to make a replay. ARGV: id, then its fields and their values.
if redis.call('EXISTS', replay) == 1 then return 0 end
redis.call('HSET', replay, 'state', 'making', unpack(ARGV, 2))
redis.call('SADD', busy, id)
redis.call('ZADD', making, redis.call('TIME')[1], id)
return 1
