-- include: base stats worker task
-- A task's check did not pass. Its session goes on, with what the check said; when that was once too often, the
-- attempt has failed.
-- ARGV: 1 worker, 2 epoch, 3 task, 4 token, 5 id of the check's run (told twice, it counts once), 6 what went
-- wrong, 7 the same as base64(zlib), 8 how many texts of evidence follow, then those (name, bytes)
-- Returns {'again', failed checks of this claim}, {'queued' | 'scheduled' | 'failed', failed checks},
-- {'already', outcome} or {'stale', why}.
-- Invariant: the claim lives on, or the task is out of it, on its own budget of retries.
local worker, id = ARGV[1], ARGV[3]
local epoch = ARGV[2] ~= '' and ARGV[2] or call('HGET', worker_key(worker), 'epoch') or ''
local verdict, token, queue = fence(id, ARGV[4], worker, epoch)
if verdict == 2 and queue ~= 'finished' then return {'already', queue or ''} end
if verdict ~= 1 then
  if verdict == 2 then token = 'it was completed by this claim' end
  return refuse(id, worker, 'checked', token)
end
local job = K.job(id)
local f = call('HMGET', job, 'pool_checks', 'pool_checked')
if f[2] == ARGV[5] then return {'again', f[1] or '0'} end
local failed = whole(tonumber(f[1] or 0) + 1)
keep_evidence(id, 9, tonumber(ARGV[8]))
call('HSET', 'pool:evidence:' .. id, 'failed_checks', failed)
local here = call('EXISTS', worker_key(worker)) == 1
if tonumber(failed) < L.check_limit then
  call('HSET', job, 'pool_checks', failed, 'pool_checked', ARGV[5])
  confirm_claim(worker, id, token, queue, 'its check failed')
  if here then set_state(worker, 'working', 'its check failed') end
  event('check failed', id, worker, queue, string.sub(ARGV[6], 1, 500))
  return {'again', failed}
end
local started = call('HGET', K.execution(id, token), 'created_at') or stamp(NOW)
detach(id, queue, token)
settle(worker, id, 'failed_job_count', NOW - tonumber(started))
local outcome = fail_task(id, queue, ARGV[6], ARGV[7], worker, token, started, true)
remember(id, token, worker, epoch, outcome)
if here then
  call('HSET', worker_key(worker), 'active_at', stamp(NOW))
  call('HINCRBY', worker_key(worker), 'tasks', 1)
  set_state(worker, 'working', 'failed ' .. id)
end
event(outcome == 'failed' and 'failed' or 'retrying', id, worker, queue, string.sub(ARGV[6], 1, 500))
return {outcome, failed}
