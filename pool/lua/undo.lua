-- include: base worker task
-- A plain `rq worker` without our serializer failed a task that it could not even read: undo that,
-- without an attempt.
-- ARGV: 1 task, 2 reason
-- Returns {'ok'} or {'no'}.
local id, job = ARGV[1], K.job(ARGV[1])
local f = call('HMGET', job, 'status', 'origin', 'pool_kind', 'pool_retries', 'worker_name')
if f[1] ~= 'failed' or f[3] ~= 'task' then return {'no'} end
call('ZREM', K.failed(f[2]), id)
call('PERSIST', job)
if f[4] then call('HSET', job, 'retries_left', f[4]) end
call('HDEL', job, 'exc_info', 'ended_at')
call('HSET', job, 'pool_error', ARGV[2])
push(id, f[2], true)
event('undone', id, f[5] or '', f[2], ARGV[2])
return {'ok'}
