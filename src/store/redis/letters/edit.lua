-- Gives a letter another body. ARGV: id, generation, when, the edit's id, the body.
local now = parked()
if is_over(math.max(generation, now or generation)) then return 0 end
local edit = redis.call('HGET', edits, id)
local body = now and redis.call('HGET', letter, 'body')

-- Ids of one width and of hexadecimal digits only: their order is that of their bytes everywhere.
if not edit or ARGV[4] > string.sub(edit, 1, 32) then
  edit = ARGV[4] .. ARGV[5]
  redis.call('HSET', edits, id, edit)
  redis.call('ZADD', edits_by_age, at, id)
end
local edited = string.sub(edit, 33)
if body and body ~= edited then
  redis.call('HSETNX', letter, 'original', body)
  redis.call('HSET', letter, 'body', edited)
end
return 1
