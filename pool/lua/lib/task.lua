-- A task is an RQ job. Our own fields on its hash begin with `pool_`; pool:leases holds the
-- deadline of every claim on this server's clock, pool:tasks every task by the time it was made.

-- The fence. 1, token, queue: the claim is the caller's. 2: it was committed already (a replay).
-- 0, why: stale. Independent facts, so that RQ's own cancel, delete or clean-up fences out as well.
local function fence(id, token, worker, epoch)
  local f = call('HMGET', K.job(id), 'pool_token', 'status', 'pool_done', 'pool_worker', 'pool_epoch',
    'origin', 'pool_done_by', 'pool_outcome')
  local me = worker .. ':' .. epoch
  if token == '' then            -- a bare task id: only what this very registration holds or ended
    if f[1] and f[4] == worker and f[5] == epoch then token = f[1]
    elseif f[3] and f[7] == me then token = f[3] end
  end
  if token ~= '' and f[1] == token and f[4] == worker and f[5] == epoch and f[2] == 'started'
    and call('ZSCORE', K.started(f[6]), id .. ':' .. token) then
    return 1, token, f[6]
  end
  if token ~= '' and f[3] == token then return 2, token, f[8] end
  if not f[2] then return 0, 'there is no such task' end
  if f[2] == 'started' and f[4] and (f[4] ~= worker or f[5] ~= epoch) then
    return 0, 'it was given to ' .. f[4]
  end
  return 0, 'it is ' .. f[2] .. ' now'
end

-- A commit that came too late, or from another.
local function refuse(id, worker, what, why)
  local queue = call('HGET', K.job(id), 'origin')
  if queue then count(queue, 'refused') end
  event('refused', id, worker, queue or '', what .. ': ' .. why)
  return {'stale', why}
end

-- Take the task out of everything that says it runs.
local function detach(id, queue, token)
  call('ZREM', K.started(queue), id .. ':' .. token)
  call('DEL', K.execution(id, token))
  call('ZREM', K.executions(id), token)
  call('ZREM', 'pool:leases', id)
  call('HDEL', K.job(id), 'pool_token', 'pool_provisional', 'pool_parked', 'pool_timeout_at',
    'pool_progress', 'pool_checks', 'pool_checked')
end

-- What a task's end is believed by: `count` texts of ARGV, names and bytes. Of the last attempt only.
local function keep_evidence(id, first, count)
  local key = 'pool:evidence:' .. id
  call('DEL', key)
  for i = first, first + count - 1, 2 do call('HSET', key, ARGV[i], ARGV[i + 1]) end
end

-- The worker holds nothing any more. `counter` is RQ's tally, `seconds` its working time.
local function settle(worker, id, counter, seconds)
  local key = worker_key(worker)
  if call('HGET', key, 'claim') == id then
    call('HDEL', key, 'claim', 'token', 'claim_queue', 'parked_at', 'park_until', 'park_reason', 'parked_by',
      'stalled', 'errors', 'reminders', 'prompted')
  end
  local rq = K.worker(worker)
  local current = call('HGET', rq, 'current_job')
  if current == id then
    call('HDEL', rq, 'current_job')
    call('HSET', rq, 'state', 'idle')
  end
  if current or call('EXISTS', rq) == 1 then
    if counter then call('HINCRBY', rq, counter, 1) end
    if seconds then call('HINCRBYFLOAT', rq, 'total_working_time', stamp(seconds)) end
  end
end

local function free_unique(id)
  local key = call('HGET', K.job(id), 'pool_unique')
  if key and call('GET', 'pool:unique:' .. key) == id then call('DEL', 'pool:unique:' .. key) end
end

-- The live task that owns a unique key. RQ's own code ends and deletes tasks and frees no key.
local OVER = {finished = true, failed = true, canceled = true, stopped = true}
local function unique_owner(key)
  local id = call('GET', 'pool:unique:' .. key)
  local f = id and call('HMGET', K.job(id), 'status', 'pool_unique')
  return f and f[1] and f[2] == key and not OVER[f[1]] and id or nil
end

-- A task that had ended lives again: its key is its own, unless another has it by now.
local function own_unique(id)
  local key = call('HGET', K.job(id), 'pool_unique')
  if not key then return nil end
  local other = unique_owner(key)
  if other and other ~= id then return other end
  call('SET', 'pool:unique:' .. key, id)
  return nil
end

local function push(id, queue, front)
  call('HSET', K.job(id), 'status', 'queued', 'enqueued_at', iso(NOW))
  call('SADD', K.queues, K.queue(queue))
  call(front and 'LPUSH' or 'RPUSH', K.queue(queue), id)
  ring(base_of(queue), call('HGET', K.job(id), 'pool_needs') or '')
end

