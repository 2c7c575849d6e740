#!lua
-- Takes or renews the lease of whoever relays. KEYS: the lease. ARGV: owner, now, until. Answers
-- with its number; with nothing while another holds it.
local lease = KEYS[1]
local held = redis.call('HMGET', lease, 'owner', 'fence', 'until')
local is_own = held[1] == ARGV[1]
if held[1] and not is_own and tonumber(held[3]) > tonumber(ARGV[2]) then return false end
local fence = held[2]
if not is_own then
  -- Where the last number is lost it is not given to somebody else: time has gone on since.
  local time = redis.call('TIME')
  local least = tonumber(fence or 0) + 1
  fence = string.format('%.0f', math.max(least, time[1] * 1000000 + time[2]))
end
redis.call('HSET', lease, 'owner', ARGV[1], 'fence', fence, 'until', ARGV[3])
return fence
