#!lua flags=allow-oom
-- Writes fields of a hash, unless a later holder of the lease has written some. KEYS: the hash. ARGV:
-- the holder's number, then fields and their values. Returns whether they were written.
local fence = redis.call('HGET', KEYS[1], 'fence')
if fence and tonumber(fence) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'fence', unpack(ARGV))
return 1
