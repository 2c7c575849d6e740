-- One commit, or several of one site as one: everything that they were computed from, the totals and the
-- types of their keys are checked first; then everything is written.
--
-- Returns {'written'}; or, with nothing written, {'unregistered'}: nothing was ever committed for
-- the site, and its name must be listed first; {'policy', the revision that the site has};
-- {'conflict'}; {'closed', the watermark, then what is known of each new name: 'itself', 'beside' or
-- ''}; {'too-large'}; {'negative'}.
--
-- KEYS: the five below; the entities, written ones first; the set of closed names of each new name;
-- the holds of each item of which a closed order keeps something; with names of items what lines call
-- them, the items by such a name, and the names by which they can be found; with a catalogue entry the
-- titles, the items by title, and the untracked items; the key of each further write.
-- ARGV: the texts and counts below; of each feed entry its time, its message, how many changes it has,
-- and these; the items, then for each its changes as text: number in the feed, and what is added to its
-- three counts; the revision that each entity had ('' for none); the new
-- revision and state of each written one (no state: it goes); the names of links, then their texts
-- ('' for none); of each new name what should be known of it, and its two members; of each sum of
-- closed orders how many more those are, and what they keep; the items that are named, then of each the
-- version of its name ('' for none), its names, and how many words follow: a score and a member for
-- each name by which it can be found; of each catalogue entry its
-- number in KEYS, and how many words follow: 'T', 'N' or 'U' and what is added to titles, names or
-- untracked items; of each further write the command and two arguments (the second may be '').
--
-- Every webhook runs this, and Redis serves nothing else meanwhile: so there are few calls and tables.

local call, match = redis.call, string.match
local STOCK, LINKS, ITEMS, CHANGES, OVERSOLD = unpack(KEYS, 1, 5)
local policy, before = ARGV[1], ARGV[2]
local feeds = tonumber(ARGV[3])
local reads, writes, links, names, items, sums, named, entries = unpack(ARGV, 4, 11)
reads, writes, links, names = tonumber(reads), tonumber(writes), tonumber(links), tonumber(names)
items, sums, named, entries = tonumber(items), tonumber(sums), tonumber(named), tonumber(entries)
-- The last of ARGV before the feed entries, and before the items.
local FEED = 11
local ITEM = FEED + 4 * feeds
-- The last of KEYS and of ARGV before the part that is next.
local key, arg = 5, ITEM + 2 * items
-- More than some thousand arguments do not fit into a call.
local AT_ONCE = 1000

-- The site's counts and its own fields are in one hash: one read and one write less.
local stock = call('HMGET', STOCK, '~epoch', '~policy', '~sequence', '~closed_before',
    unpack(ARGV, ITEM + 1, ITEM + math.min(items, AT_ONCE)))
local epoch, site_policy, sequence, watermark = unpack(stock, 1, 4)
if not epoch then return { 'unregistered' } end
if policy ~= '' and site_policy and site_policy ~= policy then return { 'policy', site_policy } end
sequence = tonumber(sequence or '0')
if not sequence then return redis.error_reply('CORRUPT ' .. STOCK .. ' ~sequence') end
if watermark and not parse(watermark) then
    return redis.error_reply('CORRUPT ' .. STOCK .. ' ~closed_before')
end

for place = 1, reads do
    if (call('HGET', KEYS[key + place], 'rev') or '') ~= ARGV[arg + place] then
        return { 'conflict' }
    end
end
local written_arg = arg + reads
key, arg = key + reads, written_arg + 2 * writes

-- Adds to a table the values of the fields that are in ARGV from one place to another.
local function read_more(values, hash, first, last)
    for from = first, last, AT_ONCE do
        local some = call('HMGET', hash, unpack(ARGV, from, math.min(from + AT_ONCE - 1, last)))
        for place = 1, #some do values[#values + 1] = some[place] end
    end
end

if links > 0 then
    local found = {}
    read_more(found, LINKS, arg + 1, arg + links)
    for place = 1, links do
        if (found[place] or '') ~= ARGV[arg + links + place] then return { 'conflict' } end
    end
    arg = arg + 2 * links
end

