-- include: base
-- Keep a schedule: a new one, or a new revision of the one of that name. (What it says is text that only
-- Python reads; what was made by it stays known.)
--   pool:schedules        zset: every schedule by its next tick on this server's clock; 'inf': none, or paused
--   pool:schedule:<name>  hash: revision, entry (JSON), paused, problem, last tick and what became of it
-- ARGV: 1 name, 2 revision (random), 3 entry, 4 next tick (seconds since 1970, or 'inf'),
--   5 '1' it may replace one of that name
-- Returns {'new' | 'replaced', '1' if it is paused, else '0'} (a replay is told the same) or {'exists'}: nothing
-- was changed.
local name, key = ARGV[1], 'pool:schedule:' .. ARGV[1]
local before = call('HGET', key, 'revision')
local paused = call('HEXISTS', key, 'paused') == 1
if before == ARGV[2] then return {ARGV[5] == '1' and 'replaced' or 'new', paused and '1' or '0'} end
if before and ARGV[5] ~= '1' then return {'exists'} end
call('HSET', key, 'revision', ARGV[2], 'entry', ARGV[3], 'changed_at', stamp(NOW))
call('HDEL', key, 'problem')
call('ZADD', 'pool:schedules', paused and 'inf' or ARGV[4], name)
event(before and 'cron-changed' or 'cron-added', '', '', '', name)
return {before and 'replaced' or 'new', paused and '1' or '0'}
