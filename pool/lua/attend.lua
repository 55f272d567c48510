-- include: base
-- A monitor says that it runs, and where; it is believed for a while. Several may run.
-- ARGV: 1 its token, 2 seconds for which it is believed (0: it has ended), 3 its release, 4 its URL
-- Returns {'ok', how many monitors run}.
-- pool:monitors: "<token> <release> <url>" by the moment until which it is believed.
local me, seconds = ARGV[1] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4], tonumber(ARGV[2])
call('ZREMRANGEBYSCORE', 'pool:monitors', '-inf', stamp(NOW))
if seconds > 0 then
  if call('ZADD', 'pool:monitors', stamp(NOW + seconds), me) == 1 then event('monitored', '', '', '', ARGV[4]) end
elseif call('ZREM', 'pool:monitors', me) == 1 then
  event('unmonitored', '', '', '', ARGV[4])
end
return {'ok', whole(call('ZCARD', 'pool:monitors'))}
