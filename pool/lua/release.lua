-- include: base stats worker task
-- Hand a task back, unharmed: no attempt is spent.
-- ARGV: 1 worker, 2 epoch, 3 task, 4 token, 5 reason, 6 delay in seconds ('' grows by itself),
-- 7 '1' counts against the release budget
-- Returns {'queued' | 'scheduled' | 'failed', releases so far}, {'already', outcome} or {'stale', why}.
local worker, id = ARGV[1], ARGV[3]
local epoch = ARGV[2] ~= '' and ARGV[2] or call('HGET', worker_key(worker), 'epoch') or ''
local verdict, token, queue = fence(id, ARGV[4], worker, epoch)
if verdict == 2 and queue ~= 'finished' then return {'already', queue or ''} end
if verdict ~= 1 then
  if verdict == 2 then token = 'it was completed by this claim' end
  return refuse(id, worker, 'release', token)
end
detach(id, queue, token)
settle(worker, id)
local outcome = release_task(id, queue, worker, ARGV[5], tonumber(ARGV[6]), ARGV[7] == '1')
remember(id, token, worker, epoch, outcome)
if call('EXISTS', worker_key(worker)) == 1 then set_state(worker, 'working', 'released ' .. id) end
event(outcome == 'failed' and 'failed' or 'released', id, worker, queue, ARGV[5])
return {outcome, call('HGET', K.job(id), 'pool_releases') or '0'}
