#!lua
-- Makes a site known to its own slot, and tells it the policy in force. A site never goes back to
-- an earlier policy: whoever read the policy in force longest ago may come last.
--
-- KEYS: the site. ARGV: the Store's epoch, the revision of the policy in force; '' leaves either.

local SITE, epoch, policy = KEYS[1], ARGV[1], ARGV[2]
local known = redis.call('HGET', SITE, 'policy')
if policy ~= '' and (not known or tonumber(known) < tonumber(policy)) then
    redis.call('HSET', SITE, 'policy', policy)
end
if epoch ~= '' then redis.call('HSETNX', SITE, 'epoch', epoch) end
return redis.status_reply('OK')
