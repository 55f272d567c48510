-- include: base stats worker task
-- Give a worker its next task: the highest priority present, then the oldest, among its queues.
-- ARGV: 1 worker, 2 epoch ('' the current one), 3 ticket ('' a helper; 'new' a Stop hook's first
-- look; N its further ones), 4 64 random bits (hex), 5 seconds for which the caller will wait on its
-- doorbell (0: not at all)
-- A hook's claim is provisional, a helper's is not.
-- A task with `pool_needs` goes only to a worker whose `offers` hold all of them (lib/worker.lua, suits).
-- Returns {verdict, ticket, ...}:
--   'gone', '', state of that registration ('' when it was replaced or forgotten)
--   'superseded', ticket
--   'held', ticket, id, token, queue, data, attempts, provisional, parked, title
--   'task', ticket, id, token, queue, data, attempts, provisional, '', title
--   'inspect', ticket, id, data, queue          not of our making: look, then adopt or bury
--   'stop', ticket, reason                      let it stop: the worker is 'stopped' now
--   'parked', ticket, seconds (-1: no end known), reason      the worker, or its whole account
--   'wait', ticket, idle seconds left, 'draining', 'more' or '', wake    nothing there; the waiter is
--     registered ('1': an operator's message wants to be told now)
-- Invariants: a started task has a token and a lease; no double lease.
-- The cost of a look does not depend on the backlog: HEADS entries of each list, and where none of those
-- may be had, PAGE further ones, from where the worker's last look has ended (`seek:<queue>` of its hash).
-- So what lies behind any number of tasks that this worker may not have is found all the same, some
-- looks later: 'more' says that there is more to look at, and the hook comes back at once.
local HEADS, PAGE = 16, 64
local worker = ARGV[1]
local key = worker_key(worker)
local f = call('HMGET', key, 'epoch', 'queues', 'ticket', 'draining', 'max_tasks', 'tasks', 'claim',
  'park_until', 'park_reason', 'parked_at', 'rung', 'idle_limit', 'active_at', 'offers', 'wake', 'account',
  'parked_by')
local epoch, hook = f[1], ARGV[3] ~= ''
if not epoch or (ARGV[2] ~= '' and ARGV[2] ~= epoch) or not live(worker) then
  return {'gone', '', epoch == ARGV[2] and call('HGET', key, 'state') or ''}
end
local ticket = f[3] or '0'
if ARGV[3] == 'new' then
  local old = 'pool:bell:' .. worker .. ':' .. ticket
  ticket = whole(call('HINCRBY', key, 'ticket', 1))
  call('RPUSH', old, 'superseded')
  call('EXPIRE', old, 60)
elseif hook and ARGV[3] ~= ticket then
  return {'superseded', ticket}
end
touch(worker)
if f[11] then call('HDEL', key, 'rung') end
if unpark_if_due(worker) then f[10] = false end

if f[7] then
  local id, token, queue = held(worker, epoch)
  if id then
    local j = call('HMGET', K.job(id), 'data', 'pool_attempts', 'pool_provisional', 'pool_parked', 'description')
    return {'held', ticket, id, token, queue, j[1], j[2] or '0', j[3] or '', j[4] or '', j[5] or ''}
  end
end
local bar, barred_until, why_barred = barred(f[16])
-- (One that only waits for its account may be let go meanwhile.)
if f[10] and not (hook and f[17] == 'account' and (f[4] or bar == 'stopped')) then
  local due = tonumber(f[8] or 0)
  return {'parked', ticket, due > 0 and stamp(due - NOW) or '-1', f[9] or ''}
end
if hook then
  local reason
  if f[4] then reason = 'draining'
  elseif bar == 'stopped' then reason = 'its account is stopped: ' .. why_barred
  elseif tonumber(f[5] or 0) > 0 and tonumber(f[6] or 0) >= tonumber(f[5]) then
    reason = f[6] .. ' tasks done in this session'
  end
  if reason then
    if f[11] then call('HSET', key, 'rung', f[11]) end
    depart(worker, 'stopped', reason)
    event('stopped', '', worker, '', reason)
    return {'stop', ticket, reason}
  end
end

if bar == 'stopped' then return {'parked', ticket, '-1', why_barred} end
if bar then
  barred_until = spread(worker, barred_until)
  park_worker(worker, barred_until, why_barred, 'account')
  event('parked', '', worker, '', why_barred)
  return {'parked', ticket, barred_until > 0 and stamp(barred_until - NOW) or '-1', why_barred}
end

local shunned_until, more
-- What keeps a listed task from this worker: 'gone' (it is not queued any more, or in another queue: its
-- run would be entered where the fence does not look), 'not now' or nil; when it was made, and its kind.
local function hindrance(id, name)
  local j = call('HMGET', K.job(id), 'status', 'created_at', 'pool_kind', 'pool_shun', 'pool_shun_until',
    'origin', 'pool_needs')
  if j[1] ~= 'queued' or j[6] ~= name then return 'gone' end
  if j[4] == worker and tonumber(j[5]) > NOW then
    shunned_until = math.min(shunned_until or tonumber(j[5]), tonumber(j[5]))
    return 'not now'
  end
  if not suits(j[7], f[14]) then return 'not now' end
  return nil, j[2] or '', j[3]
end

-- The next page behind the heads of a list: as peek().
local function beyond(name)
  local field = 'seek:' .. name
  local from = tonumber(call('HGET', key, field) or HEADS)
  for index = from, from + PAGE - 1 do
    local id = call('LINDEX', K.queue(name), index)
    if not id then
      call('HDEL', key, field)
      return nil
    end
    local why, created, kind = hindrance(id, name)
    if not why then return id, index, created, kind end
  end
  call('HSET', key, field, from + PAGE)
  more = true
  return nil
end

-- The first entry of a list that may be claimed: id, index, created, kind. What is gone (deleted,
-- cancelled, doubled by RQ's own clean-up) is dropped on the way.
local function peek(name)
  local list, index = K.queue(name), 0
  while index < HEADS do
    local id = call('LINDEX', list, index)
    if not id then return nil end
    local why, created, kind = hindrance(id, name)
    if not why then return id, index, created, kind end
    if why == 'gone' then call('LREM', list, 1, id) else index = index + 1 end
  end
  return beyond(name)
end

local id, index, queue, ours
if not f[4] and call('EXISTS', K.suspended) == 0 then
  local queues = split(f[2])
  local some_paused = call('EXISTS', 'pool:paused') == 1
  for _, suffix in ipairs({':high', '', ':low'}) do
    local oldest
    for _, base in ipairs(queues) do
      if not (some_paused and call('SISMEMBER', 'pool:paused', base) == 1) then
        local found, at, created, kind = peek(base .. suffix)
        if found and (not oldest or created < oldest) then
          id, index, queue, ours, oldest = found, at, base .. suffix, kind == 'task', created
        end
      end
    end
    if id then break end
  end
end

if id and not ours then return {'inspect', ticket, id, call('HGET', K.job(id), 'data') or '', queue} end
if id then
  if index == 0 then call('LPOP', K.queue(queue)) else call('LREM', K.queue(queue), 1, id) end
  local job, at = K.job(id), iso(NOW)
  local j = call('HMGET', job, 'timeout', 'enqueued_at', 'pool_attempts', 'data', 'description')
  measure(queue, 'w', ago(j[2]))
  local token = whole(call('INCR', 'pool:fence')) .. '-' .. ARGV[4]
  local timeout = tonumber(j[1] or L.task_timeout)
  local due = timeout > 0 and NOW + timeout or NOW + 315360000
  local attempts = whole(tonumber(j[3] or 0) + 1)
  -- (Where its log is: that must be known as long as the result, and the worker's own hash is gone sooner.)
  local at_home = call('HMGET', key, 'host', 'supervisor')
  local ran = worker .. ' ' .. (at_home[1] or '') .. ' ' .. (at_home[2] or '')
  -- The last three are there only when RQ's own code ended the last run: it knows none of our fields.
  call('HDEL', job, 'pool_shun', 'pool_shun_until', 'pool_provisional', 'pool_parked', 'pool_progress')
  call('HSET', job, 'status', 'started', 'started_at', at, 'last_heartbeat', at, 'worker_name', worker,
    'pool_token', token, 'pool_worker', worker, 'pool_epoch', epoch, 'pool_timeout_at', stamp(due),
    'pool_ran', ran,
    'pool_attempts', attempts, hook and 'pool_provisional' or 'pool_attempts', hook and '1' or attempts)
  call('PERSIST', job)
  local lease = math.min(NOW + (hook and L.provisional or L.lease), due)
  call('ZADD', 'pool:leases', stamp(lease), id)
  local parked, execution = whole(NOW + L.backstop), K.execution(id, token)
  call('ZADD', K.started(queue), parked, id .. ':' .. token)
  call('ZADD', K.executions(id), parked, token)
  call('EXPIRE', K.executions(id), whole(L.backstop + 60))
  call('HSET', execution, 'id', token, 'created_at', stamp(NOW), 'last_heartbeat', stamp(NOW),
    'worker_name', worker)
  call('EXPIRE', execution, whole(L.backstop + 60))
  unwait(worker, f[2])
  call('HDEL', key, 'reminders', 'prompted', 'lost', 'lost_why', 'errors', 'stalled')
  call('HSET', key, 'claim', id, 'token', token, 'claim_queue', queue, 'active_at', stamp(NOW),
    'state', hook and 'waiting' or 'working', 'state_at', stamp(NOW), 'evidence', 'claimed ' .. id)
  call('HSET', K.worker(worker), 'state', 'busy', 'current_job', id)
  event('claimed', id, worker, queue, token)
  return {'task', ticket, id, token, queue, j[4], attempts, hook and '1' or '', '', j[5] or ''}
end

local left = tonumber(f[13]) + tonumber(f[12]) - NOW
if hook and left <= 0 then
  depart(worker, 'stopped', 'idle for ' .. whole(tonumber(f[12])) .. ' s')
  event('stopped', '', worker, '', 'idle')
  return {'stop', ticket, 'idle'}
end
local window = tonumber(ARGV[5])
if window > 0 then
  call('HSET', key, 'waiting_until', stamp(NOW + window + 2))
  for _, base in ipairs(split(f[2])) do
    call('ZADD', 'pool:waiters:' .. base, 'NX', stamp(NOW), worker)
  end
end
if hook then
  local w = call('HMGET', key, 'state', 'mode')
  local how = w[2] == 'stream' and 'its supervisor waits for it' or 'in its Stop hook'
  if w[1] ~= 'waiting' then set_state(worker, 'waiting', how) end
end
if shunned_until then left = math.min(left, math.max(shunned_until - NOW, 0.1)) end
if more then left = math.min(left, 0.1) end
return {'wait', ticket, stamp(left), f[4] and 'draining' or more and 'more' or '', f[15] or ''}
