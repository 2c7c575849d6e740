-- One commit: its revision, its policy and its totals are compared, then everything is written.
--
-- Answers {'written', '1' or '0'}: whether another order bears an exclusive name of this one since
-- this commit; or, with nothing written, {'conflict'}, {'closed', watermark}, {'too-large'},
-- {'negative'}, {'policy', the revision that this site knows}, or {'unregistered'}: nothing was
-- ever committed for the site, and its name must be listed first.
--
-- Every webhook runs this, and in Redis all else waits for it. What costs most here is to make
-- tables and to let them grow: so there are few, made with all that they will hold.

local SITE, ENTITY, INDEX, STOCK, ITEMS, CHANGES, OVERSOLD = unpack(KEYS, 1, 7)
local kind, name, loaded, revision, state, policy, at, settled_at, message = unpack(ARGV, 1, 9)
-- Of every change there are the key of the item's holds, and as arguments the item, what is added to
-- its three counts, and what the order holds from now on ('' if no order does). Behind all of them
-- stands what only its kind has.
local changed = tonumber(ARGV[10])
local keys_read, args_read = 7 + changed, 10 + 5 * changed

local site = redis.call('HMGET', SITE, 'epoch', 'policy', 'sequence', 'closed_before')
if policy ~= '' and site[2] and site[2] ~= policy then return { 'policy', site[2] } end
local found = redis.call('HGET', ENTITY, 'rev')
if (found or '') ~= loaded then return { 'conflict' } end

local SETTLED, closed, borne
if kind == 'order' then
    SETTLED, closed = KEYS[keys_read + 1], KEYS[keys_read + 2]
    if not found and redis.call('SISMEMBER', closed, ARGV[args_read + 1]) == 1 then
        return { 'closed', site[4] or '0' }
    end
    borne = tonumber(ARGV[args_read + 2])
    keys_read, args_read = keys_read + 2, args_read + 2
end

-- What `parse` makes of 0 and of the largest and the least total.
local ZERO, MOST, LEAST = { 0, 0 }, { 4000000000, 0 }, { -4000000000, 0 }

-- A count with what is added to it, and its text; or nothing, and why not.
local function add(count, text, delta, may_be_negative)
    if delta == '0' then return count, text end
    local sum = plus(count, parse(delta))
    if is_less(sum, LEAST) or is_less(MOST, sum) then return nil, 'too-large' end
    if not may_be_negative and is_less(sum, ZERO) then return nil, 'negative' end
    return sum, format(sum)
end

-- What the items will count, and which of them are oversold then.
local FIELDS = { '|received', '|committed', '|fulfilled' }
local changes, is_news, is_oversold_news = {}, false, false
for place = 1, changed do
    local arg = 6 + 5 * place
    local key, delta1, delta2, delta3, hold = unpack(ARGV, arg, arg + 4)
    local counted = redis.call('HMGET', STOCK, key .. FIELDS[1], key .. FIELDS[2], key .. FIELDS[3])
    local text1, text2, text3 = counted[1] or '0', counted[2] or '0', counted[3] or '0'
    local received, committed, fulfilled = parse(text1), parse(text2), parse(text3)
    if not (received and committed and fulfilled) then
        local field = not received and 1 or not committed and 2 or 3
        return redis.error_reply('CORRUPT ' .. STOCK .. ' ' .. key .. FIELDS[field])
    end
    local was_oversold = is_less(received, plus(committed, fulfilled))
    received, text1 = add(received, text1, delta1, true)
    if not received then return { text1 } end
    committed, text2 = add(committed, text2, delta2)
    if not committed then return { text2 } end
    fulfilled, text3 = add(fulfilled, text3, delta3)
    if not fulfilled then return { text3 } end
    local is_oversold = is_less(received, plus(committed, fulfilled))
    local change = {
        key = key, hold = hold, holds = KEYS[7 + place], counted = counted,
        texts = { text1, text2, text3 },
        news = (delta1 ~= '0' or delta2 ~= '0' or delta3 ~= '0')
            and (delta1 .. ' ' .. delta2 .. ' ' .. delta3),
        is_oversold = is_oversold, is_oversold_news = is_oversold ~= was_oversold,
    }
    changes[place] = change
    is_news = is_news or change.news
    is_oversold_news = is_oversold_news or change.is_oversold_news
end

-- The names that a catalogue entry gave before stand with it, as they must be found to be replaced.
local given_before = { names = {}, named = {} }
local packed = kind == 'catalogue' and redis.call('HGET', ENTITY, 'given')
if packed then
    local is_read, unpacked = pcall(cmsgpack.unpack, packed)
    if not is_read or type(unpacked) ~= 'table' or not unpacked.names or not unpacked.named then
        return redis.error_reply('CORRUPT ' .. ENTITY .. ' given')
    end
    given_before = unpacked
end
local sequence = tonumber(site[3] or '0')
if not sequence then return redis.error_reply('CORRUPT ' .. SITE .. ' sequence') end
if not site[1] then return { 'unregistered' } end

