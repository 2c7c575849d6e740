-- Counts groups, each at one moment. KEYS: the index. ARGV: from where in it, how many. Answers
-- with the place to go on from, if there may be more, and of each group its first and last member
-- and how many there are.
local index, from, groups = KEYS[1], ARGV[1], {}
for place = 1, tonumber(ARGV[2]) do
  local first = redis.call('ZRANGEBYLEX', index, from, '(g}', 'LIMIT', 0, 1)[1]
  if not first then return { false, groups } end
  -- Behind it is a bar, and the place of a letter.
  local group = string.sub(first, 1, -64)
  local begins, ends = '[' .. group .. '|', group .. '}'
  local last = redis.call('ZREVRANGEBYLEX', index, '(' .. ends, begins, 'LIMIT', 0, 1)[1]
  local letters = redis.call('ZLEXCOUNT', index, begins, '(' .. ends)
  groups[place] = { first, last, letters }
  from = '[' .. ends
end
return { from, groups }
