-- include: base stats worker task enqueue
-- A schedule's tick has come: make its task, and set the next tick. Or leave ticks out that were missed.
-- ARGV: 1 leader's token, 2 name, 3 the revision that was read, 4 the tick that is due, 5 the tick to which
--   it moves ('inf': none), 6 how many ticks are left out, in words ('' none), 7 the tick for which a task is
--   made, as people write it ('' none is made), 8 its record (lib/enqueue.lua)
-- Returns {'made', task, status}, {'skipped', task}: the last one has not ended (its unique key), {'exists',
-- task}: that tick has its task already, {'missed'}: none was to be made; or, with nothing changed,
-- {'not-leader'}, {'moved'}: another did it, or it was changed, paused or removed meanwhile; {'early'}: the
-- clock went back.
-- Invariant: one tick makes one task at most, whoever asks and however often.
local name, due, key = ARGV[2], tonumber(ARGV[4]), 'pool:schedule:' .. ARGV[2]
if call('GET', 'pool:leader') ~= ARGV[1] then return {'not-leader'} end
local score = call('ZSCORE', 'pool:schedules', name)
if not score or tonumber(score) ~= due or call('HGET', key, 'revision') ~= ARGV[3] then return {'moved'} end
if due > NOW then return {'early'} end

local function move()
  call('ZADD', 'pool:schedules', ARGV[5], name)
  if ARGV[6] ~= '' then
    call('HSET', key, 'missed_at', stamp(NOW), 'missed', ARGV[6])
    event('cron-missed', '', '', '', name .. ': ' .. ARGV[6])
  end
end

if ARGV[7] == '' then
  move()
  return {'missed'}
end
local r = parse_record(ARGV[8])
local why = refusal({r})
local detail, task, out = name .. ': ' .. ARGV[7], r[1], nil
if why then
  out = {'exists', task}
  event('cron-skipped', task, '', r[2], detail .. ' has its task already')
elseif r.duplicate then
  out = {'skipped', r.duplicate}
  event('cron-skipped', r.duplicate, '', r[2], detail .. ' makes no task: the last one has not ended')
else
  out = {'made', task, enqueue(r, 1)}  -- first: were it to fail, the tick would still be due
  call('HSET', key, 'last_task', task, 'made', whole((tonumber(call('HGET', key, 'made')) or 0) + 1))
  event('cron-fired', task, '', r[2], detail)
end
call('HSET', key, 'last_tick', ARGV[7], 'last_at', stamp(NOW), 'last_outcome', out[1])
move()
return out
