-- include: base stats worker task
-- The worker lives. Renews its registration and, once confirmed, its claim. The one transition that
-- writes no event unless it carries progress: nothing changes but the time.
-- ARGV: 1 worker, 2 epoch ('' the current one), 3 task ('' whatever it holds), 4 token, 5 progress text
-- Returns {'ok', idle seconds left, state, task, token, messages that wait}, {'gone', state, task, why} (the
-- registration ended, and what it held was taken away) or {'lost', task, token, why} (the task was taken
-- away; told once to a beat that names no task).
local worker, key = ARGV[1], worker_key(ARGV[1])
local epoch = caller(worker, ARGV[2])
if not epoch then
  local f = call('HMGET', key, 'state', 'epoch', 'lost', 'lost_why')
  if f[2] ~= ARGV[2] then return {'gone', 'replaced', '', ''} end
  return {'gone', f[1], f[3] or '', f[4] or ''}
end
touch(worker)
call('SADD', K.workers, K.worker(worker))
unpark_if_due(worker)
local id, token, queue
if ARGV[3] ~= '' then
  local verdict
  verdict, token, queue = fence(ARGV[3], ARGV[4], worker, epoch)
  if verdict ~= 1 then return {'lost', ARGV[3], ARGV[4], verdict == 2 and 'it is ended' or token} end
  id = ARGV[3]
  confirm_claim(worker, id, token, queue, 'heartbeat')
else
  id, token, queue = held(worker, epoch)
  local lost = call('HMGET', key, 'lost', 'lost_why')
  if lost[1] then
    call('HDEL', key, 'lost', 'lost_why')
    return {'lost', lost[1], '', lost[2]}
  end
  if id and not call('HGET', K.job(id), 'pool_provisional') then renew(id, token, queue) end
end
if ARGV[5] ~= '' and id then
  call('HSET', K.job(id), 'pool_progress', ARGV[5])
  event('progress', id, worker, queue, ARGV[5])
end
return {'ok', stamp(idle_left(worker)), call('HGET', key, 'state'), id or '', token or '',
  call('HGET', key, 'words') or ''}
