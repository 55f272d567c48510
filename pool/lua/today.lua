-- include: base
-- Say which day it is where the operators are: costs are booked by day, and a day's budget ends with it.
-- ARGV: 1 leader's token, 2 date (YYYY-MM-DD), 3 when it ends (seconds since 1970)
-- Returns {'ok'} or {'not-leader'}.
if call('GET', 'pool:leader') ~= ARGV[1] then return {'not-leader'} end
if call('HGET', 'pool:day', 'date') ~= ARGV[2] then event('today', '', '', '', ARGV[2]) end
call('HSET', 'pool:day', 'date', ARGV[2], 'ends', ARGV[3])
return {'ok'}
