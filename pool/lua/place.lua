-- include: base stats worker task
-- Where a claimed task is worked on: a git worktree of its own. Told before it is made (the next worker must know
-- of it whatever happens), and again while that takes long: an unconfirmed hand-over lasts on.
-- ARGV: 1 worker, 2 epoch, 3 task, 4 token, 5 the place (JSON; '' as it was)
-- Returns {'ok', the place before} or {'stale', why}.
local worker, id = ARGV[1], ARGV[3]
local epoch = ARGV[2] ~= '' and ARGV[2] or call('HGET', worker_key(worker), 'epoch') or ''
local verdict, token, queue = fence(id, ARGV[4], worker, epoch)
if verdict ~= 1 then return {'stale', verdict == 0 and token or 'it is ended'} end
local job = K.job(id)
local f = call('HMGET', job, 'pool_worktree', 'pool_provisional', 'pool_timeout_at')
if ARGV[5] ~= '' then
  call('HSET', job, 'pool_worktree', ARGV[5])
  event('placed', id, worker, queue, ARGV[5])
end
touch(worker)
if f[2] then
  local due = NOW + L.provisional
  if f[3] then due = math.min(due, tonumber(f[3])) end
  call('ZADD', 'pool:leases', 'XX', stamp(due), id)
else
  renew(id, token, queue)
end
return {'ok', f[1] or ''}
