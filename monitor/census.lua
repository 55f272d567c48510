-- What GET /metrics asks of Redis, in one look (reading only): what stands by queue, and by state of workers.
-- After the generated header (K: RQ's key names). It costs a step for each queue asked for and each worker that is
-- known, and none for a task that waits.
-- ARGV: 1 how many of a list's first tasks are asked for how long they wait, 2.. queues (without a priority)
-- Returns JSON: {now, leader, coordinators, workers {state: n}, supervisors {state: n}, queues {name: {paused,
-- stats [field, value, ...], lists {priority: [queued, started, scheduled, deferred, failed, oldest moment]}}}}
local call = redis.call
local t = call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
local stamp = string.format('%.6f', now)

local workers = {}
for _, set in ipairs({'pool:workers', 'pool:departed'}) do
  for _, worker in ipairs(call('ZRANGE', set, 0, -1)) do
    local f = call('HMGET', 'pool:worker:' .. worker, 'state', 'draining')
    local state = f[1]
    if state == 'waiting' and f[2] then state = 'draining' end
    if state then workers[state] = (workers[state] or 0) + 1 end
  end
end

local supervisors = {ok = 0, broken = 0}
for _, name in ipairs(call('ZRANGEBYSCORE', 'pool:supervisors', stamp, '+inf')) do
  local breaker = call('HGET', 'pool:supervisor:' .. name, 'breaker')
  local state = breaker and breaker ~= '' and 'broken' or 'ok'
  supervisors[state] = supervisors[state] + 1
end

local all_paused = call('EXISTS', K.suspended)
local queues = {}
for place = 2, #ARGV do
  local name = ARGV[place]
  local lists = {}
  for priority, suffix in pairs({high = ':high', normal = '', low = ':low'}) do
    local list = name .. suffix
    local oldest = ''
    for _, id in ipairs(call('LRANGE', K.queue(list), 0, tonumber(ARGV[1]) - 1)) do
      local at = call('HGET', K.job(id), 'enqueued_at')
      -- (Both RQ's moments and ours are UTC, written alike to the second.)
      if at and (oldest == '' or at < oldest) then oldest = at end
    end
    lists[priority] = {call('LLEN', K.queue(list)), call('ZCARD', K.started(list)), call('ZCARD', K.scheduled(list)),
      call('ZCARD', K.deferred(list)), call('ZCARD', K.failed(list)), oldest}
  end
  queues[name] = {
    paused = (all_paused == 1 or call('SISMEMBER', 'pool:paused', name) == 1) and 1 or 0,
    stats = call('HGETALL', 'pool:stats:' .. name), lists = lists}
end

return cjson.encode({now = stamp, leader = call('EXISTS', 'pool:leader'),
  coordinators = call('ZCOUNT', 'pool:coordinators', stamp, '+inf'), workers = workers, supervisors = supervisors,
  queues = queues})
