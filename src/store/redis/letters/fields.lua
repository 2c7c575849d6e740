-- Reads the same fields of several letters at one moment. KEYS: the letters. ARGV: the fields.
local found = {}
for place, letter in ipairs(KEYS) do found[place] = redis.call('HMGET', letter, unpack(ARGV)) end
return found
