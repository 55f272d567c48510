-- include: base stats worker task
-- Cancel a task that has not ended. A worker that holds it learns from its next beat.
-- ARGV: 1 task, 2 reason
-- Returns {'canceled', status before, worker} or {'no', status} ('' when there is no such task).
local id, job = ARGV[1], K.job(ARGV[1])
local f = call('HMGET', job, 'status', 'origin', 'pool_token', 'pool_worker')
local status, queue = f[1], f[2]
if not status then return {'no', ''} end
if status == 'queued' then call('LREM', K.queue(queue), 0, id)
elseif status == 'scheduled' then call('ZREM', K.scheduled(queue), id)
elseif status == 'deferred' then call('ZREM', K.deferred(queue), id)
elseif status == 'started' and f[3] then
  detach(id, queue, f[3])
  settle(f[4], id)
  tell_lost(f[4], id, ARGV[2])
else
  return {'no', status}
end
call('HSET', job, 'status', 'canceled', 'ended_at', iso(NOW), 'pool_error', ARGV[2])
call('ZADD', K.canceled(queue), whole(NOW), id)
free_unique(id)
count(queue, 'canceled')
event('canceled', id, f[4] or '', queue, ARGV[2])
return {'canceled', status, status == 'started' and f[4] or ''}
