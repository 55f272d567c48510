-- include: base stats worker task
-- Undo what a plain `rq worker` without our serializer did to a task that it could not even read: back
-- to the front of its queue, without an attempt. Where RQ's own retry came first (it keeps no result),
-- what tells is a spent retry that the pool knows nothing of.
-- ARGV: 1 task, 2 reason
-- Returns {'ok', status before} or {'no'}: it has moved on, or no plain worker did it.
local id, job = ARGV[1], K.job(ARGV[1])
local f = call('HMGET', job, 'status', 'origin', 'pool_kind', 'pool_retries', 'pool_left', 'retries_left',
  'worker_name')
local status, queue = f[1], f[2]
if f[3] ~= 'task' then return {'no'} end
local left = tonumber(f[5] or f[4] or 0)
if status == 'failed' then
  local last = call('XREVRANGE', K.results(id), '+', '-', 'COUNT', 1)[1]
  local execution
  for i = 1, last and #last[2] or 0, 2 do
    if last[2][i] == 'execution_id' then execution = last[2][i + 1] end
  end
  -- What the pool fails carries a token of ours or, where nobody held it, nothing.
  if not execution or string.match(execution, '^%d+%-%x+$') or own_unique(id) then return {'no'} end
  call('XDEL', K.results(id), last[1])
  if call('XLEN', K.results(id)) == 0 then call('DEL', K.results(id)) end
  call('ZREM', K.failed(queue), id)
  for _, key in ipairs({job, K.dependents(id), K.dependencies(id)}) do call('PERSIST', key) end
elseif (status == 'queued' or status == 'scheduled') and tonumber(f[6] or 0) < left then
  call('LREM', K.queue(queue), 0, id)
  call('ZREM', K.scheduled(queue), id)
else
  return {'no'}
end
if left > 0 then call('HSET', job, 'retries_left', left) end
call('HSET', job, 'pool_error', ARGV[2], 'ended_at', '')
put_back(id, queue, true)
event('undone', id, f[7] or '', queue, ARGV[2])
return {'ok', status}
