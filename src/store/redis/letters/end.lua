-- Ends a letter and its earlier generations. ARGV: id, generation, when, how.
local now = parked()
-- A replay may have overtaken a discard: then it is about the generation that came back.
if ARGV[4] == 'discarded' and now and now > generation then generation = now end
local was_listed = now and now <= generation and listed()
local last = over()

if was_listed then take_away(was_listed) end
note_ending(last, generation, ARGV[4])
return 1
