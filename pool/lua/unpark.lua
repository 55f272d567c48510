-- include: base worker
-- A parked worker goes on.
-- ARGV: 1 worker, 2 epoch ('' the current one), 3 '1' unless it waits because it asked to
-- Returns {'unparked'}, {'not-parked'} or {'gone'}.
local worker = ARGV[1]
if not caller(worker, ARGV[2]) then return {'gone'} end
touch(worker)
if ARGV[3] == '1' and call('HGET', worker_key(worker), 'parked_by') == '' then return {'not-parked'} end
awake(worker)
if not end_park(worker, 'unparked') then return {'not-parked'} end
event('unparked', call('HGET', worker_key(worker), 'claim') or '', worker, '', '')
return {'unparked'}
