-- include: base
-- Forget schedules: all that are named, or none. Tasks that they have made stay.
-- ARGV: 1.. names
-- Returns {'ok'} or {'no', name}: there is no such schedule; nothing was changed.
for _, name in ipairs(ARGV) do
  if not call('ZSCORE', 'pool:schedules', name) then return {'no', name} end
end
for _, name in ipairs(ARGV) do
  call('ZREM', 'pool:schedules', name)
  call('DEL', 'pool:schedule:' .. name)
  event('cron-removed', '', '', '', name)
end
return {'ok'}