if names > 0 then
    local known, differs = { 'closed', watermark or '0' }, false
    for place = 1, names do
        local expected, itself, beside = unpack(ARGV, arg + 1, arg + 3)
        local marks = call('SMISMEMBER', KEYS[key + place], itself, beside)
        local found = marks[2] == 1 and 'beside' or marks[1] == 1 and 'itself' or ''
        known[place + 2] = found
        differs = differs or found ~= expected
        arg = arg + 3
    end
    if differs then return known end
    key = key + names
end

-- A count plus what is added to it; or nil, and why not. Lua's numbers are exact for up to 15 digits;
-- longer ones are added in parts.
local MOST, LEAST, ZERO = '4000000000000000000', '-4000000000000000000', { 0, 0 }
local function add(count, delta, may_be_negative)
    if delta == '0' then return count end
    if #count < 16 and #delta < 16 then
        local sum = count + delta
        if sum < 0 and not may_be_negative then return nil, 'negative' end
        return string.format('%.0f', sum)
    end
    local sum = plus(parse(count), parse(delta))
    if is_less(sum, parse(LEAST)) or is_less(parse(MOST), sum) then return nil, 'too-large' end
    if not may_be_negative and is_less(sum, ZERO) then return nil, 'negative' end
    return format(sum)
end

local function is_oversold(received, committed, fulfilled)
    if #received < 16 and #committed < 16 and #fulfilled < 16 then
        return received - committed - fulfilled < 0
    end
    return is_less(parse(received), plus(parse(committed), parse(fulfilled)))
end

