-- include: base
-- Say what became of a notification that was taken.
-- ARGV: 1 channel, 2 its id, 3 the number of the try, 4 'sent', 'again' (it is tried again after a while), 'failed' (it
-- was tried often enough) or 'over' (nobody needs to know any more), 5 seconds until the next try, 6 how it went,
-- 7 what pages are to show (JSON; '' unless the channel is the pages themselves)
-- Returns {'ok'} or {'stale'}: another has taken it meanwhile, and nothing was changed.
-- Invariant: who has it not (any more) settles nothing. What pages show is an event, written as it is settled.
local channel, id, outcome = ARGV[1], ARGV[2], ARGV[4]
local waiting, body = 'pool:notices:' .. channel, 'pool:notice:' .. channel .. ':' .. id
if call('HGET', body, 'tries') ~= ARGV[3] or not call('ZSCORE', waiting, id) then return {'stale'} end
if outcome == 'again' then
  call('ZADD', waiting, stamp(NOW + tonumber(ARGV[5])), id)
  return {'ok'}
end
call('ZREM', waiting, id)
call('DEL', body)
if outcome == 'over' then
  call('ZREM', waiting .. ':begun', id)
  return {'ok'}
end
call('HINCRBY', 'pool:totals', 'notified ' .. channel .. ' ' .. outcome, 1)
if ARGV[7] ~= '' then event('notify', '', '', '', ARGV[7])
else event(outcome == 'sent' and 'notified' or 'unnotified', '', '', '', channel .. ' ' .. id .. ': ' .. ARGV[6]) end
return {'ok'}
