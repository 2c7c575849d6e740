-- Records who runs replays. KEYS: where. ARGV: the leader's number, and when data was last found to be
-- lost. Returns the number under which it writes, or nothing if a later leader is recorded.
local known = redis.call('HMGET', KEYS[1], 'leader', 'fence', 'run')
if known[1] and tonumber(known[1]) > tonumber(ARGV[1]) then return false end
-- A restarted or replaced server may have lost outcomes that the queue will not bring again, so the
-- same leader starts again under a new number.
local server = redis.pcall('INFO', 'server')
local run = type(server) == 'string' and string.match(server, 'run_id:(%w+)') or ''
run = run .. ' ' .. ARGV[2]

local fence = known[2]
if known[1] ~= ARGV[1] or known[3] ~= run then
  -- If the last number is lost it is not assigned twice, as time has gone on since.
  local time = redis.call('TIME')
  local least = tonumber(fence or 0) + 1
  fence = string.format('%.0f', math.max(least, time[1] * 1000000 + time[2]))
  redis.call('HSET', KEYS[1], 'leader', ARGV[1], 'fence', fence, 'run', run)
end
return fence