-- A write to a key of another type would fail in the middle. So what was not read is looked at, by
-- a command that fails then, and is told what there is.
local wrong
local function look(command, key, ...)
    local found = redis.pcall(command, key, ...)
    if type(found) ~= 'table' then return found end
    wrong = wrong or ('CORRUPT ' .. key .. ' is a ' .. redis.call('TYPE', key).ok)
    return false
end
if kind == 'receipt' then
    look('HLEN', INDEX)
elseif not found then
    look('ZCARD', INDEX)
end
local NAMES, NAMED
if kind == 'catalogue' then
    NAMES, NAMED = KEYS[keys_read + 1], KEYS[keys_read + 2]
    look('ZCARD', NAMES)
    look('ZCARD', NAMED)
end
if SETTLED and (found or settled_at ~= '') then look('ZCARD', SETTLED) end
if is_oversold_news then look('SCARD', OVERSOLD) end
for place = 1, changed do
    local change = changes[place]
    if not change.counted[1] then look('ZCARD', ITEMS) end
    if change.hold ~= '' then look('HLEN', change.holds) end
end
-- An order bears its own name by being there; of the others each is noted once.
local is_conflict, notes = false, {}
for place = 1, borne or 0 do
    local key, arg = keys_read + 4 * place - 3, args_read + 3 * place - 2
    local alias, more, order, gone = unpack(KEYS, key, key + 3)
    local is_own, hash, alias_hash = ARGV[arg] == '1', ARGV[arg + 1], ARGV[arg + 2]
    local first, is_new = false, not found
    if not is_own or is_new then first = look('GET', alias) end
    if not is_own then
        is_new = first ~= name and look('SISMEMBER', more, name) == 0
        if is_new then
            notes[#notes + 1] = first and { 'SADD', more } or { 'SET', alias }
        end
    end
    is_conflict = is_conflict or is_new and (first or look('SCARD', more) ~= 0
        or look('SISMEMBER', gone, alias_hash) == 1
        or not is_own and (redis.call('EXISTS', order) == 1 or look('SISMEMBER', gone, hash) == 1))
end
if wrong then return redis.error_reply(wrong) end

-- From here on everything is written. The feed comes first: its first entry is the one write that
-- may still fail, if the stream is none, or ahead of the site's sequence.
for place = 1, changed do
    local change = changes[place]
    if change.news then
        sequence = sequence + 1
        local added = redis.pcall('XADD', CHANGES, string.format('%.0f-0', sequence), 'at', at,
            'key', change.key, 'cause', kind .. ' ' .. name, 'message', message,
            'delta', change.news, 'after', table.concat(change.texts, ' '))
        if added.err then
            look('XLEN', CHANGES)
            return redis.error_reply(wrong or 'CORRUPT ' .. CHANGES .. ' is ahead of ' .. SITE)
        end
    end
end
if is_news then redis.call('HSET', SITE, 'sequence', string.format('%.0f', sequence)) end
redis.call('HSET', ENTITY, 'rev', revision, 'state', state)
for place = 1, changed do
    local change = changes[place]
    local key, counted, texts, holds = change.key, change.counted, change.texts, change.holds
    for field = 1, 3 do
        if counted[field] ~= texts[field] then
            redis.call('HSET', STOCK, key .. FIELDS[field], texts[field])
        end
    end
    if not counted[1] then redis.call('ZADD', ITEMS, 0, key) end
    if change.is_oversold_news then
        redis.call(change.is_oversold and 'SADD' or 'SREM', OVERSOLD, key)
    end
    if change.hold == '0 0' then
        redis.call('HDEL', holds, name)
    elseif change.hold ~= '' then
        redis.call('HSET', holds, name, change.hold)
    end
end

if kind == 'receipt' then
    redis.call('HSET', INDEX, name, ARGV[args_read + 1])
    return { 'written', '0' }
end
if not found then redis.call('ZADD', INDEX, 0, name) end
if kind == 'catalogue' then
    local given = { names = {}, named = {} }
    for place = 1, tonumber(ARGV[args_read + 1]) do
        given.names[place] = ARGV[args_read + 2 * place]
        given.named[place] = ARGV[args_read + 2 * place + 1]
    end
    for _, member in ipairs(given_before.names) do redis.call('ZREM', NAMES, member) end
    for _, member in ipairs(given_before.named) do redis.call('ZREM', NAMED, member) end
    for _, member in ipairs(given.names) do redis.call('ZADD', NAMES, 0, member) end
    for _, member in ipairs(given.named) do redis.call('ZADD', NAMED, 0, member) end
    redis.call('HSET', ENTITY, 'given', cmsgpack.pack(given))
    return { 'written', '0' }
end

if settled_at ~= '' then
    redis.call('ZADD', SETTLED, settled_at, name)
elseif found then
    redis.call('ZREM', SETTLED, name)
end
for _, note in ipairs(notes) do redis.call(note[1], note[2], name) end
return { 'written', is_conflict and '1' or '0' }
