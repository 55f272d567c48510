-- include: base stats worker task
-- The worker waits for a quota reset or a person: alive, keeps its claim, spends nothing.
-- ARGV: 1 worker, 2 epoch, 3 until (seconds since 1970; '0' no end known), 4 reason
-- Returns {'parked', task} or {'gone'}.
local worker = ARGV[1]
local epoch = caller(worker, ARGV[2])
if not epoch then return {'gone'} end
touch(worker)
local id, token, queue = held(worker, epoch)
if id then
  call('HSET', K.job(id), 'pool_parked', '1')
  confirm_claim(worker, id, token, queue, 'parked')
end
awake(worker)
park_worker(worker, tonumber(ARGV[3]), ARGV[4], '')
event('parked', id or '', worker, queue or '', ARGV[4])
return {'parked', id or ''}
