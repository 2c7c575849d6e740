-- Notes who runs replays. KEYS: where. ARGV: the leader's number. Answers with the number under which
-- it writes; with nothing if a later one is there.
local held = redis.call('HMGET', KEYS[1], 'leader', 'fence', 'run')
if held[1] and tonumber(held[1]) > tonumber(ARGV[1]) then return false end
-- A server that was started again, or another one, may have gone back in time: outcomes may be
-- lost that the queue will not bring again. Then the same leader begins anew. Who may not ask which
-- server it is sees none of that.
local server = redis.pcall('INFO', 'server')
local run = type(server) == 'string' and string.match(server, 'run_id:(%w+)') or ''

local fence = held[2]
if held[1] ~= ARGV[1] or held[3] ~= run then
  -- Where the last number is lost it is not given to somebody else: time has gone on since.
  local time = redis.call('TIME')
  local least = tonumber(fence or 0) + 1
  fence = string.format('%.0f', math.max(least, time[1] * 1000000 + time[2]))
  redis.call('HSET', KEYS[1], 'leader', ARGV[1], 'fence', fence, 'run', run)
end
return fence
