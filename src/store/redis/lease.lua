#!lua flags=allow-oom
-- Acquires, renews or releases a lease. It must work in a full server: the leader makes room there.
--
-- With each renewal the holder raises a count, which goes back with the data: whoever saw more of it
-- than is there records that data was lost. So is what nobody watched for longer than is given.
--
-- KEYS: the lease. ARGV: the owner; for how many microseconds, or 'release'; the greatest count that the
-- caller has seen; after how many microseconds without a holder data counts as lost, or 0. Returns the
-- number of the lease, or false while another holds it; the count; and when data was lost last, or 0.
-- The time is this server's: clocks of processes differ, and one that is ahead would take every lease.
local lease = KEYS[1]
local held = redis.call('HMGET', lease, 'owner', 'fence', 'until', 'count', 'lost')
local is_own = held[1] == ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local count, seen, lost = tonumber(held[4] or '0'), tonumber(ARGV[3]), held[5] or '0'
local idle_max = tonumber(ARGV[4])
local is_unwatched = not is_own and held[3] and idle_max > 0 and now - held[3] > idle_max
if count < seen or is_unwatched then
    count, lost = math.max(count, seen), string.format('%.0f', now)
    redis.call('HSET', lease, 'count', count, 'lost', lost)
end
if ARGV[2] == 'release' then
    if is_own then
        redis.call('HSET', lease, 'owner', '', 'until', string.format('%.0f', now))
    end
    return { false, count, lost }
end
-- Where the clock of another server was ahead, no lease lasts longer than one does.
local left = held[1] and tonumber(held[3]) - now or 0
if not is_own and left > 0 and left <= tonumber(ARGV[2]) then return { false, count, lost } end
local fence = held[2]
if not is_own then
    -- Where the last number is lost it is not given to somebody else: time has gone on since.
    fence = string.format('%.0f', math.max(tonumber(fence or 0) + 1, now))
end
local till = string.format('%.0f', now + tonumber(ARGV[2]))
count = count + 1
redis.call('HSET', lease, 'owner', ARGV[1], 'fence', fence, 'until', till, 'count', count)
return { fence, count, lost }
