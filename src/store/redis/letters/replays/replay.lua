-- Before all that is done to one replay.
local busy, open, making, replays = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local replay, waiting, sent = KEYS[5], KEYS[6], KEYS[7]
local generations, marks, endings, lease = KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local id = ARGV[1]

local function state()
  return redis.call('HGET', replay, 'state')
end

-- What is shown of the replay; of one that is still being made, nothing.
local function shown()
  local found = redis.call('HMGET', replay, 'state', 'made_at', 'rate', 'ramp_millis',
    'abort_after', 'selected', 'settled', 'failed', 'gone')
  if not found[1] or found[1] == 'making' then return false end
  found[10] = redis.call('ZCARD', waiting)
  return found
end

-- Message and generation of a letter's name.
local function parts(name)
  return string.sub(name, 1, 36), string.sub(name, 38)
end

-- Whether the named letter is still parked.
local function is_parked(message, generation)
  return redis.call('HGET', generations, message) == generation
end

local function holds(fence)
  return redis.call('HGET', lease, 'fence') == fence
end

-- Takes a replay off the list of those that somebody must look at, if nothing of it is open.
local function look_away()
  if redis.call('ZCARD', sent) == 0 then redis.call('ZREM', open, id) end
end

-- Ends the replay. Its letters that wait are free from here on: their marks name a replay that
-- holds none.
local function stop(ending)
  redis.call('HSET', replay, 'state', ending)
  redis.call('SREM', busy, id)
  look_away()
end
