-- include: base stats worker task
-- Put right what should not exist. Each candidate was found by looking, and is judged here again.
-- ARGV: 1 leader's token ('' an operator), 2 kind, 3.. candidates
--   'unlisted'   task: status queued, but in no list (lost by RQ's own LPOP, or with a plain worker that
--                died between taking a task and starting it)
--   'deferred'   task: deferred, though its parents are done
--   'unleased'   RQ queue, 'job:token' pairs: runs for us without a lease, or is no run any more (RQ's
--                clean-up had read before it ran, and wrote after; it would fail what comes later for it)
--   'forgotten'  task: in pool:tasks, but its hash has expired
-- Returns {'ok', what was mended...} or {'not-leader'}.
if ARGV[1] ~= '' and call('GET', 'pool:leader') ~= ARGV[1] then return {'not-leader'} end
local out, kind = {'ok'}, ARGV[2]
-- An execution that is a token of ours; RQ's own are uuids without a dash.
local OURS = '^%d+%-%x+$'
local function mended(id, queue, detail)
  event('swept', id, '', queue, detail)
  out[#out + 1] = id
end
-- A plain `rq worker` may be about to start it: it moves the id aside or makes an execution first, and
-- sets the status a moment later. RQ's own patience with an id that stays aside is a minute too.
local PATIENCE = 60
local function being_taken(id, queue)
  for _, execution in ipairs(call('ZRANGE', K.executions(id), 0, -1)) do
    if not string.match(execution, OURS) then return true end  -- ours are what RQ left when it ended a run
  end
  local aside, seen = K.intermediate(queue), K.first_seen(queue, id)
  if not call('LPOS', aside, id) then return false end
  if call('SET', seen, stamp(NOW), 'NX', 'EX', 86400) then return true end
  if NOW - tonumber(call('GET', seen)) < PATIENCE then return true end
  call('LREM', aside, 0, id)
  call('DEL', seen)
  return false
end

-- What such a worker left among the running ones; RQ's clean-up would fail the task's next run for it.
local function forget_runs(id, queue)
  for _, member in ipairs(call('ZRANGE', K.started(queue), 0, -1)) do
    if string.sub(member, 1, #id + 1) == id .. ':' then call('ZREM', K.started(queue), member) end
  end
end

if kind == 'unleased' then
  for i = 3, #ARGV, 2 do
    local queue, id, token = ARGV[i], string.match(ARGV[i + 1], '^([^:]*):(.*)$')
    local f = call('HMGET', K.job(id), 'status', 'pool_token', 'pool_worker')
    if call('ZSCORE', K.started(queue), ARGV[i + 1]) then
      if f[1] == 'started' and f[2] == token then
        if call('ZADD', 'pool:leases', 'NX', stamp(NOW + L.lease), id) == 1 then
          mended(id, queue, 'had no lease')  -- it has one again: the reaper decides
        end
      elseif string.match(token, OURS) then
        call('ZREM', K.started(queue), ARGV[i + 1])
        call('DEL', K.execution(id, token))
        call('ZREM', K.executions(id), token)
        mended(id, queue, 'left over in the started registry')
      end
    end
  end
  return out
end
for i = 3, #ARGV do
  local id = ARGV[i]
  local f = call('HMGET', K.job(id), 'status', 'origin', 'allow_dependency_failures')
  if kind == 'unlisted' and f[1] == 'queued' and not call('LPOS', K.queue(f[2]), id)
    and not being_taken(id, f[2]) then
    forget_runs(id, f[2])
    push(id, f[2], true)
    mended(id, f[2], 'was in no queue')
  elseif kind == 'deferred' and f[1] == 'deferred' and met(id, f[3]) then
    call('ZREM', K.deferred(f[2]), id)
    leave_parents(id)
    local at = tonumber(call('HGET', K.job(id), 'pool_not_before') or 0)
    if at > NOW then schedule(id, f[2], at) else push(id, f[2], false) end
    mended(id, f[2], 'its parents were done')
  elseif kind == 'forgotten' and not f[1] then
    call('ZREM', 'pool:tasks', id)
    out[#out + 1] = id
  end
end
return out
