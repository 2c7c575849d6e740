-- Shows a replay that was made, and lets it run. ARGV: id. Answers with it, or with nothing if it
-- was not being made any more.
if state() ~= 'making' then return false end
local made_at = redis.call('HGET', replay, 'made_at')
local selected = redis.call('ZCARD', waiting)

local begun = selected > 0
redis.call('HSET', replay, 'state', begun and 'running' or 'done', 'selected', selected)
redis.call('ZREM', making, id)
redis.call('ZADD', replays, made_at, id)
if begun then redis.call('ZADD', open, made_at, id) else redis.call('SREM', busy, id) end
return shown()
