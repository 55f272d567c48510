-- include: base
-- Hold a schedule, so that it has no next tick: an operator pauses it, or the coordinator cannot read it.
-- Or let it go on.
-- ARGV: 1 name, 2 'pause', 'resume' or 'broken', 3 resume: the next tick ('inf': none); broken: the tick
--   that could not be read, 4 resume: the revision for which that was computed; broken: why,
--   5 broken: leader's token
-- Returns {'ok', '1' if it changed anything, else '0'}, {'no'}: there is no such schedule, {'changed'}: it has
-- another revision (or tick) now, or {'not-leader'}. What lies there and is no schedule is taken away.
local name, what, key = ARGV[1], ARGV[2], 'pool:schedule:' .. ARGV[1]
local due = call('ZSCORE', 'pool:schedules', name)
if not due then return {'no'} end
if what == 'broken' then
  if call('GET', 'pool:leader') ~= ARGV[5] then return {'not-leader'} end
  if tonumber(due) ~= tonumber(ARGV[3]) then return {'changed'} end
  if call('TYPE', key).ok == 'hash' then
    call('HSET', key, 'problem', ARGV[4])
    call('ZADD', 'pool:schedules', 'inf', name)
  else
    call('ZREM', 'pool:schedules', name)
  end
  event('cron-broken', '', '', '', name .. ': ' .. ARGV[4])
  return {'ok', '1'}
end
if what == 'pause' then
  if call('HSETNX', key, 'paused', stamp(NOW)) == 0 then return {'ok', '0'} end
  call('ZADD', 'pool:schedules', 'inf', name)
  event('cron-paused', '', '', '', name)
  return {'ok', '1'}
end
if call('HGET', key, 'revision') ~= ARGV[4] then return {'changed'} end
if call('HDEL', key, 'paused') == 0 then return {'ok', '0'} end
call('ZADD', 'pool:schedules', ARGV[3], name)
event('cron-resumed', '', '', '', name)
return {'ok', '1'}
