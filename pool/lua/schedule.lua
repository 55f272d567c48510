-- include: base
-- Keep a schedule: a new one, or a new revision of the one of that name. Where its times are the same, it
-- stands at the same tick as before (one that is due is made still, by the new text). What was made stays known.
--   pool:schedules        zset: every schedule by its next tick on this server's clock; 'inf': none, or paused
--   pool:schedule:<name>  hash: revision, entry (JSON), times, paused, problem, last tick and what came of it
-- ARGV: 1 name, 2 revision (random), 3 entry, 4 its times (text that changes with them), 5 its next tick
--   (seconds since 1970), 6 '1' it may replace one of that name
-- Returns {'new' | 'replaced', next tick ('inf': it is paused)} (a replay is told the same) or {'exists',
-- 'inf'}: nothing was changed.
local name, key, due = ARGV[1], 'pool:schedule:' .. ARGV[1], ARGV[5]
local f = call('HMGET', key, 'revision', 'times', 'paused')
local stands = call('ZSCORE', 'pool:schedules', name)
if f[1] == ARGV[2] then return {ARGV[6] == '1' and 'replaced' or 'new', stands} end
if f[1] and ARGV[6] ~= '1' then return {'exists', 'inf'} end
if f[3] then
  due = 'inf'
elseif stands and tonumber(stands) < math.huge then
  if f[2] == ARGV[4] then
    due = stands
  elseif tonumber(stands) <= NOW then
    event('cron-missed', '', '', '', name .. ': due when its times were changed, left out')
  end
end
call('HSET', key, 'revision', ARGV[2], 'entry', ARGV[3], 'times', ARGV[4], 'changed_at', stamp(NOW))
call('HDEL', key, 'problem')
call('ZADD', 'pool:schedules', due, name)
event(f[1] and 'cron-changed' or 'cron-added', '', '', '', name)
return {f[1] and 'replaced' or 'new', due}
