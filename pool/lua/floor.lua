-- include: base
-- Ask for scripts of at least this version: older ones change nothing any more. 0 takes it back.
-- ARGV: 1 version, 2 '1' even if live workers or coordinators are older
-- Returns {'ok', version before} or {'older', what is older...}; then nothing was changed.
-- Invariant: no script refuses its own caller: the floor is never above this script's VERSION.
local floor = tonumber(ARGV[1])
local before = call('GET', 'pool:floor') or '0'
if floor > VERSION then return {'older', 'this very coord (' .. VERSION .. ')'} end
if ARGV[2] ~= '1' then
  local older = {'older'}
  for _, worker in ipairs(call('ZRANGE', 'pool:workers', 0, -1)) do
    local version = call('HGET', 'pool:worker:' .. worker, 'scripts') or '1'
    if tonumber(version) < floor then older[#older + 1] = 'worker ' .. worker .. ' (' .. version .. ')' end
  end
  for _, each in ipairs(call('ZRANGEBYSCORE', 'pool:coordinators', stamp(NOW), '+inf')) do
    local version, token = string.match(each, '^(%d+) (%S+)')
    if tonumber(version) < floor then older[#older + 1] = 'coordinator ' .. token .. ' (' .. version .. ')' end
  end
  if #older > 1 then return older end
end
if floor > 0 then call('SET', 'pool:floor', whole(floor)) else call('DEL', 'pool:floor') end
event('floor', '', '', '', before .. ' to ' .. whole(floor))
return {'ok', before}
