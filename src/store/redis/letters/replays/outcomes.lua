-- Notes what became of letters that were sent, and ends the replay when it is due. ARGV: id, fence,
-- how many to pass over, how many to look at. Answers with whether there are more to look at, how
-- many it left, and in the end the replay; with nothing if the lease is another's.
if not holds(ARGV[2]) then return false end

-- A letter that is still parked has no outcome yet: its generation ends with one. How it ended
-- says which; a message that is over by more than this generation had a later one.
local function outcome(message, generation)
  local found = redis.call('HGET', endings, message)
  if not found then return 'gone' end
  local last, ending = string.match(found, '^(%d+) (%l+)$')
  local later = tonumber(last) - tonumber(generation)
  if later > 0 then return 'failed' end
  if later == 0 and (ending == 'settled' or ending == 'failed') then return ending end
  return 'gone'
end

local looked = redis.call('ZRANGE', sent, ARGV[3], ARGV[3] + ARGV[4] - 1)
local over = {}
for _, name in ipairs(looked) do
  local message, generation = parts(name)
  if not is_parked(message, generation) then over[name] = outcome(message, generation) end
end

local left = #looked
for name, became in pairs(over) do
  left = left - 1
  redis.call('ZREM', sent, name)
  redis.call('HINCRBY', replay, became, 1)
end
if #looked == tonumber(ARGV[4]) then return { 1, left, false } end
if state() == 'running' then
  local waits = redis.call('ZCARD', waiting)
  local pace = redis.call('HMGET', replay, 'abort_after', 'failed')
  if pace[1] and waits > 0 and tonumber(pace[2] or 0) >= tonumber(pace[1]) then
    stop('aborted')
  elseif waits == 0 and redis.call('ZCARD', sent) == 0 then
    stop('done')
  end
else
  look_away()
end
return { 0, left, shown() }
