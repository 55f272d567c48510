-- include: base stats worker task
-- Put a task back into its queue. 'retry': one that failed or was cancelled, with fresh budgets;
-- 'requeue': one that runs (it is taken from its worker, nothing counted) or is scheduled.
-- ARGV: 1 task, 2 'retry' or 'requeue', 3 reason
-- Returns {'queued' | 'deferred', status before, worker} or {'no', status}.
local id, mode, job = ARGV[1], ARGV[2], K.job(ARGV[1])
local f = call('HMGET', job, 'status', 'origin', 'pool_token', 'pool_worker', 'pool_retries')
local status, queue = f[1], f[2]
if not status then return {'no', ''} end
local outcome = 'queued'
if mode == 'retry' then
  if status ~= 'failed' and status ~= 'canceled' and status ~= 'stopped' then return {'no', status} end
  local other = own_unique(id)
  if other then return {'no', 'unique:' .. other} end
  call('ZREM', K.failed(queue), id)
  call('ZREM', K.canceled(queue), id)
  call('PERSIST', job)
  for _, key in ipairs({K.dependents(id), K.dependencies(id)}) do call('PERSIST', key) end
  if f[5] then call('HSET', job, 'retries_left', f[5]) end
  call('HDEL', job, 'pool_losses', 'pool_releases', 'pool_error', 'ended_at', 'pool_shun',
    'pool_shun_until', 'pool_done', 'pool_done_by', 'pool_outcome', 'pool_left')
  outcome = put_back(id, queue, false)
elseif status == 'started' and f[3] then
  detach(id, queue, f[3])
  settle(f[4], id)
  tell_lost(f[4], id, ARGV[3])
  call('HINCRBY', job, 'pool_attempts', -1)
  call('HSET', job, 'pool_error', ARGV[3])
  push(id, queue, true)
elseif status == 'scheduled' then
  call('ZREM', K.scheduled(queue), id)
  call('HDEL', job, 'pool_not_before')
  push(id, queue, false)
else
  return {'no', status}
end
count(queue, 'requeued')
event('requeued', id, f[4] or '', queue, mode .. ' from ' .. status)
return {outcome, status, f[4] or ''}
