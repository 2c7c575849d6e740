#!lua
-- Prepares a site's slot, and records the policy in force there. A site never goes back to an earlier
-- policy: whoever read the policy in force longest ago may come last.
--
-- KEYS: the site's stock. ARGV: the Store's epoch, the revision of the policy in force; '' leaves either.

local STOCK, epoch, policy = KEYS[1], ARGV[1], ARGV[2]
local known = redis.call('HGET', STOCK, '~policy')
if policy ~= '' and (not known or tonumber(known) < tonumber(policy)) then
    redis.call('HSET', STOCK, '~policy', policy)
end
if epoch ~= '' then
    redis.call('HSETNX', STOCK, '~epoch', epoch)
    -- Redis goes through a short hash field by field, unless one of its texts is longer than 64 bytes:
    -- with this one the items of a small shop are found as fast as those of a large one.
    redis.call('HSETNX', STOCK, '~about', 'of each item what was received, what is committed and what '
        .. 'is fulfilled, in millionths')
end
return redis.status_reply('OK')
