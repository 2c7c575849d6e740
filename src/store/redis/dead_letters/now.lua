-- The time of the server, in microseconds. KEYS: any, so that the server of its slot is asked.
local time = redis.call('TIME')
return time[1] * 1000000 + time[2]
