-- include: base stats worker task
-- Move what is due (run-at, retries, releases) into its queue, and ring for foreign producers.
-- ARGV: 1 leader's token, 2 how many per queue at most
-- Returns {'ok', task, ...} or {'not-leader'}.
-- Invariant: a task cancelled meanwhile stays cancelled.
if call('GET', 'pool:leader') ~= ARGV[1] then return {'not-leader'} end
local out = {'ok'}
local prefix = #K.queue('')
for _, key in ipairs(call('SMEMBERS', K.queues)) do
  local queue = string.sub(key, prefix + 1)
  for _, id in ipairs(call('ZRANGEBYSCORE', K.scheduled(queue), '-inf', stamp(NOW), 'LIMIT', 0, ARGV[2])) do
    call('ZREM', K.scheduled(queue), id)
    if call('HGET', K.job(id), 'status') == 'scheduled' then
      call('HDEL', K.job(id), 'pool_not_before')
      push(id, queue, false)
      event('promoted', id, '', queue, '')
      out[#out + 1] = id
    end
  end
  local base = base_of(queue)
  if call('EXISTS', key) == 1 and call('EXISTS', 'pool:waiters:' .. base) == 1
    and call('SISMEMBER', 'pool:paused', base) == 0 and call('EXISTS', K.suspended) == 0 then
    ring(base)
  end
end
return out
