-- include: base
-- A supervisor says how it fares; it is believed for a while.
-- ARGV: 1 supervisor, 2 seconds for which it is believed (0: it has ended), then field, value, ...: host, pid,
-- mode, account, workers (comma-separated), state, reason, breaker (why it starts no session now, or '')
-- Returns {'ok', how many supervisors run}.
-- pool:supervisor:<name>: those fields. pool:supervisors: their names by the moment until which they are believed.
local name, seconds = ARGV[1], tonumber(ARGV[2])
local key, until_then = 'pool:supervisor:' .. name, NOW + seconds
local before, after = call('HGET', key, 'breaker') or '', ''
for i = 3, #ARGV, 2 do
  if ARGV[i] == 'breaker' then after = ARGV[i + 1] end
end
if seconds <= 0 then after = '' end
if before ~= after then event(after == '' and 'recovered' or 'tripped', '', name, '', after) end
call('DEL', key)
call('ZREMRANGEBYSCORE', 'pool:supervisors', '-inf', stamp(NOW))
if seconds > 0 then
  for i = 3, #ARGV, 2 do call('HSET', key, ARGV[i], ARGV[i + 1]) end
  call('HSET', key, 'said_at', stamp(NOW))
  call('EXPIRE', key, whole(seconds))
  call('ZADD', 'pool:supervisors', stamp(until_then), name)
else
  call('ZREM', 'pool:supervisors', name)
end
return {'ok', whole(call('ZCARD', 'pool:supervisors'))}
