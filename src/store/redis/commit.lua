-- One commit: its revision, its policy and its totals are compared, then everything is written.
--
-- Answers {'written', '1' or '0'}: whether another order bears an exclusive name of this one since
-- this commit; or, with nothing written, {'conflict'}, {'closed', watermark}, {'too-large'},
-- {'negative'}, {'policy', the revision that this site knows}, or {'unregistered'}: nothing was
-- ever committed for the site, and its name must be listed first.

local SITE, ENTITY, INDEX, STOCK, ITEMS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local CHANGES, OVERSOLD, SETTLED, NAMES, NAMED = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]

local keys_read, args_read = 10, 0
local function key()
    keys_read = keys_read + 1
    return KEYS[keys_read]
end
local function arg()
    args_read = args_read + 1
    return ARGV[args_read]
end

local kind, name = arg(), arg()
local loaded, revision, state = arg(), arg(), arg()
local policy, at, settled_at, message = arg(), arg(), arg(), arg()

-- Every change: its key, what is added, and what the order holds from now on ('' if none does).
local changes = {}
for place = 1, tonumber(arg()) do
    changes[place] = { key = arg(), delta = { arg(), arg(), arg() }, hold = arg(), holds = key() }
end
-- What only its kind has.
local closed, closed_hash, received, given, borne
if kind == 'order' then
    closed, closed_hash, borne = key(), arg(), {}
    for place = 1, tonumber(arg()) do
        borne[place] = {
            is_own = arg() == '1', alias = key(), more = key(), order = key(), closed = key(),
            hash = arg(), alias_hash = arg(),
        }
    end
elseif kind == 'receipt' then
    received = arg()
else
    given = { names = {}, named = {} }
    for place = 1, tonumber(arg()) do
        given.names[place], given.named[place] = arg(), arg()
    end
end

local site = redis.call('HMGET', SITE, 'epoch', 'policy', 'sequence', 'closed_before')
if policy ~= '' and site[2] and site[2] ~= policy then return { 'policy', site[2] } end
local found = redis.call('HGET', ENTITY, 'rev')
if (found or '') ~= loaded then return { 'conflict' } end
if closed and not found and redis.call('SISMEMBER', closed, closed_hash) == 1 then
    return { 'closed', site[4] or '0' }
end

-- What the items will count, and which of them are oversold then.
local ZERO, MOST, LEAST = parse('0'), parse('4000000000000000000'), parse('-4000000000000000000')
local is_news, is_oversold_news = false, false
for _, change in ipairs(changes) do
    local fields = { change.key .. '|received', change.key .. '|committed', change.key .. '|fulfilled' }
    local counted = redis.call('HMGET', STOCK, fields[1], fields[2], fields[3])
    change.is_first, change.is_news, change.after, change.written = not counted[1], false, {}, {}
    local before, after = {}, {}
    for place, field in ipairs(fields) do
        local text, delta = counted[place] or '0', change.delta[place]
        before[place] = parse(text)
        if not before[place] then return redis.error_reply('CORRUPT ' .. STOCK .. ' ' .. field) end
        after[place] = before[place]
        if delta ~= '0' then
            after[place], change.is_news = plus(before[place], parse(delta)), true
            if is_less(after[place], LEAST) or is_less(MOST, after[place]) then
                return { 'too-large' }
            end
            if place > 1 and is_less(after[place], ZERO) then return { 'negative' } end
            text = format(after[place])
        end
        change.after[place] = text
        if counted[place] ~= text then
            table.insert(change.written, field)
            table.insert(change.written, text)
        end
    end
    local was_oversold = is_less(before[1], plus(before[2], before[3]))
    change.is_oversold = is_less(after[1], plus(after[2], after[3]))
    change.is_oversold_news = change.is_oversold ~= was_oversold
    is_news = is_news or change.is_news
    is_oversold_news = is_oversold_news or change.is_oversold_news
end

