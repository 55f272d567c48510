-- How records become tasks, for every script that makes them. A record is length-prefixed text (4 bytes,
-- big end first): id, RQ queue, not before (seconds since 1970, or ''), parents (comma-separated), allow
-- failure ('1' or ''), front ('1' or ''), unique key (or ''), then field, value, ... of the job's hash.
local function parse_record(text)
  local parts, at, size = {}, 1, #text
  while at + 3 <= size do
    local a, b, c, d = string.byte(text, at, at + 3)
    local length = ((a * 256 + b) * 256 + c) * 256 + d
    parts[#parts + 1] = string.sub(text, at + 4, at + 3 + length)
    at = at + 4 + length
  end
  return parts
end

-- Why records cannot become tasks: {'exists' | 'nodep', index, what}, or nil. Changes nothing; notes which
-- of them are duplicates, whose unique key a live task holds (or an earlier one of them).
local function refusal(records)
  local known, keys = {}, {}
  for index, r in ipairs(records) do
    local duplicate = false
    if r[7] ~= '' then
      duplicate = keys[r[7]] or unique_owner(r[7])
      keys[r[7]] = duplicate or r[1]
    end
    r.duplicate = duplicate
    if not duplicate then
      if known[r[1]] or call('EXISTS', K.job(r[1])) == 1 then return {'exists', index, r[1]} end
      for _, parent in ipairs(split(r[4])) do
        if not known[parent] and call('EXISTS', K.job(parent)) == 0 then return {'nodep', index, parent} end
      end
      known[r[1]] = true
    end
  end
  return nil
end

-- Enqueue a record that is no duplicate, as the index-th of its batch; the task's status.
local function enqueue(r, index)
  local id, queue = r[1], r[2]
  local job, at = K.job(id), iso(NOW)
  local fields = {}
  for i = 8, #r do fields[#fields + 1] = r[i] end
  call('HSET', job, 'created_at', at, 'enqueued_at', at, 'pool_kind', 'task', unpack(fields))
  call('ZADD', 'pool:tasks', stamp(NOW + index / 1000000), id)  -- of one upload, in its order
  if r[7] ~= '' then
    call('SET', 'pool:unique:' .. r[7], id)
    call('HSET', job, 'pool_unique', r[7])
  end
  local waiting = false
  for _, parent in ipairs(split(r[4])) do
    local status = call('HGET', K.job(parent), 'status')
    if status ~= 'finished' and not (status == 'failed' and r[5] == '1') then waiting = true end
  end
  local later = r[3] ~= '' and tonumber(r[3]) > NOW
  local status = waiting and 'deferred' or later and 'scheduled' or 'queued'
  if later then call('HSET', job, 'pool_not_before', r[3]) end
  if waiting then
    for _, parent in ipairs(split(r[4])) do
      call('SADD', K.dependents(parent), id)
      call('SADD', K.dependencies(id), parent)
    end
    call('HSET', job, 'status', 'deferred')
    call('HDEL', job, 'enqueued_at')
    call('SADD', K.queues, K.queue(queue))
    call('ZADD', K.deferred(queue), whole(NOW), id)
  elseif later then
    call('HDEL', job, 'enqueued_at')
    schedule(id, queue, tonumber(r[3]))
  else
    push(id, queue, r[6] == '1')
  end
  count(queue, 'submitted')
  event('submitted', id, '', queue, status)
  return status
end
