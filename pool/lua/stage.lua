-- include: base
-- Upload records of a batch; nothing is enqueued by that. The list and its end are made in one step, so
-- that an upload which is cut off goes away by itself. A replay (the reply was lost) adds nothing.
-- ARGV: 1 key of the staged list, 2 seconds for which it is kept, 3 records uploaded before these,
-- 4.. records (see submit.lua)
-- Returns {'ok', records so far} or {'expired'}: what was uploaded before has gone.
local size, before = call('LLEN', ARGV[1]), tonumber(ARGV[3])
if size == before then
  for i = 4, #ARGV do size = call('RPUSH', ARGV[1], ARGV[i]) end
elseif size ~= before + #ARGV - 3 then
  return {'expired'}
end
call('EXPIRE', ARGV[1], ARGV[2])
event('staged', '', '', '', whole(size) .. ' records')
return {'ok', size}
