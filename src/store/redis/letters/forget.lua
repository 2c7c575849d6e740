-- Forgets endings and edits that are old. KEYS: endings and edits, each by message and by age, and
-- what is parked. ARGV: before when, how many, how many edits to pass over. Answers with how many
-- edits it looked at and how many of them it kept: their letters are parked.
local endings, endings_by_age, edits, edits_by_age = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local before, most, skipped = '(' .. ARGV[1], ARGV[2], ARGV[3]
local ended = redis.call('ZRANGEBYSCORE', endings_by_age, '-inf', before, 'LIMIT', 0, most)
for _, id in ipairs(ended) do
  redis.call('HDEL', endings, id)
  redis.call('ZREM', endings_by_age, id)
end
local edited = redis.call('ZRANGEBYSCORE', edits_by_age, '-inf', before, 'LIMIT', skipped, most)
local kept = 0
for _, id in ipairs(edited) do
  if redis.call('HEXISTS', KEYS[5], id) == 1 then
    kept = kept + 1
  else
    redis.call('HDEL', edits, id)
    redis.call('ZREM', edits_by_age, id)
  end
end
return { #edited, kept }
