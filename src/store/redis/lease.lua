#!lua flags=allow-oom
-- Acquires, renews or releases a lease. It must work in a full server: the leader makes room there.
-- KEYS: the lease. ARGV: the owner; for how many microseconds, or
-- 'release'. Returns its number, or nil while another holds it. The time is this server's:
-- clocks of processes differ, and one that is ahead would take every lease.
local lease = KEYS[1]
local held = redis.call('HMGET', lease, 'owner', 'fence', 'until')
local is_own = held[1] == ARGV[1]
if ARGV[2] == 'release' then
    if is_own then redis.call('HSET', lease, 'owner', '', 'until', 0) end
    return nil
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
-- Where the clock of another server was ahead, no lease lasts longer than one does.
local left = held[1] and tonumber(held[3]) - now or 0
if not is_own and left > 0 and left <= tonumber(ARGV[2]) then return nil end
local fence = held[2]
if not is_own then
    -- Where the last number is lost it is not given to somebody else: time has gone on since.
    fence = string.format('%.0f', math.max(tonumber(fence or 0) + 1, now))
end
local till = string.format('%.0f', now + tonumber(ARGV[2]))
redis.call('HSET', lease, 'owner', ARGV[1], 'fence', fence, 'until', till)
return fence
