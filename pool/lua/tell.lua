-- include: base stats worker task
-- A message of an operator's to a session that works: to a live worker, or to the one that holds a task. It
-- waits in pool:words:<worker> until the session is handed it (told.lua), and no longer than its registration.
-- ARGV: 1 worker or task, 2 text, 3 '1' to wake a waiting worker for it, 4 so many may wait at most
-- Returns {'sent', message, worker, task ('' when it goes to the worker), state, what it holds},
-- {'unknown'}, {'gone', state}: no live worker, {'idle', status}: no worker of the pool holds that task,
-- {'old', worker}: its hooks know nothing of messages, or {'full', worker, how many wait}.
-- Invariant: a message is told once, or an event says why it was not.
local worker, task = ARGV[1], ''
local state = call('HGET', worker_key(worker), 'state')
if not live(worker) then
  local f = call('HMGET', K.job(worker), 'status', 'pool_worker', 'pool_epoch', 'pool_token')
  if not f[1] then return state and {'gone', state} or {'unknown'} end
  task, worker = worker, f[2] or ''
  if f[1] ~= 'started' or not f[4] or fence(task, f[4], worker, f[3] or '') ~= 1 then return {'idle', f[1]} end
end
local key, list = worker_key(worker), 'pool:words:' .. worker
local f = call('HMGET', key, 'scripts', 'epoch', 'state', 'claim')
if tonumber(f[1] or 0) < 3 then return {'old', worker} end
local waiting = call('LLEN', list)
if waiting >= tonumber(ARGV[4]) then return {'full', worker, whole(waiting)} end
local id = f[2] .. '-' .. whole(call('HINCRBY', key, 'words_sent', 1))
call('RPUSH', list, id .. '\n' .. task .. '\n' .. stamp(NOW) .. '\n' .. ARGV[2])
call('HSET', key, 'words', whole(waiting + 1))
call_keeper(worker, 'words')
if ARGV[3] == '1' then
  call('HSET', key, 'wake', '1')
  ring_worker(worker, 'words')
end
event('tell', task ~= '' and task or f[4] or '', worker, '', id)
return {'sent', id, worker, task, f[3] or '', f[4] or ''}
