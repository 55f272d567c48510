-- The database in which `coord doctor` fires hooks: any but the pool's, in which there is no pool and no RQ.
-- It needs no right that a worker has not: names are known, nothing is searched for.
-- ARGV: 1 'take' or 'wipe', 2 the trial's name (its worker, queue and task), 3 its process, 4 seconds for
-- which it is alone here, 5 keys as JSON: `scores` and `sets` with members of everybody, `counters` of
-- everybody, `own` ones with {name} and {process} in them, `job`, `execution` and `bell`
-- Returns 'ok'; 'used' (there is a pool or an RQ in it) or 'busy' (another doctor's); then nothing was changed.
-- Invariant: a key is deleted only if it is the trial's by its name, or holds nothing but the trial's.
local call = redis.call
local MARK = 'pool:doctor'
local t = call('TIME')
local NOW = tonumber(t[1])
local names = cjson.decode(ARGV[5])

local function fill(template, name, process)
  local text = string.gsub(template, '{%a+}', {['{name}'] = name, ['{process}'] = process})
  return text
end

local function wipe(name, process, began)
  local job = call('HGET', fill(names.job, name, process), 'pool_token')
  if job then call('DEL', fill(names.execution, name, process) .. job) end
  local ticket = tonumber(call('HGET', 'pool:worker:' .. name, 'ticket') or '0')
  for number = 0, math.min(ticket, 100) do call('DEL', fill(names.bell, name, process) .. number) end
  -- Snapshots of the counters, by the minute and the hour.
  for minute = math.floor(began / 60) - 1, math.floor(began / 60) + 10 do
    call('DEL', 'pool:stats:' .. name .. ':minute:' .. minute,
      'pool:stats:' .. name .. ':hour:' .. math.floor(minute / 60))
  end
  for _, template in ipairs(names.own) do call('DEL', fill(template, name, process)) end
  local others = false
  for _, key in ipairs(names.scores) do
    call('ZREM', key, name, 'park ' .. name)
    others = others or call('EXISTS', key) == 1
  end
  for _, key in ipairs(names.sets) do
    for _, member in ipairs(call('SMEMBERS', key)) do
      if string.find(member, name, 1, true) then call('SREM', key, member) end
    end
    others = others or call('EXISTS', key) == 1
  end
  if not others then
    for _, key in ipairs(names.counters) do call('DEL', key) end
  end
  call('DEL', MARK)
end

local there = call('HMGET', MARK, 'name', 'process', 'began', 'until')
if ARGV[1] == 'wipe' then
  if there[1] ~= ARGV[2] then return 'busy' end
  wipe(there[1], there[2], tonumber(there[3]))
  return 'ok'
end
if there[1] then  -- one whose doctor and guardian were both killed
  if tonumber(there[4]) > NOW then return 'busy' end
  wipe(there[1], there[2], tonumber(there[3]))
end
for _, list in ipairs({names.scores, names.sets, names.counters}) do
  for _, key in ipairs(list) do
    if call('EXISTS', key) == 1 then return 'used' end
  end
end
call('HSET', MARK, 'name', ARGV[2], 'process', ARGV[3], 'began', NOW, 'until', NOW + tonumber(ARGV[4]))
return 'ok'
