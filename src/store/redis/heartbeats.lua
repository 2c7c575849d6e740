#!lua
-- Records a heartbeat, unless a later one of the process is there, and forgets old ones.
--
-- KEYS: the heartbeats by process, the processes by time. ARGV: the process, the time, the
-- heartbeat, before which time heartbeats are forgotten, and how many are kept.

local BEATS, TIMES = KEYS[1], KEYS[2]
local process, at = ARGV[1], ARGV[2]
local known = redis.call('ZSCORE', TIMES, process)
if not known or tonumber(known) <= tonumber(at) then
    redis.call('HSET', BEATS, process, ARGV[3])
    redis.call('ZADD', TIMES, at, process)
end
local old = redis.call('ZRANGE', TIMES, '-inf', '(' .. ARGV[4], 'BYSCORE', 'LIMIT', 0, 1000)
for _, name in ipairs(old) do
    redis.call('HDEL', BEATS, name)
    redis.call('ZREM', TIMES, name)
end
local surplus = redis.call('ZRANGE', TIMES, 0, -1 - tonumber(ARGV[5]))
for _, name in ipairs(surplus) do
    redis.call('HDEL', BEATS, name)
    redis.call('ZREM', TIMES, name)
end
return 1
