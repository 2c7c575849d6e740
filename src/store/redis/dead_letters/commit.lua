-- Writes what was decided, if all that it was decided on still stands. ARGV: how many comparisons;
-- of each the number of its key, a field, and what must stand there, nothing for nothing; then of
-- each write the number of its key, a command, and how many words it has, and these. Returns 0, or
-- the number of the comparison that failed.
local TYPES = {
  HSET = 'hash', HDEL = 'hash', ADD = 'hash', COUNT = 'hash', ZADD = 'zset', ZREM = 'zset',
}

local place = 0
local function take()
  place = place + 1
  return ARGV[place]
end

for number = 1, tonumber(take()) do
  local key, field = KEYS[tonumber(take())], take()
  if (redis.call('HGET', key, field) or '') ~= take() then return number end
end

local function take_write()
  local key, command, words = KEYS[tonumber(take())], take(), tonumber(take())
  local first = place + 1
  place = place + words
  return key, command, first
end

-- An error between two writes would leave half of them, so everything is checked before the first.
local writes, deleted = place, {}
while place < #ARGV do
  local key, command, first = take_write()
  local type, wanted = redis.call('TYPE', key).ok, TYPES[command]
  if command == 'DEL' then deleted[key] = true end
  if wanted and not deleted[key] and type ~= 'none' and type ~= wanted then
    return redis.error_reply('CORRUPT ' .. key .. ' is a ' .. type)
  end
  if command == 'ADD' or command == 'COUNT' then
    local count = redis.call('HGET', key, ARGV[first]) or '0'
    if not string.match(count, '^-?%d+$') or #count > 15 then
      return redis.error_reply('CORRUPT ' .. key .. ' has a count that is no number')
    end
  end
end

place = writes
while place < #ARGV do
  local key, command, first = take_write()
  if command == 'ADD' then
    -- What adds up to nothing is not kept.
    if redis.call('HINCRBY', key, ARGV[first], ARGV[first + 1]) == 0 then
      redis.call('HDEL', key, ARGV[first])
    end
  elseif command == 'COUNT' then
    -- A replay may be forgotten while its last dead letters end.
    if redis.call('EXISTS', key) == 1 then
      redis.call('HINCRBY', key, ARGV[first], ARGV[first + 1])
    end
  else
    redis.call(command, key, unpack(ARGV, first, place))
  end
end
return 0
