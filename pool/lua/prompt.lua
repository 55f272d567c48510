-- include: base stats worker task
-- A prompt begins a turn: any older hook of this session is over, and a person may be in the talk. What
-- its quota or an error had it wait for is over, too: if it is not, the turn ends with that error again.
-- ARGV: 1 worker, 2 epoch, 3 '1' when a person typed it
-- Returns {'ok'}, {'gone', state}, or {'held', ticket, id, token, queue, data, attempts, provisional,
-- parked, title} for a claim whose hand-over was cut off.
local worker, key = ARGV[1], worker_key(ARGV[1])
local epoch = caller(worker, ARGV[2])
if not epoch then return {'gone', call('HGET', key, 'state') or ''} end
touch(worker)
local old = call('HGET', key, 'ticket')
local ticket = whole(call('HINCRBY', key, 'ticket', 1))
if old then
  local bell = 'pool:bell:' .. worker .. ':' .. old
  call('RPUSH', bell, 'superseded')
  call('EXPIRE', bell, 60)
end
unwait(worker, call('HGET', key, 'queues'))
pass_on(worker)
awake(worker)
if (call('HGET', key, 'parked_by') or '') ~= '' then end_park(worker, 'a prompt') end
local id, token, queue = held(worker, epoch)
event('prompted', id or '', worker, '', ARGV[3] == '1' and 'by a person' or '')
if not id then
  set_state(worker, 'working', 'a prompt')
  return {'ok'}
end
local j = call('HMGET', K.job(id), 'data', 'pool_attempts', 'pool_provisional', 'pool_parked', 'description')
if j[3] then
  return {'held', ticket, id, token, queue, j[1], j[2] or '0', j[3], j[4] or '', j[5] or ''}
end
if ARGV[3] == '1' then call('HSET', key, 'prompted', '1') end
return {'ok'}
