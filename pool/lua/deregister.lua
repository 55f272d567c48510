-- include: base stats worker task
-- A registration ends: 'died' (the process is gone: its task counts as lost and is claimable at
-- once) or 'ended' (the session said goodbye: its task is handed back).
-- ARGV: 1 worker, 2 epoch, 3 'died' or 'ended', 4 why
-- Returns {'ok', task, outcome} or {'gone'}: a stale end is a no-op.
local worker = ARGV[1]
local epoch = caller(worker, ARGV[2])
if not epoch or ARGV[2] == '' then return {'gone'} end
local id, outcome = drop_claim(worker, epoch, ARGV[3], ARGV[4])
depart(worker, ARGV[3] == 'died' and 'dead' or 'stopped', ARGV[4])
local process = call('HGET', worker_key(worker), 'process')
if process and process ~= '' then call('DEL', 'pool:process:' .. process) end
event(ARGV[3] == 'died' and 'dead' or 'stopped', id or '', worker, '', ARGV[4])
return {'ok', id or '', outcome or ''}
