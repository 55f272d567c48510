-- include: base worker
-- Whether a supervisor that has no session should start one now: only when more tasks wait than there
-- are workers about to take them. One is chosen in this very script, so that a task starts one session.
-- ARGV: 1 supervisor, 2 its queues (comma-separated), 3 seconds that a session may take to come up,
-- 4 '' to ask, 'off' to stand down (no session came of it), or the key of its session's process
-- Returns {'start'}, {'wait'}, {'off'}; of a session {'member', worker} once it has claimed or waited,
-- {'coming', worker or ''} before.
-- pool:coming:<queue>: supervisors whose session is on its way, by the moment until which that is believed.
-- pool:ready:<queue>: there for READY seconds after a supervisor has asked: it would serve the queue.
local READY = 20
local COMING = 'pool:coming:'
local me, bases = ARGV[1], split(ARGV[2])
local function stand_down()
  for _, base in ipairs(bases) do call('ZREM', COMING .. base, me) end
end

if ARGV[4] == 'off' then
  stand_down()
  return {'off'}
elseif ARGV[4] ~= '' then
  local name, epoch = string.match(call('GET', 'pool:process:' .. ARGV[4]) or '', '^(.*) (%d+)$')
  if not name or not caller(name, epoch) then return {'coming', name or ''} end
  if call('HGET', worker_key(name), 'state') == 'starting' then return {'coming', name} end
  stand_down()
  return {'member', name}
end

-- Workers that will look by themselves: those that wait or were just woken, and those just registered.
local function serving(base)
  local count = 0
  for _, worker in ipairs(call('ZRANGE', 'pool:workers', 0, -1)) do
    local f = call('HMGET', worker_key(worker), 'queues', 'claim', 'draining', 'parked_at', 'waiting_until',
      'rung', 'state', 'registered_at')
    local waits = (f[5] and tonumber(f[5]) > NOW) or f[6]
    local comes = f[7] == 'starting' and tonumber(f[8] or 0) > NOW - tonumber(ARGV[3])
    if not f[2] and not f[3] and not f[4] and (waits or comes) then
      for _, each in ipairs(split(f[1])) do
        if each == base then count = count + 1 end
      end
    end
  end
  return count
end

stand_down()
for _, base in ipairs(bases) do call('SET', 'pool:ready:' .. base, me, 'EX', READY) end
if call('EXISTS', K.suspended) == 1 then return {'wait'} end
for _, base in ipairs(bases) do
  local waiting = 0
  for _, suffix in ipairs({':high', '', ':low'}) do
    waiting = waiting + call('LLEN', K.queue(base .. suffix))
  end
  if waiting > 0 and call('SISMEMBER', 'pool:paused', base) == 0 then
    call('ZREMRANGEBYSCORE', COMING .. base, '-inf', stamp(NOW))
    if waiting > call('ZCARD', COMING .. base) + serving(base) then
      for _, each in ipairs(bases) do
        call('ZADD', COMING .. each, stamp(NOW + tonumber(ARGV[3])), me)
      end
      event('summoned', '', me, base, '')
      return {'start'}
    end
  end
end
return {'wait'}
