-- include: base stats worker task
-- A job on our queues that we did not make was looked at: adopt it (it is a task, sent by RQ's own
-- API), or put it among the dead letters.
-- ARGV: 1 job, 2 RQ queue, 3 'adopt' or 'bury', 4 title or reason, 5 reason as base64(zlib)
-- Returns {'ok'} or {'no'} when it is not there any more.
local id, queue, job = ARGV[1], ARGV[2], K.job(ARGV[1])
local f = call('HMGET', job, 'status', 'pool_kind', 'retries_left')
if f[1] ~= 'queued' or f[2] == 'task' then return {'no'} end  -- a dead letter may be sent again
if ARGV[3] == 'adopt' then
  call('HSET', job, 'pool_kind', 'task', 'description', ARGV[4], 'pool_retries', f[3] or '0')
  if not call('HGET', job, 'result_ttl') then call('HSET', job, 'result_ttl', whole(L.result_ttl)) end
  call('ZADD', 'pool:tasks', 'NX', stamp(NOW), id)
  count(queue, 'submitted')
  event('adopted', id, '', queue, '')
  return {'ok'}
end
call('LREM', K.queue(queue), 0, id)
call('HSET', job, 'pool_kind', 'foreign')
bury(id, queue, ARGV[4], ARGV[5], '', '', '')
call('XADD', 'pool:dead-letters', 'MAXLEN', '~', L.event_limit, '*', 'kind', 'job', 'task', id, 'queue', queue,
  'reason', ARGV[4], 'payload', '')
event('dead-letter', id, '', queue, ARGV[4])
return {'ok'}
