-- include: base stats worker task
-- The hand-over has reached the session: the claim is no longer provisional.
-- ARGV: 1 worker, 2 epoch, 3 task, 4 token
-- Returns {'ok'} or {'stale', why}.
local verdict, token, queue = fence(ARGV[3], ARGV[4], ARGV[1], ARGV[2])
if verdict ~= 1 then return {'stale', verdict == 0 and token or 'it is ended'} end
confirm_claim(ARGV[1], ARGV[3], token, queue, 'handed over')
event('confirmed', ARGV[3], ARGV[1], queue, token)
return {'ok'}
