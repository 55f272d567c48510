-- include: base
-- Take a notification that is to be sent by a channel now, for so long that it can be sent. No more than so many begin
-- in a minute: where more wait than may begin, all of them become one.
-- ARGV: 1 channel, 2 how many may begin in a minute, 3 seconds until another may take it, unless it was settled,
-- 4 how many are made one at most
-- Returns {'take', id, tries (this one included), items (JSON list)} or {'wait', seconds until something may be
-- sent ('' nothing waits)}.
-- Invariants: between taking and settling (delivered.lua) it stays where it is, so that a sender that dies loses
-- none; the number of tries is the fence of who has taken it.
local channel, rate = ARGV[1], tonumber(ARGV[2])
local waiting, begun = 'pool:notices:' .. channel, 'pool:notices:' .. channel .. ':begun'
local function body(id) return 'pool:notice:' .. channel .. ':' .. id end

local function take(id)
  local tries = call('HINCRBY', body(id), 'tries', 1)
  call('ZADD', waiting, stamp(NOW + tonumber(ARGV[3])), id)
  return {'take', id, whole(tries), call('HGET', body(id), 'items')}
end

local fresh = {}
for _, id in ipairs(call('ZRANGEBYSCORE', waiting, '-inf', stamp(NOW), 'LIMIT', 0, tonumber(ARGV[4]))) do
  local tries = call('HGET', body(id), 'tries')
  if not tries then call('ZREM', waiting, id)  -- it has expired
  elseif tonumber(tries) > 0 then return take(id)
  else fresh[#fresh + 1] = id end
end

call('ZREMRANGEBYSCORE', begun, '-inf', stamp(NOW - 60))
local room = rate - call('ZCARD', begun)
if #fresh == 0 or room <= 0 then
  local first = call('ZRANGE', #fresh == 0 and waiting or begun, 0, 0, 'WITHSCORES')
  if not first[2] then return {'wait', ''} end
  return {'wait', stamp(math.max(tonumber(first[2]) + (#fresh == 0 and 0 or 60) - NOW, 0))}
end

local id = fresh[1]
if #fresh > room then
  local items = {}
  for place, other in ipairs(fresh) do
    items[place] = string.sub(call('HGET', body(other), 'items'), 2, -2)
    call('ZREM', waiting, other)
    call('DEL', body(other))
  end
  id = id .. '+' .. whole(#fresh - 1)
  call('HSET', body(id), 'items', '[' .. table.concat(items, ',') .. ']', 'tries', '0')
  call('EXPIRE', body(id), 604800)
  event('collected', '', '', '', channel .. ' ' .. id .. ': ' .. whole(#fresh) .. ' in one')
end
call('ZADD', begun, stamp(NOW), id)
call('EXPIRE', begun, 120)
return take(id)
