-- Takes or renews the lease of whoever runs replays. KEYS: the lease. ARGV: owner, now, until.
-- Answers with its number; with nothing while another holds it.
local lease = KEYS[1]
local held = redis.call('HMGET', lease, 'owner', 'fence', 'until', 'run')
local is_own = held[1] == ARGV[1]
if held[1] and not is_own and tonumber(held[3]) > tonumber(ARGV[2]) then return false end
-- A server that was started again, or another one, may have gone back in time: outcomes may be
-- lost that the queue will not bring again. Then the same owner is a new holder. Who may not ask
-- which server it is sees none of that.
local server = redis.pcall('INFO', 'server')
local run = type(server) == 'string' and string.match(server, 'run_id:(%w+)') or ''

local fence = held[2]
if not is_own or held[4] ~= run then
  -- Where the last number is lost it is not given to somebody else: time has gone on since.
  local time = redis.call('TIME')
  local least = tonumber(fence or 0) + 1
  fence = string.format('%.0f', math.max(least, time[1] * 1000000 + time[2]))
end
redis.call('HSET', lease, 'owner', ARGV[1], 'fence', fence, 'until', ARGV[3], 'run', run)
return fence
