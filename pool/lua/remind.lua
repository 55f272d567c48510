-- include: base stats worker task
-- A session wants to stop and holds a task: let it (a person, a background task), remind it, or, after
-- too many reminders without a tool call in between, fail the task.
-- ARGV: 1 worker, 2 epoch, 3 tool calls so far ('' unknown), 4 '1' when background tasks run,
-- 5 '1' when its last message is the task's result
-- Returns {'let', why}, {'settle', task, token} (with that result), {'remind', n, task, token, title},
-- {'failed', task, outcome}, {'none'}, or {'parked'}: its account has no quota left, so a reminder would only
-- end in an error; wait.
local worker, key = ARGV[1], worker_key(ARGV[1])
local epoch = caller(worker, ARGV[2])
if not epoch then return {'none'} end
local id, token, queue = held(worker, epoch)
if not id then return {'none'} end
touch(worker)
confirm_claim(worker, id, token, queue, 'its session wants to stop')
local f = call('HMGET', key, 'reminders', 'reminded_tools', 'prompted', 'parked_at', 'parked_by')
if ARGV[4] == '1' then return {'let', 'background tasks run'} end
if f[4] and f[5] ~= 'account' then return {'let', 'parked'} end
if f[4] and ARGV[5] ~= '1' then return {'parked'} end
if f[3] then
  set_state(worker, 'needs-you', 'it answered a person and holds a task')
  event('state', id, worker, queue, 'needs-you: it answered a person and holds a task')
  return {'let', 'a person is asked'}
end
if ARGV[5] == '1' then return {'settle', id, token} end
local count = 1
if f[1] and (ARGV[3] == '' or f[2] == ARGV[3]) then count = tonumber(f[1]) + 1 end
if count > L.reminders then
  local started = call('HGET', K.execution(id, token), 'created_at') or stamp(NOW)
  detach(id, queue, token)
  settle(worker, id, 'failed_job_count')
  local outcome = fail_task(id, queue, L.reminders_text, L.reminders_b64, worker, token, started, true)
  remember(id, token, worker, epoch, outcome)
  call('HSET', key, 'active_at', stamp(NOW))
  event(outcome == 'failed' and 'failed' or 'retrying', id, worker, queue, 'reminded in vain')
  return {'failed', id, outcome}
end
call('HSET', key, 'reminders', count, 'reminded_tools', ARGV[3])
event('reminded', id, worker, queue, whole(count))
return {'remind', count, id, token, call('HGET', K.job(id), 'description') or ''}
