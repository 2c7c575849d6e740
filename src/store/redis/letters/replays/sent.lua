-- Notes that letters were sent. ARGV: id, fence, the letters' names.
if not holds(ARGV[2]) then return 0 end
local made_at, running = redis.call('HGET', replay, 'made_at'), state() == 'running'
for place = 3, #ARGV do
  local name = ARGV[place]
  local score = redis.call('ZSCORE', waiting, name)
  if score then
    redis.call('ZREM', waiting, name)
    redis.call('ZADD', sent, score, name)
    redis.call('ZADD', open, made_at, id)
    local message, generation = parts(name)
    -- One that was sent is in its replay until it has an outcome, also when that has stopped.
    if running and is_parked(message, generation)
      and redis.call('HGET', marks, message) == id then
      redis.call('HSET', marks, message, id .. '!')
    end
  end
end
return 1
