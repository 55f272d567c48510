-- include: base stats worker task enqueue
-- Make tasks as they were exported from a pool (pool/archive.py): each with its state, results and time left.
-- ARGV: records, as length-prefixed text (lib/enqueue.lua): id, status, RQ queue, moment it was made, seconds to
-- live (ended ones; '' for ever), moment (due, not before or cancelled; ''), unique key (''), parents
-- (comma-separated), number of texts that follow for each of: fields and values of the job's hash; names and
-- bytes of artifacts; names and texts of evidence; then those texts, and of each result its id, the number of its
-- texts, fields and values.
-- Returns {'ok', verdict, ...}: for each 'restored', 'exists' (it is left alone), 'unique' (a live task has its
-- key) or 'nodep' (it waits for a task that is not there); nothing is written of the latter three.
-- Invariants: one home per task; no child before its parents; a run is never restored.
local out, made = {'ok'}, 0

local function slice(r, first, count)
  local part = {}
  for i = first, first + count - 1 do part[#part + 1] = r[i] end
  return part
end

local function refused(id, status, unique, parents)
  if call('EXISTS', K.job(id)) == 1 then return 'exists' end
  if unique ~= '' and not OVER[status] and unique_owner(unique) then return 'unique' end
  for _, parent in ipairs(status == 'deferred' and parents or {}) do
    if call('EXISTS', K.job(parent)) == 0 then return 'nodep' end
  end
  return nil
end

-- Into the home of its status. (Its parents may have ended here before it came.)
local function settle_in(id, status, queue, ttl, at, parents)
  local job = K.job(id)
  call('SADD', K.queues, K.queue(queue))
  if status == 'deferred' and met(id, call('HGET', job, 'allow_dependency_failures')) then
    status = at and at > NOW and 'scheduled' or 'queued'
    if status == 'queued' then call('HSET', job, 'enqueued_at', iso(NOW)) end
  end
  call('HSET', job, 'status', status)
  if status == 'queued' then
    call('RPUSH', K.queue(queue), id)
    ring(base_of(queue))
  elseif status == 'scheduled' then
    schedule(id, queue, at)
  elseif status == 'deferred' then
    for _, parent in ipairs(parents) do call('SADD', K.dependents(parent), id) end
    call('ZADD', K.deferred(queue), whole(NOW), id)
  elseif status == 'canceled' then
    call('ZADD', K.canceled(queue), whole(at or NOW), id)
  elseif status == 'finished' then
    keep(id, K.finished(queue), ttl or -1, '+inf')
  else
    keep(id, K.failed(queue), ttl or -1, -1)
  end
end

for i = 1, #ARGV do
  local r = parse_record(ARGV[i])
  local id, status, queue, unique, parents = r[1], r[2], r[3], r[7], split(r[8])
  local verdict = refused(id, status, unique, parents)
  if not verdict then
    local fields, artifacts, evidence = tonumber(r[9]), tonumber(r[10]), tonumber(r[11])
    -- What an expired task of that id has left behind. (Others may wait for it: its dependents stay.)
    call('DEL', K.results(id), K.dependencies(id), 'pool:artifacts:' .. id,
      'pool:evidence:' .. id)
    call('HSET', K.job(id), 'pool_kind', 'task', unpack(slice(r, 12, fields)))
    local shown = 12 + fields + artifacts
    local next_one = shown + evidence
    for at = 12 + fields, shown - 1, 2 do call('HSET', 'pool:artifacts:' .. id, r[at], r[at + 1]) end
    for at = shown, next_one - 1, 2 do call('HSET', 'pool:evidence:' .. id, r[at], r[at + 1]) end
    while r[next_one] do
      local texts = tonumber(r[next_one + 1])
      call('XADD', K.results(id), r[next_one], unpack(slice(r, next_one + 2, texts)))
      next_one = next_one + 2 + texts
    end
    call('ZADD', 'pool:tasks', r[4], id)
    for _, parent in ipairs(parents) do call('SADD', K.dependencies(id), parent) end
    if unique ~= '' and not OVER[status] then call('SET', 'pool:unique:' .. unique, id) end
    settle_in(id, status, queue, tonumber(r[5]), tonumber(r[6]), parents)
    made = made + 1
  end
  out[#out + 1] = verdict or 'restored'
end
if made > 0 then event('restored', '', '', '', made .. ' tasks') end
return out
