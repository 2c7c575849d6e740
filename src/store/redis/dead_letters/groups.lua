-- Counts groups, each at one moment. KEYS: the index. ARGV: where to start, how many. Returns
-- where to go on, if there may be more, and of each group its first and last member and its size.
local index, from, groups = KEYS[1], ARGV[1], {}
for place = 1, tonumber(ARGV[2]) do
  local first = redis.call('ZRANGEBYLEX', index, from, '(g}', 'LIMIT', 0, 1)[1]
  if not first then return { false, groups } end
  -- The rest is a bar and the place of a dead letter.
  local group = string.sub(first, 1, -64)
  local begins, ends = '[' .. group .. '|', group .. '}'
  local last = redis.call('ZREVRANGEBYLEX', index, '(' .. ends, begins, 'LIMIT', 0, 1)[1]
  local letters = redis.call('ZLEXCOUNT', index, begins, '(' .. ends)
  groups[place] = { first, last, letters }
  from = '[' .. ends
end
return { from, groups }
