-- include: base stats worker task
-- Take back what dead workers held, what was never confirmed, and what ran past its own timeout.
-- ARGV: 1 leader's token ('' an operator's own reap), 2 '1' when expired leases may be believed (no
-- outage just ended), 3 how many at most
-- Returns {'ok', task, outcome, reason, ...} with reason 'lost' | 'timeout' | 'unconfirmed' | 'worker',
-- or {'not-leader'}.
-- Invariant: reaping touches the task and the registration, never the worker's files.
if ARGV[1] ~= '' and call('GET', 'pool:leader') ~= ARGV[1] then return {'not-leader'} end
local out, batch = {'ok'}, tonumber(ARGV[3])
local function note(id, outcome, reason)
  out[#out + 1] = id
  out[#out + 1] = outcome
  out[#out + 1] = reason
end
for _, id in ipairs(call('ZRANGEBYSCORE', 'pool:leases', '-inf', stamp(NOW), 'LIMIT', 0, batch)) do
  local f = call('HMGET', K.job(id), 'pool_token', 'origin', 'status', 'pool_worker', 'pool_provisional',
    'pool_timeout_at', 'pool_parked')
  if f[3] ~= 'started' or not f[1] then
    call('ZREM', 'pool:leases', id)  -- cancelled or deleted by RQ's own code
  elseif not call('ZSCORE', K.started(f[2]), id .. ':' .. f[1]) then
    call('ZREM', 'pool:leases', id)  -- taken over by RQ's own clean-up
  else
    local timeout = not f[7] and tonumber(f[6] or 0) > 0 and tonumber(f[6]) <= NOW
    if f[5] or timeout or ARGV[2] == '1' then
      local started = call('HGET', K.execution(id, f[1]), 'created_at') or stamp(NOW)
      detach(id, f[2], f[1])
      settle(f[4], id, not f[5] and 'failed_job_count' or nil)
      local reason, outcome
      if f[5] then
        reason, outcome = 'unconfirmed', release_task(id, f[2], f[4], 'the hand-over was cut off', nil, false)
      elseif timeout then
        reason = 'timeout'
        outcome = fail_task(id, f[2], L.timeout_text, L.timeout_b64, f[4], f[1], started, true)
      else
        reason, outcome = 'lost', lose_task(id, f[2], 'worker ' .. f[4] .. ' was not heard of')
      end
      if not f[5] then tell_lost(f[4], id, reason == 'timeout' and L.timeout_text or 'its lease ran out') end
      event(reason == 'unconfirmed' and 'returned' or reason, id, f[4], f[2], outcome)
      note(id, outcome, reason)
    end
  end
end
if ARGV[2] == '1' then
  for _, worker in ipairs(call('ZRANGEBYSCORE', 'pool:workers', '-inf', stamp(NOW), 'LIMIT', 0, batch)) do
    local epoch = call('HGET', worker_key(worker), 'epoch')
    local id, outcome
    if epoch then id, outcome = drop_claim(worker, epoch, 'died', 'worker ' .. worker .. ' was not heard of') end
    if id then tell_lost(worker, id, 'its lease ran out') end
    depart(worker, 'dead', 'not heard of for ' .. whole(L.lease) .. ' s')
    event('dead', id or '', worker, '', 'lease ran out')
    note(id or worker, outcome or 'dead', 'worker')
  end
end
for _, worker in ipairs(call('ZRANGEBYSCORE', 'pool:departed', '-inf', stamp(NOW), 'LIMIT', 0, batch)) do
  call('ZREM', 'pool:departed', worker)
end
return out
