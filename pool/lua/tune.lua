-- include: base worker
-- Change a live worker: drain it (it stops after its task) or give it another idle limit.
-- ARGV: 1 worker, 2 'draining' ('1' or '') or 'idle_limit' (seconds), 3 value
-- Returns {'ok', task} or {'gone'}.
local worker, key = ARGV[1], worker_key(ARGV[1])
if not caller(worker, '') then return {'gone'} end
if ARGV[3] == '' then call('HDEL', key, ARGV[2]) else call('HSET', key, ARGV[2], ARGV[3]) end
ring_worker(worker, ARGV[2])
event(ARGV[2] == 'draining' and (ARGV[3] == '' and 'undrained' or 'draining') or 'tuned', '', worker, '',
  ARGV[2] .. ' ' .. ARGV[3])
return {'ok', call('HGET', key, 'claim') or ''}
