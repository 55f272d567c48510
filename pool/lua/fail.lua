-- include: base stats worker task
-- The attempt failed: retry on the task's own budget, or bury it.
-- ARGV: 1 worker, 2 epoch, 3 task, 4 token, 5 what went wrong, 6 the same as base64(zlib), 7 '1' may
-- be retried
-- Returns {'queued' | 'scheduled' | 'failed', retries left}, {'already', outcome} or {'stale', why}.
local worker, id = ARGV[1], ARGV[3]
local epoch = ARGV[2] ~= '' and ARGV[2] or call('HGET', worker_key(worker), 'epoch') or ''
local verdict, token, queue = fence(id, ARGV[4], worker, epoch)
if verdict == 2 and queue ~= 'finished' then return {'already', queue or ''} end
if verdict ~= 1 then
  if verdict == 2 then token = 'it was completed by this claim' end
  return refuse(id, worker, 'fail', token)
end
local started = call('HGET', K.execution(id, token), 'created_at') or stamp(NOW)
detach(id, queue, token)
settle(worker, id, 'failed_job_count', NOW - tonumber(started))
local outcome = fail_task(id, queue, ARGV[5], ARGV[6], worker, token, started, ARGV[7] == '1')
remember(id, token, worker, epoch, outcome)
if call('EXISTS', worker_key(worker)) == 1 then
  call('HSET', worker_key(worker), 'active_at', stamp(NOW))
  call('HINCRBY', worker_key(worker), 'tasks', 1)
  set_state(worker, 'working', 'failed ' .. id)
end
event(outcome == 'failed' and 'failed' or 'retrying', id, worker, queue, string.sub(ARGV[5], 1, 500))
return {outcome, call('HGET', K.job(id), 'retries_left') or '0'}
