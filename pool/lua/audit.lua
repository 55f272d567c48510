-- include: base
-- Notes what an operator did through the monitor, or that somebody came with a wrong token.
-- ARGV: 1 what (cancel ... login), 2 its target, 3 what came of it, 4 who (role), 5 the address they came from,
--       6 task, 7 worker, 8 queue ('' where it is not about one)
-- Returns {'ok', the event's id}.
-- Invariant: no token is ever part of it (monitor/audit.py passes none).
local function operator_event()
  local detail = ARGV[1] .. (ARGV[2] ~= '' and ' ' .. ARGV[2] or '') .. ': ' .. ARGV[3]
  return call('XADD', 'pool:events', 'MAXLEN', '~', L.event_limit + L.monitor_event_limit, '*',
    'type', 'operator', 'task', ARGV[6], 'worker', ARGV[7], 'queue', ARGV[8],
    'detail', detail .. ' (' .. ARGV[4] .. ' at ' .. ARGV[5] .. ')',
    'what', ARGV[1], 'target', ARGV[2], 'outcome', ARGV[3], 'who', ARGV[4], 'address', ARGV[5])
end
return {'ok', operator_event()}
