-- include: base worker
-- What a hook saw of the session: its state with the evidence.
-- ARGV: 1 worker, 2 epoch, 3 state, 4 evidence
-- Returns {'ok'} or {'gone'}.
if not caller(ARGV[1], ARGV[2]) then return {'gone'} end
touch(ARGV[1])
set_state(ARGV[1], ARGV[3], ARGV[4])
event('state', call('HGET', worker_key(ARGV[1]), 'claim') or '', ARGV[1], '', ARGV[3] .. ': ' .. ARGV[4])
return {'ok'}
