-- Gives up a replay that is being made, if nothing was done for it for so long; its letters are
-- free. ARGV: id, seconds.
if state() ~= 'making' then return 0 end
local touched = tonumber(redis.call('ZSCORE', making, id))
if tonumber(redis.call('TIME')[1]) - touched < tonumber(ARGV[2]) then return 0 end
redis.call('ZREM', making, id)
redis.call('SREM', busy, id)
redis.call('UNLINK', replay, waiting)
return 1
