#!lua flags=no-writes
-- Reads several keys at one moment, and returns the values in order.
--
-- KEYS: the keys. ARGV: for each thing how many arguments there are, the command, which of KEYS, and
-- the arguments.

local answers, at = {}, 1
while at <= #ARGV do
    local count, command, key = tonumber(ARGV[at]), ARGV[at + 1], KEYS[tonumber(ARGV[at + 2])]
    answers[#answers + 1] = redis.call(command, key, unpack(ARGV, at + 3, at + 2 + count))
    at = at + 3 + count
end
return answers
