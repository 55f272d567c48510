-- include: base stats worker task
-- Book what a session's model requests have used: on the task, the worker, the account, the day.
-- ARGV: 1 worker, 2 epoch ('' whoever it is now), 3 source (who counts) and 4 its number of this report: a
-- report that was booked is not booked again, 5 the account's budget for a day (nanodollars; '' none), 6 that of
-- all accounts together ('' none), 7.. for each task and model: task ('' none), model, requests, tokens of
-- input, output, cache read, cache write, nanodollars ('' unknown)
-- Returns {'ok', '1' when a task was over its budget and failed, '1' when a day's budget is used up} or
-- {'again'}: it was booked before.
-- pool:cost:day:<date>     hash: `<what>=<name>:<measure>`, with what: all, account, queue, model, worker, kind
-- pool:cost:total          hash: `<kind> <account> <model>:<measure>` since ever; of names beyond the first 500 the
--                          model is `other`
-- pool:cost:tasks          zset: tasks that have cost something, by the moment of the last booking
-- pool:day                 hash: the date in the operators' time zone, and when it ends (today.lua)
-- Invariant: each report is booked once. Requests without a task count as idle if nothing waits in the
-- worker's queues, else as overhead (starting up, reading the instructions).
local worker, key = ARGV[1], worker_key(ARGV[1])
local last = 'pool:charged:' .. ARGV[3]
if tonumber(call('GET', last) or -1) >= tonumber(ARGV[4]) then return {'again'} end
call('SET', last, ARGV[4], 'EX', 604800)

local f = call('HMGET', key, 'account', 'queues', 'epoch')
local account = f[1] and f[1] ~= '' and f[1] or 'default'
local known = f[3] and (ARGV[2] == '' or f[3] == ARGV[2])

local date, day_ends
local today = call('HMGET', 'pool:day', 'date', 'ends')
if today[1] and tonumber(today[2]) > NOW and tonumber(today[2]) <= NOW + 93600 then
  date, day_ends = today[1], tonumber(today[2])
else
  date, day_ends = string.sub(iso(NOW), 1, 10), (math.floor(NOW / 86400) + 1) * 86400
end
local day = 'pool:cost:day:' .. date

local function nothing_waits()
  for _, base in ipairs(split(f[2])) do
    for _, suffix in ipairs({':high', '', ':low'}) do
      if call('EXISTS', K.queue(base .. suffix)) == 1 then return false end
    end
  end
  return true
end

local MOST_NAMES = 500
local MEASURES = {'requests', 'input', 'output', 'read', 'write', 'nano', 'unpriced'}
local function book(hash, prefix, amounts)
  for i, name in ipairs(MEASURES) do
    if amounts[i] ~= 0 then call('HINCRBY', hash, prefix .. name, whole(amounts[i])) end
  end
end

-- The prefix under which the three are counted since ever.
local function counted_as(kind, model)
  local prefix = kind .. ' ' .. account .. ' ' .. model .. ':'
  if call('HGET', 'pool:cost:total', prefix .. 'requests') then return prefix end
  if call('HINCRBY', 'pool:cost:total', 'names', 1) > MOST_NAMES then
    prefix = kind .. ' ' .. account .. ' other:'
  end
  call('HINCRBY', 'pool:cost:total', prefix .. 'requests', 0)
  return prefix
end

local function over_budget(id)
  local j = call('HMGET', K.job(id), 'pool_budget', 'pool_cost_nano', 'pool_worker', 'pool_token', 'status')
  local budget = tonumber(j[1] or 0) * 1000000000
  if budget <= 0 or tonumber(j[2] or 0) <= budget or j[5] ~= 'started' or j[3] ~= worker then return false end
  local verdict, token, queue = fence(id, j[4], worker, f[3] or '')
  if verdict ~= 1 then return false end
  local started = call('HGET', K.execution(id, token), 'created_at') or stamp(NOW)
  detach(id, queue, token)
  settle(worker, id, 'failed_job_count', NOW - tonumber(started))
  bury(id, queue, L.budget_text, L.budget_b64, worker, token, started)
  remember(id, token, worker, f[3], 'failed')
  tell_lost(worker, id, L.budget_text)
  event('failed', id, worker, queue, string.format('it has cost %.4f of %s USD', tonumber(j[2]) / 1000000000, j[1]))
  return true
end

local failed, spent = '', ''
local idle_kind
for i = 7, #ARGV, 8 do
  local task, model, unknown = ARGV[i], ARGV[i + 1], ARGV[i + 7] == ''
  local amounts = {}
  for n = 2, 6 do amounts[#amounts + 1] = math.max(math.floor(tonumber(ARGV[i + n])), 0) end
  amounts[6] = unknown and 0 or math.max(math.floor(tonumber(ARGV[i + 7])), 0)
  amounts[7] = unknown and math.max(amounts[1], 1) or 0
  local kind, queue = 'task', task ~= '' and call('HGET', K.job(task), 'origin')
  if task == '' then
    idle_kind = idle_kind or (nothing_waits() and 'idle' or 'overhead')
    kind = idle_kind
  end
  if queue then
    book(K.job(task), 'pool_cost_', amounts)
    call('ZADD', 'pool:cost:tasks', stamp(NOW), task)
  end
  if known then
    book(key, 'cost_', amounts)
    if kind == 'idle' then
      call('HINCRBY', key, 'idle_requests', whole(amounts[1]))
      call('HINCRBY', key, 'idle_tokens', whole(amounts[2] + amounts[3] + amounts[4] + amounts[5]))
    end
    if amounts[1] > 0 then call('HDEL', key, 'errors') end
  end
  book('pool:cost:total', counted_as(kind, model), amounts)
  book(day, 'all=all:', amounts)
  book(day, 'account=' .. account .. ':', amounts)
  book(day, 'worker=' .. worker .. ':', amounts)
  book(day, 'model=' .. model .. ':', amounts)
  book(day, 'kind=' .. kind .. ':', amounts)
  if queue then book(day, 'queue=' .. base_of(queue) .. ':', amounts) end
  if queue and over_budget(task) then failed = '1' end
end
call('EXPIRE', day, whole(L.cost_ttl))
call('SADD', 'pool:accounts', account)
call('HDEL', 'pool:account:' .. account, 'unused')
call('ZREMRANGEBYSCORE', 'pool:cost:tasks', '-inf', stamp(NOW - L.cost_ttl))

-- A day's budget is used up: nobody goes on before the next day.
local function spend(name, budget, field)
  if budget == '' or tonumber(call('HGET', day, field) or 0) < tonumber(budget) then return end
  spent = '1'
  local account_key = 'pool:account:' .. name
  local was = call('HMGET', account_key, 'state', 'until')
  if was[1] == 'stopped' or (was[1] == 'parked' and (tonumber(was[2]) == 0 or tonumber(was[2]) >= day_ends)) then
    return
  end
  local why = string.format('the budget of %.2f USD for %s is used up', tonumber(budget) / 1000000000, date)
  call('SADD', 'pool:accounts', name)
  call('HSET', account_key, 'state', 'parked', 'until', stamp(day_ends), 'reason', why, 'source', 'budget', 'since',
    stamp(NOW))
  call('ZADD', 'pool:due', stamp(day_ends), 'account ' .. name)
  event('account-parked', '', worker, '', name .. ': ' .. why)
end
spend(account, ARGV[5], 'account=' .. account .. ':nano')
spend('*', ARGV[6], 'all=all:nano')
return {'ok', failed, spent}
