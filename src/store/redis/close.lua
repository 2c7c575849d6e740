-- Closes an order, if it still is as it was loaded: what it keeps of items moves into what closed
-- orders keep of them, its state goes, and its names are remembered by their hashes. Answers 1 if
-- it did. Otherwise 0 with nothing written, also if the sums would be more than can be counted.
--
-- KEYS: the site, the order, the lists of orders and of settled ones, the set of closed names; then
-- the holds of every item that it keeps something of; then for each other name that stays its own
-- the first order that bears it, more such orders, and the set of closed names.
-- ARGV: the order's name, its revision, the watermark, the member of the set; the number of items,
-- and of each what the order keeps; of each name the member, or '' if it is forgotten.

local SITE, ORDER, ORDERS, SETTLED, CLOSED = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local name, loaded, before, member = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local items = tonumber(ARGV[5])

if redis.call('HGET', ORDER, 'rev') ~= loaded then return 0 end

local wrong
local function check_type(key, expected)
    local found = redis.call('TYPE', key).ok
    if found ~= 'none' and found ~= expected then
        wrong = wrong or ('CORRUPT ' .. key .. ' is a ' .. found)
    end
end
check_type(SITE, 'hash')
check_type(ORDERS, 'zset')
check_type(SETTLED, 'zset')
check_type(CLOSED, 'set')
for place = 1, items do check_type(KEYS[5 + place], 'hash') end
for place = 6 + items, #KEYS, 3 do
    check_type(KEYS[place], 'string')
    check_type(KEYS[place + 1], 'set')
    check_type(KEYS[place + 2], 'set')
end
if wrong then return redis.error_reply(wrong) end

local watermark = redis.call('HGET', SITE, 'closed_before')
if watermark and not parse(watermark) then
    return redis.error_reply('CORRUPT ' .. SITE .. ' closed_before')
end
local ONE, MOST = parse('1'), parse('4000000000000000000')
local kept = {}
for place = 1, items do
    local holds = KEYS[5 + place]
    local text = redis.call('HGET', holds, '~closed') or '0 0'
    local orders, fulfilled = string.match(text, '^(%d+) (%d+)$')
    orders, fulfilled = parse(orders or ''), parse(fulfilled or '')
    if not orders or not fulfilled then
        return redis.error_reply('CORRUPT ' .. holds .. ' ~closed')
    end
    local sum = plus(fulfilled, parse(ARGV[5 + place]))
    if is_less(MOST, sum) then return 0 end
    kept[place] = format(plus(orders, ONE)) .. ' ' .. format(sum)
end

for place = 1, items do
    redis.call('HDEL', KEYS[5 + place], name)
    redis.call('HSET', KEYS[5 + place], '~closed', kept[place])
end
redis.call('DEL', ORDER)
redis.call('ZREM', ORDERS, name)
redis.call('ZREM', SETTLED, name)
redis.call('SADD', CLOSED, member)
local number = 0
for place = 6 + items, #KEYS, 3 do
    number = number + 1
    local hash = ARGV[5 + items + number]
    if redis.call('GET', KEYS[place]) == name then redis.call('DEL', KEYS[place]) end
    redis.call('SREM', KEYS[place + 1], name)
    if hash ~= '' then redis.call('SADD', KEYS[place + 2], hash) end
end
if not watermark or is_less(parse(watermark), parse(before)) then
    redis.call('HSET', SITE, 'closed_before', before)
end
return 1
