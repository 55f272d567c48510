-- include: base stats worker task
-- Delete tasks that ended long ago, with all their keys. Never one that has not ended, nor one for which
-- another still waits. Each candidate was found by looking, and is judged here.
-- ARGV: 1 seconds since its end, at least, 2 statuses (comma-separated: finished, failed, canceled),
-- 3 queue without priority ('' any), 4 '1' to look only, 5.. tasks
-- Returns {'ok', verdict, ...}, one for each task: its status before (it is deleted), or 'kept' (it has not
-- ended, not long enough ago, or another state or queue is meant), 'awaited' (another waits for it) or 'gone'
-- (its hash had expired; its entry in pool:tasks goes, too).
-- Invariant: what is left of a deleted task is its past in the events and counters.
local age, queue, look = tonumber(ARGV[1]), ARGV[3], ARGV[4] == '1'
local wanted, out, deleted = {}, {'ok'}, 0
for _, status in ipairs(split(ARGV[2])) do wanted[status] = OVER[status] end

local function awaited(id)
  for _, child in ipairs(call('SMEMBERS', K.dependents(id))) do
    local status = call('HGET', K.job(child), 'status')
    if status and not OVER[status] then return true end
  end
  return false
end

-- RQ's own cancel writes no end.
local function since_end(id, f)
  if f[3] and f[3] ~= '' then return ago(f[3]) end
  local at = call('ZSCORE', K.canceled(f[2]), id)
  return at and NOW - tonumber(at) or ago(f[4])
end

local function judged(id)
  local f = call('HMGET', K.job(id), 'status', 'origin', 'ended_at', 'created_at')
  if not f[1] then return 'gone' end
  local status = f[1] == 'stopped' and 'failed' or f[1]
  if not wanted[status] or (queue ~= '' and base_of(f[2]) ~= queue) or since_end(id, f) < age then
    return 'kept'
  end
  if awaited(id) then return 'awaited' end
  return status, f[2]
end

for i = 5, #ARGV do
  local id = ARGV[i]
  local verdict, rq_queue = judged(id)
  if not look and verdict == 'gone' then
    call('ZREM', 'pool:tasks', id)
  elseif not look and rq_queue then
    free_unique(id)
    leave_parents(id)
    for _, registry in ipairs({K.finished(rq_queue), K.failed(rq_queue), K.canceled(rq_queue)}) do
      call('ZREM', registry, id)
    end
    call('DEL', K.job(id), K.dependents(id), K.dependencies(id), K.results(id), K.executions(id),
      'pool:artifacts:' .. id, 'pool:evidence:' .. id)
    call('ZREM', 'pool:tasks', id)
    deleted = deleted + 1
  end
  out[#out + 1] = verdict
end
if deleted > 0 then event('purged', '', '', queue, deleted .. ' tasks') end
return out