local function schedule(id, queue, at)
  call('HSET', K.job(id), 'status', 'scheduled')
  call('SADD', K.queues, K.queue(queue))
  call('ZADD', K.scheduled(queue), whole(math.ceil(at)), id)
end

-- RQ's Queue.enqueue_dependents, inside the transaction that ends the parent.
local function met(child, allow_failure, parent, parent_status)
  for _, other in ipairs(call('SMEMBERS', K.dependencies(child))) do
    local status = other == parent and parent_status or call('HGET', K.job(other), 'status')
    if status and status ~= 'finished' and not (status == 'failed' and allow_failure == '1') then
      return false
    end
  end
  return true
end

-- RQ's own enqueue_dependents asks no child whether it waits still: one that stays in another parent's
-- set while it runs would be queued a second time.
local function leave_parents(child)
  for _, parent in ipairs(call('SMEMBERS', K.dependencies(child))) do
    call('SREM', K.dependents(parent), child)
  end
end

local function wake_dependents(id, status)
  local woken = 0
  local children = call('SMEMBERS', K.dependents(id))
  table.sort(children)
  for _, child in ipairs(children) do
    local c = call('HMGET', K.job(child), 'status', 'origin', 'allow_dependency_failures',
      'enqueue_at_front', 'pool_not_before')
    if c[1] == 'deferred' and met(child, c[3], id, status) then
      call('ZREM', K.deferred(c[2]), child)
      leave_parents(child)
      if c[5] and tonumber(c[5]) > NOW then
        schedule(child, c[2], tonumber(c[5]))
      else
        push(child, c[2], c[4] == '1')
      end
      woken = woken + 1
    end
  end
  return woken
end

-- Into its queue, or back to waiting for its parents.
local function put_back(id, queue, front)
  if met(id, call('HGET', K.job(id), 'allow_dependency_failures')) then
    leave_parents(id)
    push(id, queue, front)
    return 'queued'
  end
  for _, parent in ipairs(call('SMEMBERS', K.dependencies(id))) do call('SADD', K.dependents(parent), id) end
  call('HSET', K.job(id), 'status', 'deferred')
  call('ZADD', K.deferred(queue), whole(NOW), id)
  return 'deferred'
end

-- The task has ended: into its registry, and kept as long as RQ would keep it: forever when the time is
-- negative, not at all when it is 0. Wake its children first: their set goes with it.
local function keep(id, registry, ttl, forever)
  if ttl < 0 then
    call('ZADD', registry, forever, id)
    call('PERSIST', K.results(id))
    return
  end
  if ttl > 0 then call('ZADD', registry, whole(NOW + ttl), id) end
  for _, key in ipairs({K.job(id), K.dependents(id), K.dependencies(id), K.results(id),
    'pool:artifacts:' .. id, 'pool:evidence:' .. id}) do
    call('EXPIRE', key, whole(ttl))
  end
end

