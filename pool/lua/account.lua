-- include: base stats worker task
-- An account has no quota left, is to be used no more, or goes on: all that follows, for all its workers.
-- ARGV: 1 worker whose session had the error ('': an operator, or a budget), 2 epoch, 3 account ('' the
-- worker's; '*' every one), 4 'park', 'pause' (this worker alone), 'stop' or 'resume', 5 until (seconds since
-- 1970, '+N' so many seconds from now, '0' no end known), 6 reason, 7 who says so, 8 what becomes of the
-- session: 'ends' (a plain `claude -p`), 'stalls' (a person must make it go on) or 'stays' (its supervisor does)
-- Returns {'ok', account, until, workers that wait or go on now, task given back, errors in a row} or {'gone'}.
-- Invariants: no attempt is spent. A parked worker keeps its claim, and its clocks stand. A stopped account
-- stays stopped until an operator resumes it.
local me, what, reason, source, how = ARGV[1], ARGV[4], ARGV[6], ARGV[7], ARGV[8]
local epoch = me ~= '' and caller(me, ARGV[2])
if me ~= '' and not epoch then return {'gone'} end
if me ~= '' then touch(me) end
local account = ARGV[3] ~= '' and ARGV[3] or call('HGET', worker_key(me), 'account') or ''
if account == '' then account = 'default' end
local key, member = 'pool:account:' .. account, 'account ' .. account
local due = string.sub(ARGV[5], 1, 1) == '+' and NOW + tonumber(string.sub(ARGV[5], 2)) or tonumber(ARGV[5]) or 0
local count, given_back, errors = 0, '', 0

local function give_back(worker, delay)
  local current = call('HGET', worker_key(worker), 'epoch')
  local id, token, queue = held(worker, current)
  if not id then return '' end
  detach(id, queue, token)
  settle(worker, id)
  local outcome = release_task(id, queue, worker, reason, delay, false)
  remember(id, token, worker, current, outcome)
  event('released', id, worker, queue, reason)
  return id
end

-- The worker waits, with what it holds.
local function rest(worker, until_when, by)
  local id, token, queue = held(worker, call('HGET', worker_key(worker), 'epoch'))
  if id then
    call('HSET', K.job(id), 'pool_parked', '1')
    confirm_claim(worker, id, token, queue, 'parked')
  end
  park_worker(worker, until_when, reason, by)
  event('parked', id or '', worker, queue or '', reason)
  count = count + 1
end

-- Its own session's turn is over.
local function rest_myself(until_when, by)
  if how == 'ends' then
    given_back = give_back(me, math.max(until_when - NOW, 0))
    set_state(me, 'interrupted', reason)
    return
  end
  if how == 'stalls' then call('HSET', worker_key(me), 'stalled', '1') end
  rest(me, until_when, by)
end

-- Other live workers of the account: id, who parked it, whether it holds a task.
local function others()
  local found = {}
  for _, worker in ipairs(call('ZRANGE', 'pool:workers', 0, -1)) do
    local f = call('HMGET', worker_key(worker), 'account', 'parked_at', 'parked_by', 'claim')
    local its = f[1] and f[1] ~= '' and f[1] or 'default'
    if worker ~= me and (account == '*' or its == account) then
      found[#found + 1] = {worker, f[2] and (f[3] or '') or nil, f[4] and true or false}
    end
  end
  return found
end

if what == 'pause' then
  errors = call('HINCRBY', worker_key(me), 'errors', 1)
  due = NOW + math.min(L.error_wait * 2 ^ math.min(errors - 1, 20), math.max(L.quota_wait, L.error_wait))
  rest_myself(due, 'error')
  return {'ok', account, stamp(due), count, given_back, errors}
end

local before = call('HMGET', key, 'state', 'until')
if what == 'resume' then
  local unused = call('HGET', key, 'unused')
  if call('DEL', key) == 0 then return {'ok', account, '', -1, '', 0} end
  if unused then call('SREM', 'pool:accounts', account) end
  call('ZREM', 'pool:due', member)
  event('account-resumed', '', '', '', account .. ': ' .. reason)
  for _, other in ipairs(others()) do
    if other[2] == 'account' and not barred(call('HGET', worker_key(other[1]), 'account')) then
      end_park(other[1], 'its account goes on')
      event('unparked', '', other[1], '', reason)
      count = count + 1
    end
  end
  return {'ok', account, '', count, '', 0}
end

-- Known by an operator's word alone, so far: a slip of the pen is forgotten when it is resumed.
local unused = call('SADD', 'pool:accounts', account) == 1 or call('HGET', key, 'unused')
unused = unused and me == ''
if not unused then call('HDEL', key, 'unused') end
if what == 'stop' then
  if before[1] ~= 'stopped' then
    call('DEL', key)
    call('HSET', key, 'state', 'stopped', 'reason', reason, 'since', stamp(NOW), 'source', source)
    if unused then call('HSET', key, 'unused', '1') end
    call('ZREM', 'pool:due', member)
    event('account-stopped', '', me, '', account .. ': ' .. reason)
  end
  for _, other in ipairs(others()) do
    if other[2] == 'account' then give_back(other[1], 0) end  -- it could do nothing for the task
    if other[2] == 'account' or not other[3] then
      ring_worker(other[1], 'account')
      count = count + 1
    end
  end
  if me ~= '' then
    given_back = give_back(me, 0)
    depart(me, 'stopped', reason)
    event('stopped', '', me, '', reason)
  end
  return {'ok', account, '0', count, given_back, 0}
end

if before[1] == 'stopped' then
  -- It stays so; the session, whose turn is over all the same, is let go.
  if me ~= '' then
    given_back = give_back(me, 0)
    depart(me, 'stopped', reason)
    event('stopped', '', me, '', reason)
  end
  return {'ok', account, '0', 0, given_back, 0}
end
local known = before[1] == 'parked' and tonumber(before[2]) or -1
if known == 0 or due == 0 then due = 0 else due = math.max(known, due) end
if due ~= known then
  if known < 0 then call('HSET', key, 'since', stamp(NOW)) end
  call('HSET', key, 'state', 'parked', 'until', due == 0 and '0' or stamp(due), 'reason', reason, 'source', source)
  if unused then call('HSET', key, 'unused', '1') end
  if due == 0 then call('ZREM', 'pool:due', member) else call('ZADD', 'pool:due', stamp(due), member) end
  event('account-parked', '', me, '', account .. ': ' .. reason)
  for _, other in ipairs(others()) do
    if other[2] ~= '' then rest(other[1], spread(other[1], due), 'account') end
  end
end
if me ~= '' then rest_myself(spread(me, due), 'account') end
return {'ok', account, due == 0 and '0' or stamp(due), count, given_back, 0}
