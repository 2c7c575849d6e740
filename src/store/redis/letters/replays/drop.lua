-- Forgets a replay, unless it runs. ARGV: id. Answers with whether it is gone.
if state() == 'running' then return 0 end
redis.call('ZREM', open, id)
redis.call('ZREM', replays, id)
redis.call('UNLINK', replay, waiting, sent)
return 1
