-- include: base worker
-- Whether a supervisor should start a session now: only when more tasks wait than there are workers about
-- to take them, of those that the session may have. One is chosen in this very script, so that a task
-- starts one session.
-- ARGV: 1 supervisor (its slot), 2 its queues (comma-separated), 3 seconds that a session may take to come
-- up, 4 '' to ask, 'ready' to ask for its session that sits at its input and looks at nothing by itself,
-- 'off' to stand down (no session came of it), or the key of its session's process,
-- 5 what its sessions offer: tokens, separated by spaces; 'profile': it starts them for any profile,
-- 6 profiles for which it starts none just now: tokens, separated by spaces, 7 the account of its sessions
-- Returns {'start', needs, task} (the first task that it is started for), {'wait', why} (why none is started
-- though tasks may wait: the account; or ''), {'off'}; of a session
-- {'member', worker} once it has claimed or waited, {'coming', worker or ''} before.
-- pool:coming:<queue>: "<supervisor> <needs>" of those whose session is on its way, by the moment until
-- which that is believed.
-- pool:ready:<queue>[:<token>]: there for READY seconds after a supervisor has asked: it would serve the queue.
-- The cost does not depend on the backlog: of each list, its HEAD and PAGE others are looked at, which
-- change with the clock; what they say holds for the whole of it.
local READY = 20
local HEAD, PAGE = 16, 32
local COMING = 'pool:coming:'
local me, bases, offers = ARGV[1], split(ARGV[2]), ARGV[5] or ''
local function stand_down()
  for _, base in ipairs(bases) do
    for _, member in ipairs(call('ZRANGE', COMING .. base, 0, -1)) do
      if string.match(member, '^%S*') == me then call('ZREM', COMING .. base, member) end
    end
  end
end

if ARGV[4] == 'off' then
  stand_down()
  return {'off'}
elseif ARGV[4] ~= '' and ARGV[4] ~= 'ready' then
  local name, epoch = string.match(call('GET', 'pool:process:' .. ARGV[4]) or '', '^(.*) (%d+)$')
  if not name or not caller(name, epoch) then return {'coming', name or ''} end
  if call('HGET', worker_key(name), 'state') == 'starting' then return {'coming', name} end
  stand_down()
  return {'member', name}
end

-- Whether a session of this supervisor may be started for that: it offers what is needed, and starts
-- sessions for the profile.
local function able(needs)
  for token in string.gmatch(needs, '%S+') do
    if string.find(' ' .. (ARGV[6] or '') .. ' ', ' ' .. token .. ' ', 1, true) then return false end
    local kind = string.match(token, '^profile:') and 'profile' or token
    if not string.find(' ' .. offers .. ' ', ' ' .. kind .. ' ', 1, true) then return false end
  end
  return true
end

-- Workers that will look by themselves, with their queues and what they offer: those that wait or were
-- just woken, and those just registered.
local lookers
local function serving(base, needs)
  if not lookers then
    lookers = {}
    for _, worker in ipairs(call('ZRANGE', 'pool:workers', 0, -1)) do
      local f = call('HMGET', worker_key(worker), 'queues', 'claim', 'draining', 'parked_at', 'waiting_until',
        'rung', 'state', 'registered_at', 'offers')
      local waits = (f[5] and tonumber(f[5]) > NOW) or f[6]
      local comes = f[7] == 'starting' and tonumber(f[8] or 0) > NOW - tonumber(ARGV[3])
      local itself = ARGV[4] == 'ready' and worker == me
      if not f[2] and not f[3] and not f[4] and (waits or comes) and not itself then
        lookers[#lookers + 1] = {split(f[1]), f[9]}
      end
    end
  end
  local count = 0
  for _, looker in ipairs(lookers) do
    for _, each in ipairs(looker[1]) do
      if each == base and suits(needs, looker[2]) then count = count + 1 end
    end
  end
  return count
end

-- How many tasks wait in a queue, by what they need; the needs in the order in which they were met; the
-- first task of each.
local function waiting(base)
  local counts, order, firsts = {}, {}, {}
  for _, suffix in ipairs({':high', '', ':low'}) do
    local list = K.queue(base .. suffix)
    local size = call('LLEN', list)
    if size > 0 then
      local shown = math.min(size, HEAD + PAGE)
      local skipped = size > shown and math.floor(NOW * 1000000) % (size - shown + 1) or 0
      for place = 0, shown - 1 do
        local id = call('LINDEX', list, place < HEAD and place or place + skipped)
        local needs = call('HGET', K.job(id), 'pool_needs') or ''
        if not counts[needs] then
          counts[needs], firsts[needs] = 0, id
          order[#order + 1] = needs
        end
        counts[needs] = counts[needs] + size / shown
      end
    end
  end
  return counts, order, firsts
end

if ARGV[4] == 'ready' and call('HGET', worker_key(me), 'draining') then return {'off'} end
stand_down()
for _, base in ipairs(bases) do
  call('SET', 'pool:ready:' .. base, me, 'EX', READY)
  for token in string.gmatch(offers, '%S+') do
    call('SET', 'pool:ready:' .. base .. ':' .. token, me, 'EX', READY)
  end
end
if call('EXISTS', K.suspended) == 1 then return {'wait', ''} end
local bar, _, why_barred = barred(ARGV[7])
if bar then return {'wait', 'its account is ' .. bar .. ': ' .. (why_barred or '')} end
for _, base in ipairs(bases) do
  if call('SISMEMBER', 'pool:paused', base) == 0 then
    call('ZREMRANGEBYSCORE', COMING .. base, '-inf', stamp(NOW))
    local counts, order, firsts = waiting(base)
    local coming = {}
    if call('ZCARD', COMING .. base) > 0 then
      for _, member in ipairs(call('ZRANGE', COMING .. base, 0, -1)) do
        local needs = string.match(member, '^%S+ (.*)$') or ''
        coming[needs] = (coming[needs] or 0) + 1
      end
    end
    for _, needs in ipairs(order) do
      if able(needs) and counts[needs] > (coming[needs] or 0) + serving(base, needs) then
        local until_then, member = stamp(NOW + tonumber(ARGV[3])), needs == '' and me or me .. ' ' .. needs
        for _, each in ipairs(bases) do call('ZADD', COMING .. each, until_then, member) end
        event('summoned', firsts[needs], me, base, needs)
        return {'start', needs, firsts[needs]}
      end
    end
  end
end
return {'wait', ''}
