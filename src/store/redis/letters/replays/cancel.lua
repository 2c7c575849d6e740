-- Stops a replay that runs. ARGV: id.
if state() == 'running' then stop('cancelled') end
return shown()
