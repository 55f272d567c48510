-- A worker's own keys:
--   pool:worker:<id>     hash: epoch, process, state, idle clock, the claim it holds
--   pool:workers         zset: live workers by the moment at which they are given up on
--   pool:departed        zset: stopped and dead ones by the moment at which they are forgotten
--   pool:process:<key>   "<worker> <epoch>": who a process is
--   pool:waiters:<queue> zset: workers that wait in their Stop hook, longest first
--   pool:bell:<id>:<ticket>  list on which that hook blocks
--   pool:call:<id>       list on which its keeper blocks between two beats: what must reach the session now
--   pool:words:<id>      list of an operator's messages for the session, oldest first (tell.lua, told.lua)
--   pool:account:<name>  hash: parked (until when) or stopped, why; '*' is every account; none: all is well
--   pool:totals          hash: what happened since ever and belongs to no queue
--   pool:due             zset: "account <name>", "park <worker>" and "grace <worker>" by the moment at which
--                        each is over (thaw.lua)
local RQ_WORKER_TTL = 480

local function worker_key(worker) return 'pool:worker:' .. worker end

local function live(worker)
  return call('ZSCORE', 'pool:workers', worker)
end

-- The caller's registration: nil if the epoch is not (or no longer) the live one. An empty epoch
-- means "the current one", for people and programs without a session.
local function caller(worker, epoch)
  local current = call('HGET', worker_key(worker), 'epoch')
  if not current or not live(worker) or (epoch ~= '' and epoch ~= current) then return nil end
  return current
end

local function touch(worker)
  call('HSET', worker_key(worker), 'beat_at', stamp(NOW))
  call('ZADD', 'pool:workers', stamp(NOW + L.lease), worker)
  local key = K.worker(worker)
  call('HSET', key, 'last_heartbeat', iso(NOW))
  call('EXPIRE', key, RQ_WORKER_TTL)
end

local function set_state(worker, state, evidence)
  call('HSET', worker_key(worker), 'state', state, 'state_at', stamp(NOW), 'evidence', evidence)
end

local function unwait(worker, queues)
  for _, base in ipairs(split(queues)) do call('ZREM', 'pool:waiters:' .. base, worker) end
  call('HDEL', worker_key(worker), 'waiting_until')
end

-- Whether a worker that offers this may have a task that needs that: tokens, separated by spaces. A worker
-- that was started for tasks of one profile takes no others.
local function suits(needs, offers)
  needs, offers = ' ' .. (needs or '') .. ' ', ' ' .. (offers or '') .. ' '
  for token in string.gmatch(needs, '%S+') do
    if not string.find(offers, ' ' .. token .. ' ', 1, true) then return false end
  end
  local own = string.match(offers, ' (profile:%S+) ')
  return not own or string.find(needs, ' ' .. own .. ' ', 1, true) ~= nil
end

-- Wake one live waiter that serves the queue (of the first PASSED, one that may have a task with these
-- needs; nil: any); true if there was one.
local PASSED = 64
local function ring(base, needs)
  local waiters, passed = 'pool:waiters:' .. base, 0
  while passed < PASSED do
    local first = call('ZRANGE', waiters, passed, passed)[1]
    if not first then return false end
    local f = call('HMGET', worker_key(first), 'queues', 'ticket', 'waiting_until', 'offers')
    local waits = f[3] and tonumber(f[3]) > NOW
    if waits and needs and not suits(needs, f[4]) then
      passed = passed + 1
    else
      call('ZREM', waiters, first)
      if f[1] then unwait(first, f[1]) end
      if waits then
        local bell = 'pool:bell:' .. first .. ':' .. f[2]
        call('RPUSH', bell, base)
        call('EXPIRE', bell, 60)
        call('HSET', worker_key(first), 'rung', base)
        return true
      end
    end
  end
  return false
end

-- Wake this very worker's hook, whether or not there is work (drain, idle limit, cancel).
local function ring_worker(worker, why)
  local ticket = call('HGET', worker_key(worker), 'ticket')
  if not ticket then return end
  local bell = 'pool:bell:' .. worker .. ':' .. ticket
  call('RPUSH', bell, why)
  call('EXPIRE', bell, 60)
end

-- Let the worker's keeper beat at once: it has something to tell the session.
local function call_keeper(worker, why)
  local list = 'pool:call:' .. worker
  call('RPUSH', list, why)
  call('EXPIRE', list, 60)
end

-- The registration ends: what was not told by now will not be.
local function drop_words(worker, why)
  local list = 'pool:words:' .. worker
  while true do
    local text = call('LPOP', list)
    if not text then break end
    local id, task = string.match(text, '^([^\n]*)\n([^\n]*)\n')
    event('untold', task or '', worker, '', (id or '') .. ': ' .. why)
  end
  call('DEL', 'pool:call:' .. worker)
end

-- A worker that was woken will not take the task: wake another, if something still waits there.
local function pass_on(worker)
  local base = call('HGET', worker_key(worker), 'rung')
  if not base then return end
  call('HDEL', worker_key(worker), 'rung')
  for _, suffix in ipairs({':high', '', ':low'}) do
    local id = call('LINDEX', K.queue(base .. suffix), 0)
    if id then
      ring(base, call('HGET', K.job(id), 'pool_needs') or '')
      return
    end
  end
end

