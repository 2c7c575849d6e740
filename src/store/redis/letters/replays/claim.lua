-- Takes letters into a replay that is being made, unless another holds them. ARGV: id, then the
-- letters' names. Answers with how many it has now, or -1 if it is not being made any more.
if state() ~= 'making' then return -1 end
local claimed = {}
for place = 2, #ARGV do
  local message, generation = parts(ARGV[place])
  if is_parked(message, generation) then
    local mark = redis.call('HGET', marks, message)
    local holder = mark and string.sub(mark, 1, 36)
    if not holder or redis.call('SISMEMBER', busy, holder) == 0 then
      claimed[#claimed + 1] = ARGV[place]
    end
  end
end

local count = redis.call('ZCARD', waiting)
for place, name in ipairs(claimed) do
  local message = parts(name)
  redis.call('HSET', marks, message, id)
  redis.call('ZADD', waiting, count + place, name)
end
redis.call('ZADD', making, redis.call('TIME')[1], id)
return count + #claimed