-- What the items will count, and which of them are oversold then.
local after, counted, fresh, swung = {}, {}, {}, {}
if items > 0 then
    read_more(stock, STOCK, ITEM + 1 + AT_ONCE, ITEM + items)
    for place = 1, items do
        local item, known = ARGV[ITEM + place], stock[4 + place]
        local text = known or '0 0 0'
        local received, committed, fulfilled = match(text, '^(%-?%d+) (%d+) (%d+)$')
        if not fulfilled or #received > 20 or #committed > 19 or #fulfilled > 19 then
            return redis.error_reply('CORRUPT ' .. STOCK .. ' ' .. item)
        end
        local was_oversold, why = is_oversold(received, committed, fulfilled), nil
        local changes = string.gmatch(ARGV[ITEM + items + place], '(%d+) (%S+) (%S+) (%S+)')
        for number, delta1, delta2, delta3 in changes do
            received, why = add(received, delta1, true)
            if why then return { why } end
            committed, why = add(committed, delta2)
            if why then return { why } end
            fulfilled, why = add(fulfilled, delta3)
            if why then return { why } end
            text = received .. ' ' .. committed .. ' ' .. fulfilled
            after[tonumber(number)] = text
        end
        if text ~= known then
            counted[#counted + 1] = item
            counted[#counted + 1] = text
            if not known then
                fresh[#fresh + 1] = 0
                fresh[#fresh + 1] = item
            end
            local is_now = is_oversold(received, committed, fulfilled)
            -- An item whose only name is its line's cannot be received.
            if is_now ~= was_oversold and string.sub(item, 1, 5) ~= 'line:' then
                swung[#swung + 1] = is_now and 'SADD' or 'SREM'
                swung[#swung + 1] = item
            end
        end
    end
end

-- What closed orders will keep of the items.
local kept = {}
for place = 1, sums do
    local holds = KEYS[key + place]
    local text = call('HGET', holds, '~closed') or '0 0'
    local orders, fulfilled = match(text, '^(%d+) (%d+)$')
    if not orders or not parse(orders) or not parse(fulfilled) then
        return redis.error_reply('CORRUPT ' .. holds .. ' ~closed')
    end
    local why
    orders = add(orders, ARGV[arg + 1])
    fulfilled, why = add(fulfilled, ARGV[arg + 2])
    if why then return { why } end
    kept[place] = orders .. ' ' .. fulfilled
    arg = arg + 2
end
local sums_key = key
key = key + sums

-- A write to a key of another type would fail in the middle, so the type of every key that was not
-- read is checked.
local wrong
local function look(command, key)
    local found = redis.pcall(command, key)
    if type(found) ~= 'table' or wrong then return end
    wrong = found.err
    if match(wrong, 'WRONGTYPE') then wrong = 'CORRUPT ' .. key .. ' is a ' .. call('TYPE', key).ok end
end

-- The names that lines will give items: of each the name of the highest version, and of equal versions
-- the greater one. It is stored as the version (51 characters), a hash of the names by which the item
-- can be found (16), the length of the name (8), the name, and the name in lower case.
local function name_of(said)
    local length = tonumber(string.sub(said, 17, 24), 16)
    if not length then return nil end
    return string.sub(said, 25, 24 + length), string.sub(said, 25 + length)
end
local function is_later(version, name, known, known_name)
    if known ~= version then return known < version end
    -- Lua compares by the server's locale, which is not always the order of bytes.
    for place = 1, #name do
        local byte, known_byte = string.byte(name, place), string.byte(known_name, place)
        if byte ~= known_byte then return not known_byte or known_byte < byte end
    end
    return false
end
local NAMES, NAMED, ALSO
local called, renamed, found_by = {}, {}, {}
if named > 0 then
    NAMES, NAMED, ALSO = unpack(KEYS, key + 1, key + 3)
    key = key + 3
    local known = {}
    read_more(known, NAMES, arg + 1, arg + named)
    local first = arg
    arg = arg + named
    for place = 1, named do
        local item, text = ARGV[first + place], known[place]
        local version, said, count = unpack(ARGV, arg + 1, arg + 3)
        local known_said = text and string.sub(text, 52)
        if not text or string.sub(known_said, 1, 16) ~= string.sub(said, 1, 16) then
            found_by[#found_by + 1] = arg
        end
        if known_said == said then
            if string.sub(text, 1, 51) < version then
                called[#called + 1] = item
                called[#called + 1] = version .. said
            end
        elseif version ~= '' then
            local name, lowercase = name_of(said)
            local known_name, known_lowercase
            if text then
                known_name, known_lowercase = name_of(known_said)
                if not known_name then
                    return redis.error_reply('CORRUPT ' .. NAMES .. ' ' .. item)
                end
            end
            if not text or is_later(version, name, string.sub(text, 1, 51), known_name) then
                called[#called + 1] = item
                called[#called + 1] = version .. said
                if known_lowercase ~= lowercase then
                    renamed[#renamed + 1] = { known_lowercase, lowercase, '\n' .. item }
                end
            end
        end
        arg = arg + 3 + count
    end
    if #renamed > 0 then look('ZCARD', NAMED) end
    if #found_by > 0 then look('ZCARD', ALSO) end
end

-- What a catalogue entry gave before is stored with it, so that it can be replaced.
local TITLES, TITLED, UNTRACKED
local given = {}
if entries > 0 then
    TITLES, TITLED, UNTRACKED = unpack(KEYS, key + 1, key + 3)
    key = key + 3
    look('ZCARD', TITLES)
    look('ZCARD', TITLED)
    look('HLEN', UNTRACKED)
end
for place = 1, entries do
    local entity, count = KEYS[tonumber(ARGV[arg + 1])], tonumber(ARGV[arg + 2])
    local given_before = call('HGET', entity, 'given')
    local is_read, known = true, {}
    if given_before then is_read, known = pcall(cmsgpack.unpack, given_before) end
    if not is_read or type(known) ~= 'table' then
        return redis.error_reply('CORRUPT ' .. entity .. ' given')
    end
    local words = {}
    for word = 1, count do words[word] = ARGV[arg + 2 + word] end
    given[place] = { entity = entity, before = known, now = words }
    arg = arg + 2 + count
end

local LOOK = { H = 'HLEN', Z = 'ZCARD', S = 'SCARD' }
local others = (#ARGV - arg) / 3
for place = 1, others do
    local other = KEYS[key + place]
    -- That of links was read, if any of them was.
    if links == 0 or other ~= LINKS then
        look(LOOK[string.sub(ARGV[arg + 3 * place - 2], 1, 1)], other)
    end
end
if #fresh > 0 then look('ZCARD', ITEMS) end
if #swung > 0 then look('SCARD', OVERSOLD) end
if wrong then return redis.error_reply(wrong) end

-- From here on everything is written. The feed comes first: it is the one write that may still fail,
-- if the key is no stream, or the stream is ahead of the site's sequence. A commit that was broken off,
-- as its user lost a right, leaves changes there that count nowhere: they keep their numbers, and audits
-- find them.
local function add(last, ...)
    return redis.pcall('XADD', CHANGES, string.format('%.0f-0', last), ...)
end
local function is_ahead(added) return type(added) == 'table' and match(added.err, 'equal or smaller') end
local number = 0
for place = 1, feeds do
    local at, message, count, changes = unpack(ARGV, FEED + 4 * place - 3, FEED + 4 * place)
    local first = number + 1
    number = number + count
    local entry = { 'at', at, 'message', message, 'changes', changes, 'after',
        table.concat(after, '\n', first, number) }
    local added = add(sequence + number, unpack(entry))
    if place == 1 and is_ahead(added) then
        local newest = call('XREVRANGE', CHANGES, '+', '-', 'COUNT', 1)[1]
        if newest then sequence = math.max(sequence, tonumber(match(newest[1], '^%d+'))) end
        added = add(sequence + number, unpack(entry))
    end
    if type(added) == 'table' then
        look('XLEN', CHANGES)
        if not wrong and is_ahead(added) then
            wrong = 'CORRUPT ' .. CHANGES .. ' is ahead of ' .. STOCK
        end
        return redis.error_reply(wrong or added.err)
    end
end
if number > 0 then
    counted[#counted + 1] = '~sequence'
    counted[#counted + 1] = string.format('%.0f', sequence + number)
end
if before ~= '' and (not watermark or is_less(parse(watermark), parse(before))) then
    counted[#counted + 1] = '~closed_before'
    counted[#counted + 1] = before
end
for place = 1, writes do
    local revision, state = ARGV[written_arg + 2 * place - 1], ARGV[written_arg + 2 * place]
    if state == '' then
        call('DEL', KEYS[5 + place])
    else
        call('HSET', KEYS[5 + place], 'rev', revision, 'state', state)
    end
end
local function write_pairs(command, key, words)
    for from = 1, #words, 2 * AT_ONCE do
        call(command, key, unpack(words, from, math.min(from + 2 * AT_ONCE - 1, #words)))
    end
end
write_pairs('HSET', STOCK, counted)
write_pairs('ZADD', ITEMS, fresh)
for place = 1, #swung, 2 do call(swung[place], OVERSOLD, swung[place + 1]) end
for place = 1, others do
    local command, first, second = unpack(ARGV, arg + 3 * place - 2, arg + 3 * place)
    if second == '' then
        call(command, KEYS[key + place], first)
    else
        call(command, KEYS[key + place], first, second)
    end
end
for place = 1, sums do call('HSET', KEYS[sums_key + place], '~closed', kept[place]) end
if named > 0 then
    write_pairs('HSET', NAMES, called)
    for place = 1, #renamed do
        local before, now, of_item = unpack(renamed[place], 1, 3)
        if before then call('ZREM', NAMED, before .. of_item) end
        call('ZADD', NAMED, 0, now .. of_item)
    end
    for place = 1, #found_by do
        local from = found_by[place] + 4
        local last = from - 1 + ARGV[from - 1]
        for first = from, last, AT_ONCE do
            call('ZADD', ALSO, unpack(ARGV, first, math.min(first + AT_ONCE - 1, last)))
        end
    end
end

local function give(words, change)
    for place = 1, #words, 2 do
        local kind, word = words[place], words[place + 1]
        if kind == 'U' then
            local count = (tonumber(call('HGET', UNTRACKED, word)) or 0) + change
            if count > 0 then
                call('HSET', UNTRACKED, word, count)
            else
                call('HDEL', UNTRACKED, word)
            end
        elseif change > 0 then
            call('ZADD', kind == 'T' and TITLES or TITLED, 0, word)
        else
            call('ZREM', kind == 'T' and TITLES or TITLED, word)
        end
    end
end
for place = 1, entries do
    local entry = given[place]
    give(entry.before, -1)
    give(entry.now, 1)
    if #entry.now > 0 then
        call('HSET', entry.entity, 'given', cmsgpack.pack(entry.now))
    else
        call('HDEL', entry.entity, 'given')
    end
end
return { 'written' }
