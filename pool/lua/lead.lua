-- include: base
-- Become or stay the one coordinator that acts, and hold RQ's scheduler locks, so that a stray RQ
-- scheduler does nothing beside it. Where several versions run side by side, one of the newest leads.
-- ARGV: 1 this coordinator's token, 2 seconds until it is given up on, 3 '1' to step down, 4 its release
-- Returns {'leader' | 'follower', server's time, queues whose scheduler lock another holds...}.
local token, ttl = ARGV[1], math.ceil(tonumber(ARGV[2]) * 1000)
local stepping_down = ARGV[3] == '1'
local current = call('GET', 'pool:leader')
-- pool:coordinators: "<scripts' version> <token> <release>" by the moment at which it is given up on.
local me, newest = VERSION .. ' ' .. token .. ' ' .. (ARGV[4] or ''), VERSION
call('ZREMRANGEBYSCORE', 'pool:coordinators', '-inf', stamp(NOW))
if stepping_down then
  call('ZREM', 'pool:coordinators', me)
else
  call('ZADD', 'pool:coordinators', stamp(NOW + tonumber(ARGV[2])), me)
  for _, other in ipairs(call('ZRANGE', 'pool:coordinators', 0, -1)) do
    newest = math.max(newest, tonumber(string.match(other, '^%d+')))
  end
end
if stepping_down or newest > VERSION then
  if current == token then
    call('DEL', 'pool:leader')
    current = nil
  end
elseif not current or current == token then
  call('SET', 'pool:leader', token, 'PX', ttl)
  if current ~= token then event('leader', '', '', '', token) end
  current = token
end
local out = {current == token and 'leader' or 'follower', stamp(NOW)}
local prefix = #K.queue('')
for _, key in ipairs(call('SMEMBERS', K.queues)) do
  local name = string.sub(key, prefix + 1)
  local lock = K.scheduler_lock(name)
  local holder = call('GET', lock)
  if out[1] == 'leader' then
    if not holder or string.sub(holder, 1, 6) == 'coord-' then
      call('SET', lock, 'coord-' .. token, 'EX', 10)
    else
      out[#out + 1] = name
    end
  elseif stepping_down and holder == 'coord-' .. token then
    call('DEL', lock)
  end
end
return out
