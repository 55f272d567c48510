-- include: base
-- Note whom a person is to be told of, by one channel: tasks that have failed for good since the last look, and the
-- occasions that the caller has seen. Each once, whoever looks and however often.
-- ARGV: 1 channel, 2 failures older than so many seconds are not told of any more, 3 how many may wait to be sent,
-- 4.. for each occasion: its name, and what it is (JSON)
-- Returns {'ok', how many are new, how many wait}.
-- pool:notify              hash: where in pool:failures each channel has come to
-- pool:noticed:<channel>   zset: occasions that were noted, by the moment
-- pool:notices:<channel>   zset: what is to be sent, by the moment from which on that may be tried
-- pool:notice:<channel>:<id>  hash: what it says (`items`, a JSON list), and how often it was tried
-- Invariant: a channel's place in pool:failures moves on in the very script that notes what was read there.
local channel, most = ARGV[1], tonumber(ARGV[3])
local waiting, PAGE, WEEK = 'pool:notices:' .. channel, 100, 604800
local new = 0

local function add(id, item)
  local key = 'pool:notice:' .. channel .. ':' .. id
  call('HSET', key, 'items', '[' .. item .. ']', 'tries', '0')
  call('EXPIRE', key, WEEK)
  call('ZADD', waiting, stamp(NOW), id)
  new = new + 1
end

local place = call('HGET', 'pool:notify', channel)
if not place then  -- the channel is new: what has failed before is not its business
  place = whole(NOW * 1000) .. '-0'
  call('HSET', 'pool:notify', channel, place)
end
local failures = call('XRANGE', 'pool:failures', '(' .. place, '+', 'COUNT', PAGE)
for _, entry in ipairs(failures) do
  place = entry[1]
  local f = {}
  for i = 1, #entry[2], 2 do f[entry[2][i]] = entry[2][i + 1] end
  local at = tonumber(string.match(place, '^%d+')) / 1000
  if at >= NOW - tonumber(ARGV[2]) then
    local job = call('HMGET', K.job(f.task or ''), 'description', 'pool_kind')
    add('failed-' .. place, cjson.encode({kind = 'failed', task = f.task or '', queue = f.queue or '',
      worker = f.worker or '', asks = f.why or '', at = stamp(at),
      title = job[2] == 'task' and job[1] or ''}))  -- (a foreign job's is its call, arguments and all)
  end
end
if #failures > 0 then call('HSET', 'pool:notify', channel, place) end

local noticed = 'pool:noticed:' .. channel
call('ZREMRANGEBYSCORE', noticed, '-inf', stamp(NOW - WEEK))
for i = 4, #ARGV, 2 do
  if call('ZADD', noticed, 'NX', stamp(NOW), ARGV[i]) == 1 then add(ARGV[i], ARGV[i + 1]) end
end

while call('ZCARD', waiting) > most do
  local id = call('ZRANGE', waiting, 0, 0)[1]
  call('ZREM', waiting, id)
  call('DEL', 'pool:notice:' .. channel .. ':' .. id)
  call('HINCRBY', 'pool:totals', 'notified ' .. channel .. ' dropped', 1)
  event('unnotified', '', '', '', channel .. ' ' .. id .. ': too many wait')
end
return {'ok', whole(new), whole(call('ZCARD', waiting))}
