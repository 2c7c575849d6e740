-- The next letters of a running replay that were not sent yet. ARGV: id, how many.
if state() ~= 'running' or tonumber(ARGV[2]) < 1 then return {} end
return redis.call('ZRANGE', waiting, 0, ARGV[2] - 1)
