-- Files a letter. ARGV: id, generation, now, then its fields and their values.
local before = parked()
if (before and before >= generation) or is_over(generation) then return 0 end
local fields = {}
for place = 4, #ARGV, 2 do fields[ARGV[place]] = ARGV[place + 1] end
local original = fields.original
local was_listed
if before then
  was_listed = listed()
  local known = redis.call('HMGET', letter, 'original', 'body', 'place')
  original = original or known[1] or known[2]
  -- A place begins with the time of the first failure, in digits of which the order is that of times.
  local first, now = string.sub(known[3], 1, 16), string.sub(fields.place, 1, 16)
  if first < now then fields.place = first .. string.sub(fields.place, 17) end
end
if original == fields.body then original = nil end
-- The edit may have come first.
local edit = redis.call('HGET', edits, id)
local edited = edit and string.sub(edit, 33)
if edited and edited ~= fields.body then
  original = original or fields.body
  fields.body = edited
end
fields.original = original
local last = over()
local is_listed = members(fields.place, fields.group)
local values = {}
for name, value in pairs(fields) do
  values[#values + 1] = name
  values[#values + 1] = value
end

if was_listed then take_away(was_listed) end
note_ending(last, generation - 1, 'failed')
redis.call('HSET', letter, unpack(values))
redis.call('HSET', generations, id, ARGV[2])
for _, member in ipairs(is_listed) do redis.call('ZADD', index, 0, member) end
return 1
