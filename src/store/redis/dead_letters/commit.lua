-- Writes what was decided, if all that it was decided on still stands. ARGV: how many comparisons;
-- of each the number of its key, a field, and what must stand there, nothing for nothing; then of
-- each write the number of its key, a command, and how many words it has, and these. Answers with
-- 0, or with which comparison failed.
local place = 0
local function take()
  place = place + 1
  return ARGV[place]
end

for number = 1, tonumber(take()) do
  local key, field = KEYS[tonumber(take())], take()
  if (redis.call('HGET', key, field) or '') ~= take() then return number end
end

while place < #ARGV do
  local key, command, first = KEYS[tonumber(take())], take(), place + 2
  place = first - 1 + tonumber(ARGV[first - 1])
  if command == 'ADD' then
    -- What adds up to nothing is not kept.
    if redis.call('HINCRBY', key, ARGV[first], ARGV[first + 1]) == 0 then
      redis.call('HDEL', key, ARGV[first])
    end
  elseif command == 'COUNT' then
    -- A replay may be forgotten while its last letters end.
    if redis.call('EXISTS', key) == 1 then
      redis.call('HINCRBY', key, ARGV[first], ARGV[first + 1])
    end
  else
    redis.call(command, key, unpack(ARGV, first, place))
  end
end
return 0
