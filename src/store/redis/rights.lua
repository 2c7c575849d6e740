#!lua flags=no-writes
-- Which commands the user may not run on which keys. ARGV: how many keys, these, and the commands. The
-- keys are only named, never touched. Returns of each that is missing the command and the number of the
-- key, or 0 where the server does not know the command, or -1 where it has no key; nil where the server
-- cannot say.
if not redis.acl_check_cmd then return false end
local keys, missing = tonumber(ARGV[1]), {}
for place = keys + 2, #ARGV do
    for key = 1, keys do
        local is_known, may = pcall(redis.acl_check_cmd, ARGV[place], ARGV[key + 1])
        if not (is_known and may) then
            missing[#missing + 1] = ARGV[place]
            missing[#missing + 1] = is_known and key or 0
        end
        if not is_known then break end
    end
end
local is_known, may = pcall(redis.acl_check_cmd, 'SCRIPT', 'LOAD', '')
if not (is_known and may) then
    missing[#missing + 1] = 'SCRIPT LOAD'
    missing[#missing + 1] = is_known and -1 or 0
end
return missing
