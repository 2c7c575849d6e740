#!lua
-- Puts a policy in force, if there is none or it may be replaced; returns {revision, policy}.
--
-- KEYS: the policy. ARGV: the policy, 'adopt' or 'replace', who puts it in force, and when.

local POLICY, policy, may_replace = KEYS[1], ARGV[1], ARGV[2] == 'replace'
local found = redis.call('HMGET', POLICY, 'revision', 'policy')
if not found[1] or (may_replace and found[2] ~= policy) then
    found = { string.format('%.0f', tonumber(found[1] or '0') + 1), policy }
    redis.call('HSET', POLICY, 'revision', found[1], 'policy', found[2],
        'actor', ARGV[3], 'at', ARGV[4])
end
return { found[1], found[2] }
