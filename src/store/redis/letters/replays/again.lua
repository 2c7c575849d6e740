-- Counts letters of a running replay as not sent that are still parked. ARGV: id, fence, how many
-- to pass over, how many to look at. Answers with how many it looked at and how many it left, or
-- with nothing if the lease is another's.
if not holds(ARGV[2]) then return false end
if state() ~= 'running' then return { 0, 0 } end
local looked = redis.call('ZRANGE', sent, ARGV[3], ARGV[3] + ARGV[4] - 1)
local left = 0
for _, name in ipairs(looked) do
  local message, generation = parts(name)
  if is_parked(message, generation) then
    redis.call('ZADD', waiting, redis.call('ZSCORE', sent, name), name)
    redis.call('ZREM', sent, name)
    if redis.call('HGET', marks, message) == id .. '!' then
      redis.call('HSET', marks, message, id)
    end
  else
    left = left + 1
  end
end
return { #looked, left }
