-- include: base worker
-- A waiting hook ends without a task: it waits no more, and a bell rung for it goes to another.
-- ARGV: 1 worker, 2 epoch, 3 ticket
-- Returns {'ok'} or {'gone'}.
local worker, key = ARGV[1], worker_key(ARGV[1])
if not caller(worker, ARGV[2]) or call('HGET', key, 'ticket') ~= ARGV[3] then return {'gone'} end
unwait(worker, call('HGET', key, 'queues'))
pass_on(worker)
set_state(worker, 'interrupted', 'its Stop hook was ended')
event('left', '', worker, '', 'its Stop hook was ended')
return {'ok'}
