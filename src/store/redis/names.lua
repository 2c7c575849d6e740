#!lua
-- Notes what lines call items, of each item if its name still is the one that was read.
--
-- KEYS: the names of lines by item; the items by such a name. ARGV: of each item its key, what was
-- read ('' for nothing), what is to be there, and its members among the items by name that go and
-- come ('' for none). Answers how many items had another name by now; those are left as they are.

local NAMES, NAMED = KEYS[1], KEYS[2]
redis.call('ZCARD', NAMED)
local missed = 0
for arg = 1, #ARGV, 5 do
    local item, read, name, goes, comes = unpack(ARGV, arg, arg + 4)
    if (redis.call('HGET', NAMES, item) or '') ~= read then
        missed = missed + 1
    else
        redis.call('HSET', NAMES, item, name)
        if goes ~= '' then redis.call('ZREM', NAMED, goes) end
        if comes ~= '' then redis.call('ZADD', NAMED, 0, comes) end
    end
end
return missed
