-- Ends a letter that is still there and in no replay; answers with its reason. ARGV: id,
-- generation, now. KEYS[9]: the replays that hold letters.
if parked() ~= generation then return false end
local mark = redis.call('HGET', marks, id)
if mark and (#mark > 36 or redis.call('SISMEMBER', KEYS[9], mark) == 1) then return false end
local was_listed = listed()
local reason = string.match(redis.call('HGET', letter, 'group'), '^[^|]+')
local last = over()

take_away(was_listed)
note_ending(last, generation, 'expired')
return reason
