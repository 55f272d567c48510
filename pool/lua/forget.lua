-- include: base observed
-- A session that ended long ago is forgotten, with its timeline.
-- ARGV: 1 session, 2 the revision that was looked at, 3 entries of `session` that are kept in pool:events
-- Returns {'ok'} or {'moved'}: something was seen of it since.
-- Invariant: nothing of it stays but its entries in pool:events.
if call('HGET', 'pool:session:' .. ARGV[1], 'revision') ~= ARGV[2] then return {'moved'} end
drop_session(ARGV[1])
session_event(tonumber(ARGV[3]), ARGV[1], 'forgotten', '', '', '', ARGV[1] .. ' forgotten', '')
return {'ok'}