-- The names that a catalogue entry gave before stand with it, as they must be found to be replaced.
local given_before = { names = {}, named = {} }
local packed = given and redis.call('HGET', ENTITY, 'given')
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

-- A write to a key of another type would fail in the middle: those that were not read are looked at.
local wrong
local function check_type(key, expected)
    local found = redis.call('TYPE', key).ok
    if found ~= 'none' and found ~= expected then
        wrong = wrong or ('CORRUPT ' .. key .. ' is a ' .. found)
    end
    return found ~= 'none'
end
if kind == 'receipt' then
    check_type(INDEX, 'hash')
elseif not found then
    check_type(INDEX, 'zset')
end
if kind == 'order' and (found or settled_at ~= '') then check_type(SETTLED, 'zset') end
if kind == 'catalogue' then
    check_type(NAMES, 'zset')
    check_type(NAMED, 'zset')
end
if is_oversold_news then check_type(OVERSOLD, 'set') end
for _, change in ipairs(changes) do
    if change.is_first then check_type(ITEMS, 'zset') end
    if change.hold ~= '' then check_type(change.holds, 'hash') end
end
-- Of names, a look that is needed anyway tells the type too.
for _, it in ipairs(borne or {}) do
    it.first = redis.pcall('GET', it.alias)
    it.was_closed = redis.pcall('SISMEMBER', it.closed, it.alias_hash)
    if type(it.first) == 'table' then check_type(it.alias, 'string') end
    if type(it.was_closed) == 'table' then check_type(it.closed, 'set') end
    it.has_more = check_type(it.more, 'set')
end
if wrong then return redis.error_reply(wrong) end

-- From here on everything is written. The feed comes first: its first entry is the one write that
-- may still fail, if the stream is none, or ahead of the site's sequence.
for _, change in ipairs(changes) do
    if change.is_news then
        sequence = sequence + 1
        local added = redis.pcall('XADD', CHANGES, string.format('%.0f-0', sequence), 'at', at,
            'key', change.key, 'cause', kind .. ' ' .. name, 'message', message,
            'delta', table.concat(change.delta, ' '), 'after', table.concat(change.after, ' '))
        if added.err then
            check_type(CHANGES, 'stream')
            return redis.error_reply(wrong or 'CORRUPT ' .. CHANGES .. ' is ahead of ' .. SITE)
        end
    end
end
if is_news then redis.call('HSET', SITE, 'sequence', string.format('%.0f', sequence)) end
redis.call('HSET', ENTITY, 'rev', revision, 'state', state)
for _, change in ipairs(changes) do
    if #change.written > 0 then redis.call('HSET', STOCK, unpack(change.written)) end
    if change.is_first then redis.call('ZADD', ITEMS, 0, change.key) end
    if change.is_oversold_news then
        redis.call(change.is_oversold and 'SADD' or 'SREM', OVERSOLD, change.key)
    end
    if change.hold == '0 0' then
        redis.call('HDEL', change.holds, name)
    elseif change.hold ~= '' then
        redis.call('HSET', change.holds, name, change.hold)
    end
end

if kind == 'receipt' then
    redis.call('HSET', INDEX, name, received)
    return { 'written', '0' }
end
if not found then redis.call('ZADD', INDEX, 0, name) end
if kind == 'catalogue' then
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
-- An order bears its own name by being there; of the others each is noted once.
local is_conflict = false
for _, it in ipairs(borne) do
    local is_new, first = not found, it.first
    local is_borne = first or it.has_more or it.was_closed == 1
    if not it.is_own then
        is_new = first ~= name and redis.call('SISMEMBER', it.more, name) == 0
        is_borne = is_borne or redis.call('EXISTS', it.order) == 1
            or redis.call('SISMEMBER', it.closed, it.hash) == 1
        if is_new and first then
            redis.call('SADD', it.more, name)
        elseif is_new then
            redis.call('SET', it.alias, name)
        end
    end
    is_conflict = is_conflict or (is_new and is_borne)
end
return { 'written', is_conflict and '1' or '0' }
