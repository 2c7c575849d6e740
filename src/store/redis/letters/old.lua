-- Finds letters that may expire. KEYS: index, marks, the replays that hold letters. ARGV: from
-- where and to where in the index, members to look at, letters to find. Answers with the member
-- to go on from, if there may be more, and the members that were found.
local looked = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
local found, wanted = {}, tonumber(ARGV[4])
for place, member in ipairs(looked) do
  local mark = redis.call('HGET', KEYS[2], string.sub(member, 20, 55))
  if not mark or (#mark == 36 and redis.call('SISMEMBER', KEYS[3], mark) == 0) then
    found[#found + 1] = member
    if #found == wanted then return { member, found } end
  end
end
return { #looked == tonumber(ARGV[3]) and looked[#looked], found }
