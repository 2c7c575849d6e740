#!lua
-- Notes how far a site's feed was relayed.
-- KEYS: the place. ARGV: the holder's number, the sequence, the feed's epoch. Answers whether it was
-- noted.
local fence = redis.call('HGET', KEYS[1], 'fence')
if fence and tonumber(fence) > tonumber(ARGV[1]) then
    return 0
end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'sequence', ARGV[2], 'epoch', ARGV[3])
return 1
