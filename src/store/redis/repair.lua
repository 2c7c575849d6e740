#!lua
-- Sets what an item counts, with an entry in the change feed.
--
-- Returns 1; or 0, with nothing written, if the item counts something else than was read.
--
-- KEYS: what the site counts, its items, its change feed, and its oversold items. ARGV: the item, the
-- text of what it counted ('' for nothing), that of what it shall count, 'SADD' or 'SREM' for the
-- oversold items ('' for neither), the time, the message, and the change as the feed keeps it.
local STOCK, ITEMS, CHANGES, OVERSOLD = unpack(KEYS)
local item, before, after, oversold, at, message, change = unpack(ARGV)
local found = redis.call('HMGET', STOCK, item, '~sequence')
if (found[1] or '') ~= before then return 0 end
local sequence = tonumber(found[2] or '0')
if not sequence then return redis.error_reply('CORRUPT ' .. STOCK .. ' ~sequence') end
-- A key of another type is an error here, and not in the middle.
redis.call('ZCARD', ITEMS)
redis.call('SCARD', OVERSOLD)
-- A commit that was broken off may have left a change in the feed that the site does not know of.
local newest = redis.call('XREVRANGE', CHANGES, '+', '-', 'COUNT', 1)[1]
if newest then sequence = math.max(sequence, tonumber(string.match(newest[1], '^%d+'))) end
local last = string.format('%.0f', sequence + 1)
redis.call('XADD', CHANGES, last .. '-0', 'at', at, 'message', message, 'changes', change, 'after', after)
redis.call('HSET', STOCK, item, after, '~sequence', last)
redis.call('ZADD', ITEMS, 0, item)
if oversold ~= '' then redis.call(oversold, OVERSOLD, item) end
return 1
