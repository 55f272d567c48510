-- include: base stats worker task
-- Commit a result, with its evidence. At most one is ever committed per task, and none of a task with a check
-- (it needs `check`) that has not passed.
-- ARGV: 1 worker, 2 epoch ('' the current one), 3 task, 4 token ('' the one it holds),
-- 5 result (base64 of JSON), 6 '1' when the check has passed, 7 how many texts of evidence follow, then
-- those (name, bytes), then name, bytes of each artifact
-- Returns {'done', woken children}, {'already', outcome}, {'stale', why}, or {'check', token, data, attempts}: it
-- has a check, which comes first; nothing was changed.
local worker, id = ARGV[1], ARGV[3]
local epoch = ARGV[2] ~= '' and ARGV[2] or call('HGET', worker_key(worker), 'epoch') or ''
local verdict, token, queue = fence(id, ARGV[4], worker, epoch)
if verdict == 2 and queue == 'finished' then return {'already', queue} end
if verdict ~= 1 then
  if verdict == 2 then token = 'this claim has ended otherwise: ' .. (queue or '') end
  return refuse(id, worker, 'complete', token)
end
local job = K.job(id)
if ARGV[6] ~= '1' then
  local j = call('HMGET', job, 'pool_needs', 'data', 'pool_attempts')
  if string.find(' ' .. (j[1] or '') .. ' ', ' check ', 1, true) then return {'check', token, j[2], j[3] or '0'} end
end
local started = call('HGET', K.execution(id, token), 'created_at') or stamp(NOW)
local ttl = tonumber(call('HGET', job, 'result_ttl') or L.result_ttl)
call('HSET', job, 'status', 'finished', 'ended_at', iso(NOW), 'last_heartbeat', iso(NOW),
  'pool_done', token, 'pool_done_by', worker .. ':' .. epoch, 'pool_outcome', 'finished')
call('XADD', K.results(id), 'MAXLEN', '~', 10, '*', 'type', 1, 'worker_name', worker,
  'return_value', ARGV[5], 'execution_id', token, 'execution_started_at', started,
  'execution_ended_at', stamp(NOW))
local shown = tonumber(ARGV[7] or 0)
keep_evidence(id, 8, shown)
local failed = call('HGET', job, 'pool_checks')
if failed then call('HSET', 'pool:evidence:' .. id, 'failed_checks', failed) end
for i = 8 + shown, #ARGV, 2 do call('HSET', 'pool:artifacts:' .. id, ARGV[i], ARGV[i + 1]) end
detach(id, queue, token)
call('HDEL', job, 'pool_error')
free_unique(id)
local woken = wake_dependents(id, 'finished')
keep(id, K.finished(queue), ttl, '+inf')
settle(worker, id, 'successful_job_count', NOW - tonumber(started))
measure(queue, 'r', NOW - tonumber(started))
local key, now = worker_key(worker), stamp(NOW)
call('HSET', key, 'active_at', now, 'state', 'working', 'state_at', now, 'evidence', 'completed ' .. id)
call('HINCRBY', key, 'tasks', 1)
event('finished', id, worker, queue, token)
return {'done', woken}
