-- Reads a replay. ARGV: id.
return shown()
