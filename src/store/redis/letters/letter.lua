-- Before park, end, edit and expire: what all of them know of one message.
local generations, marks, index = KEYS[1], KEYS[2], KEYS[3]
local endings, endings_by_age = KEYS[4], KEYS[5]
local edits, edits_by_age = KEYS[6], KEYS[7]
local letter = KEYS[8]
local id, generation, at = ARGV[1], tonumber(ARGV[2]), ARGV[3]

-- The generation that is parked, if any is.
local function parked()
  local found = redis.call('HGET', generations, id)
  return found and tonumber(found) or nil
end

-- Up to which generation the message is over, and how that one ended.
local function over()
  local found = redis.call('HGET', endings, id)
  if not found then return 0, '' end
  local last, ending = string.match(found, '^(%d+) (%l+)$')
  return tonumber(last), ending
end

-- Whether a generation is over. A discard is for good: it ends those too that are still to come.
local function is_over(wanted)
  local last, ending = over()
  return last >= wanted or ending == 'discarded'
end

-- The members of the index by which lists find a letter.
local function members(place, group)
  local reason, site = string.match(group, '^([^|]+)|([^|]*)|')
  local found = { 'a|' .. place, 'g|' .. group .. '|' .. place, 'r|' .. reason .. '|' .. place }
  if site ~= '' then found[4] = 's|' .. site .. '|' .. place .. '|' .. reason end
  return found
end

-- The members of the letter that is parked.
local function listed()
  local found = redis.call('HMGET', letter, 'place', 'group')
  return members(found[1], found[2])
end

local function take_away(was_listed)
  redis.call('ZREM', index, unpack(was_listed))
  redis.call('HDEL', generations, id)
  redis.call('HDEL', marks, id)
  redis.call('DEL', letter)
end

-- Notes an ending; a later one stays.
local function note_ending(last, wanted, ending)
  if wanted <= last then return end
  redis.call('HSET', endings, id, wanted .. ' ' .. ending)
  redis.call('ZADD', endings_by_age, at, id)
end