-- The end of a registration: 'stopped' or 'dead'. Its task has been dealt with before.
local function depart(worker, state, why)
  local key = worker_key(worker)
  local f = call('HMGET', key, 'queues', 'process', 'ticket')
  unwait(worker, f[1])
  pass_on(worker)
  if f[2] and f[2] ~= '' and state == 'dead' then call('DEL', 'pool:process:' .. f[2]) end
  set_state(worker, state, why)
  call('HINCRBY', 'pool:totals', 'workers ' .. state, 1)
  drop_words(worker, 'the worker is ' .. state)
  call('HDEL', key, 'words', 'wake', 'words_by', 'words_until', 'words_given')
  call('HDEL', key, 'claim', 'token', 'claim_queue', 'draining', 'park_until', 'park_reason', 'parked_at',
    'parked_by', 'stalled')
  call('ZREM', 'pool:due', 'park ' .. worker, 'grace ' .. worker)
  call('EXPIRE', key, whole(L.worker_memory))
  call('ZREM', 'pool:workers', worker)
  call('ZADD', 'pool:departed', stamp(NOW + L.worker_memory), worker)
  local rq = K.worker(worker)
  call('SREM', K.workers, rq)
  for _, base in ipairs(split(f[1])) do
    for _, suffix in ipairs({':high', '', ':low'}) do
      call('SREM', K.workers_of(base .. suffix), rq)
    end
  end
  call('HSET', rq, 'death', iso(NOW))
  call('HDEL', rq, 'current_job')
  call('EXPIRE', rq, 60)
end

local function idle_left(worker)
  local f = call('HMGET', worker_key(worker), 'active_at', 'idle_limit')
  return tonumber(f[1] or NOW) + tonumber(f[2] or 0) - NOW
end

-- What bars an account: 'parked' or 'stopped', until when (0: no end known), why; nil: nothing.
local function barred(account)
  if not account or account == '' then account = 'default' end
  if call('EXISTS', 'pool:account:' .. account, 'pool:account:*') == 0 then return nil end
  local until_when, reason
  for _, name in ipairs({account, '*'}) do
    local f = call('HMGET', 'pool:account:' .. name, 'state', 'until', 'reason')
    local due = tonumber(f[2] or 0)
    if f[1] == 'stopped' then return 'stopped', 0, f[3] end
    if f[1] == 'parked' and (due == 0 or due > NOW) and (not until_when or due == 0 or due > until_when) then
      until_when, reason = due, f[3]
    end
  end
  if until_when then return 'parked', until_when, reason end
  return nil
end

-- So that not all workers of an account go on in one second: each its own share of quota_jitter.
local function spread(worker, due)
  if due == 0 then return 0 end
  return due + L.quota_jitter * tonumber(string.sub(redis.sha1hex(worker .. due), 1, 6), 16) / 16777216
end

-- The worker waits until then (0: no end known). `by`: 'account', 'error', or '' for what it asked itself.
local function park_worker(worker, due, reason, by)
  local key = worker_key(worker)
  local f = call('HMGET', key, 'queues', 'parked_at')
  if not f[2] then call('HSET', key, 'parked_at', stamp(NOW)) end
  call('HSET', key, 'park_until', due == 0 and '0' or stamp(due), 'park_reason', reason, 'parked_by', by)
  if due == 0 then call('ZREM', 'pool:due', 'park ' .. worker)
  else call('ZADD', 'pool:due', stamp(due), 'park ' .. worker) end
  unwait(worker, f[1])
  pass_on(worker)
  set_state(worker, 'parked', reason)
end

-- Its session is at work again, whatever it was waiting for.
local function awake(worker)
  if call('HDEL', worker_key(worker), 'stalled') == 1 then call('ZREM', 'pool:due', 'grace ' .. worker) end
end

-- A parked worker whose time has come goes on; the time it was parked counts for nothing. One whose turn
-- has ended with the error, and whom only a person can make go on, keeps its task for quota_grace.
local function end_park(worker, why)
  local key = worker_key(worker)
  local f = call('HMGET', key, 'parked_at', 'active_at', 'claim', 'token', 'stalled')
  if not f[1] then return false end
  local pause = NOW - tonumber(f[1])
  call('HSET', key, 'active_at', stamp(tonumber(f[2]) + pause))
  call('HDEL', key, 'parked_at', 'park_until', 'park_reason', 'parked_by')
  call('ZREM', 'pool:due', 'park ' .. worker)
  if f[3] then
    local job = K.job(f[3])
    local j = call('HMGET', job, 'pool_timeout_at', 'pool_token')
    if j[2] == f[4] then  -- else it was taken away, and may be another's by now
      if j[1] then call('HSET', job, 'pool_timeout_at', stamp(tonumber(j[1]) + pause)) end
      call('HDEL', job, 'pool_parked')
    end
  end
  if f[3] and f[5] then
    call('ZADD', 'pool:due', stamp(NOW + L.quota_grace), 'grace ' .. worker)
    set_state(worker, 'needs-you', 'its quota is back: type anything there, and it goes on with its task')
  else
    set_state(worker, f[3] and 'working' or 'starting', why)
  end
  ring_worker(worker, 'unparked')
  return true
end
local function unpark_if_due(worker)
  local due = call('HGET', worker_key(worker), 'park_until')
  if due and tonumber(due) > 0 and tonumber(due) <= NOW and end_park(worker, 'its time has come') then
    event('unparked', '', worker, '', 'its time has come')
    return true
  end
  return false
end
