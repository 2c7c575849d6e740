-- Whole numbers of any 64 bits, exactly. Lua's own numbers are floats, which are exact up to 2^53
-- only, so a number is a pair here: high * 10^9 + low, with 0 <= low < 10^9.

local BASE = 1000000000

-- Reads decimal digits with or without a minus; nil if it is none.
local function parse(text)
    local sign, digits = string.match(text, '^(%-?)(%d+)$')
    if not digits or #digits > 19 then return nil end
    local high = tonumber(string.sub(digits, 1, -10)) or 0
    local low = tonumber(string.sub(digits, -9))
    if sign == '' then return { high, low } end
    if low == 0 then return { -high, 0 } end
    return { -high - 1, BASE - low }
end

local function plus(a, b)
    local high, low = a[1] + b[1], a[2] + b[2]
    if low >= BASE then return { high + 1, low - BASE } end
    return { high, low }
end

local function is_less(a, b)
    if a[1] ~= b[1] then return a[1] < b[1] end
    return a[2] < b[2]
end

local function format(number)
    local sign, high, low = '', number[1], number[2]
    if high < 0 then
        sign = '-'
        if low == 0 then high = -high else high, low = -high - 1, BASE - low end
    end
    if high == 0 then return sign .. string.format('%d', low) end
    return sign .. string.format('%.0f%09d', high, low)
end