-- The task has failed for good: pool:failures, a capped stream, tells of it. `b64` is RQ's exc_string,
-- base64(zlib(text)).
local function bury(id, queue, text, b64, worker, token, started)
  local job = K.job(id)
  count(queue, 'failed')
  local ttl = tonumber(call('HGET', job, 'failure_ttl') or L.failure_ttl)
  call('HSET', job, 'status', 'failed', 'ended_at', iso(NOW), 'pool_error', text)
  local fields = {'type', 2, 'worker_name', worker, 'exc_string', b64}
  if token and token ~= '' then
    fields[#fields + 1] = 'execution_id'
    fields[#fields + 1] = token
    fields[#fields + 1] = 'execution_started_at'
    fields[#fields + 1] = started
    fields[#fields + 1] = 'execution_ended_at'
    fields[#fields + 1] = stamp(NOW)
  end
  call('XADD', K.results(id), 'MAXLEN', '~', 10, '*', unpack(fields))
  call('XADD', 'pool:failures', 'MAXLEN', '~', 1000, '*', 'task', id, 'queue', queue, 'worker', worker or '',
    'why', string.sub(text, 1, 500))
  free_unique(id)
  wake_dependents(id, 'failed')
  keep(id, K.failed(queue), ttl, -1)
end

-- A failure: retry now, retry later, or bury. RQ's own arithmetic of retry_intervals. (pool_left: the
-- retries left by what the pool knows of; undo.lua gives back what others spent.)
local function fail_task(id, queue, text, b64, worker, token, started, may_retry)
  local job = K.job(id)
  local f = call('HMGET', job, 'retries_left', 'retry_intervals', 'enqueue_at_front_on_retry')
  local left = tonumber(f[1] or 0)
  if left <= 0 or not may_retry then
    bury(id, queue, text, b64, worker, token, started)
    return 'failed'
  end
  count(queue, 'retried')
  local intervals = {}
  for number in string.gmatch(f[2] or '', '%d+') do intervals[#intervals + 1] = tonumber(number) end
  local delay = intervals[math.max(#intervals - left, 0) + 1] or 0
  call('HSET', job, 'retries_left', left - 1, 'pool_left', left - 1, 'ended_at', iso(NOW), 'pool_error', text)
  if delay > 0 then
    schedule(id, queue, NOW + delay)
    return 'scheduled'
  end
  push(id, queue, f[3] == '1')
  return 'queued'
end

-- How a claim ended, for a helper that asks again. (The job may be gone, if nobody wants to know of it.)
local function remember(id, token, worker, epoch, outcome)
  if call('EXISTS', K.job(id)) == 0 then return end
  call('HSET', K.job(id), 'pool_done', token, 'pool_done_by', worker .. ':' .. epoch, 'pool_outcome', outcome)
end

-- Its worker is lost: back to the front, on a budget of its own.
local function lose_task(id, queue, why)
  local losses = call('HINCRBY', K.job(id), 'pool_losses', 1)
  count(queue, 'lost')
  if losses >= L.loss_limit then
    count(queue, 'poisoned')
    bury(id, queue, L.poison_text, L.poison_b64, '', '', '')
    return 'failed'
  end
  call('HSET', K.job(id), 'pool_error', why)
  push(id, queue, true)
  return 'queued'
end

-- It is handed back, unharmed. A counted release waits longer each time and shuns this worker.
local function release_task(id, queue, worker, reason, delay, counted)
  local job = K.job(id)
  call('HINCRBY', job, 'pool_attempts', -1)
  count(queue, counted and 'released' or 'returned')
  if counted then
    local count = call('HINCRBY', job, 'pool_releases', 1)
    if count > L.release_limit then
      bury(id, queue, L.releases_text, L.releases_b64, '', '', '')
      return 'failed'
    end
    if not delay then delay = math.min(L.release_delay * 2 ^ (count - 1), L.release_delay_max) end
    call('HSET', job, 'pool_shun', worker, 'pool_shun_until', stamp(NOW + 2 * delay))
  end
  call('HSET', job, 'pool_error', reason)
  if delay and delay > 0 then
    schedule(id, queue, NOW + delay)
    return 'scheduled'
  end
  push(id, queue, true)
  return 'queued'
end

-- A live worker's task was taken away: its next beat says so, once.
local function tell_lost(worker, id, why)
  if not live(worker) then return end
  call('HSET', worker_key(worker), 'lost', id, 'lost_why', why)
  call_keeper(worker, 'lost')
end

-- What the worker holds, if it truly holds it: id, token, queue.
local function held(worker, epoch)
  local f = call('HMGET', worker_key(worker), 'claim', 'token')
  if not f[1] then return nil end
  local verdict, token, queue = fence(f[1], f[2], worker, epoch)
  if verdict == 1 then return f[1], token, queue end
  call('HDEL', worker_key(worker), 'claim', 'token', 'claim_queue')
  tell_lost(worker, f[1], token)
  return nil
end

-- Renew a claim: the lease (never past the task's own timeout) and RQ's parked deadlines.
local function renew(id, token, queue)
  local job = K.job(id)
  local f = call('HMGET', job, 'pool_timeout_at', 'pool_parked')
  local deadline = NOW + L.lease
  if f[1] and not f[2] and tonumber(f[1]) < deadline then deadline = tonumber(f[1]) end
  call('ZADD', 'pool:leases', 'XX', stamp(deadline), id)
  call('HSET', job, 'last_heartbeat', iso(NOW))
  local parked = whole(NOW + L.backstop)
  call('ZADD', K.started(queue), 'XX', parked, id .. ':' .. token)
  call('ZADD', K.executions(id), 'XX', parked, token)
  call('EXPIRE', K.executions(id), whole(L.backstop + 60))
  call('HSET', K.execution(id, token), 'last_heartbeat', stamp(NOW))
  call('EXPIRE', K.execution(id, token), whole(L.backstop + 60))
end

-- The session has the task: from now on the keeper renews it.
local function confirm_claim(worker, id, token, queue, evidence)
  if call('HDEL', K.job(id), 'pool_provisional') == 1 then
    set_state(worker, 'working', evidence)
  end
  renew(id, token, queue)
end

-- The worker's registration ends while it holds a task: lost ('died') or handed back ('ended').
local function drop_claim(worker, epoch, how, why)
  local id, token, queue = held(worker, epoch)
  if not id then return nil end
  local provisional = call('HGET', K.job(id), 'pool_provisional')
  detach(id, queue, token)
  settle(worker, id, how == 'died' and 'failed_job_count' or nil)
  if provisional then return id, release_task(id, queue, worker, why, nil, false) end
  if how == 'died' then return id, lose_task(id, queue, why) end
  return id, release_task(id, queue, worker, why, 0, true)
end
