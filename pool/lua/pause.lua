-- include: base worker
-- Pause or resume a queue, or ('*') all of them, plain `rq worker`s included.
-- ARGV: 1 queue or '*', 2 'pause' or 'resume'
-- Returns {'ok', '1' if it changed anything, else '0'}.
local queue, changed = ARGV[1], 0
if ARGV[2] == 'pause' then
  if queue == '*' then changed = call('SETNX', K.suspended, 1)
  else changed = call('SADD', 'pool:paused', queue) end
elseif queue == '*' then changed = call('DEL', K.suspended)
else changed = call('SREM', 'pool:paused', queue) end
if ARGV[2] == 'resume' then
  local prefix = #K.queue('')
  for _, key in ipairs(call('SMEMBERS', K.queues)) do
    local base = base_of(string.sub(key, prefix + 1))
    if (queue == '*' or base == queue) and call('EXISTS', key) == 1 then
      local n = call('LLEN', key)
      while n > 0 and ring(base) do n = n - 1 end
    end
  end
end
event(ARGV[2] == 'pause' and 'paused' or 'resumed', '', '', queue, '')
return {'ok', whole(changed)}
