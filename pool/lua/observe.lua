-- include: base observed
-- Something was seen of a session: its record becomes what monitor/states.py made of it, unless it is not the
-- record any more from which that was made.
-- ARGV: 1 session, 2 revision that was stepped from ('0': there is none yet), 3 the client's id of the session
-- ('' unknown), 4 session that turned out to be this one ('' none) and 5 its revision, 6 kind, 7 state,
-- 8 worker, 9 task, 10 detail, 11 the whole record (JSON, for those who follow the events), 12 entries of
-- `session` that are kept in pool:events, 13 the same in the session's own timeline, then field, value, ... of
-- what is different now
-- Returns {'ok', id of the entry} or {'moved', session, field, value, ...}: that is the record now, of another
-- session when a new one's client is that one's (no fields: it is forgotten).
-- Invariants: a record is never stepped from a stale one; one record for each of the client's ids.
local session, client, other = ARGV[1], ARGV[3], ARGV[4]
local key, limit = 'pool:session:' .. session, tonumber(ARGV[12])
local IDS = 8

local function moved(name)
  return {'moved', name, unpack(call('HGETALL', 'pool:session:' .. name))}
end

local f = call('HMGET', key, 'revision', 'ids')
if (f[1] or '0') ~= ARGV[2] then return moved(session) end
if other ~= '' and call('HGET', 'pool:session:' .. other, 'revision') ~= ARGV[5] then return moved(other) end
local owner = client ~= '' and call('HGET', 'pool:session-ids', client)
if owner and owner ~= session and owner ~= other and ARGV[2] == '0' and ARGV[8] == '' then
  return moved(owner)
end

local ids = {}
for id in string.gmatch(f[2] or '', '[^ ]+') do ids[#ids + 1] = id end
if other ~= '' then
  for _, id in ipairs(drop_session(other)) do
    if id ~= client then ids[#ids + 1] = id end
    call('HSET', 'pool:session-ids', id, session)
  end
  session_event(limit, other, 'forgotten', '', '', '', other .. ' is ' .. session, '')
end
for i = 14, #ARGV, 2 do call('HSET', key, ARGV[i], ARGV[i + 1]) end
if client ~= '' and (owner ~= session or #ids == 0) then
  local kept = {}
  for _, id in ipairs(ids) do
    if id ~= client then kept[#kept + 1] = id end
  end
  kept[#kept + 1] = client
  while #kept > IDS do call('HDEL', 'pool:session-ids', table.remove(kept, 1)) end
  call('HSET', key, 'ids', table.concat(kept, ' '))
  call('HSET', 'pool:session-ids', client, session)
end
if not string.find(ARGV[6], ':', 1, true) then call('HINCRBY', 'pool:totals', 'hooks', 1) end
call('ZADD', 'pool:sessions', stamp(NOW), session)
local id = session_event(limit, session, ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11])
call('XADD', 'pool:timeline:' .. session, 'MAXLEN', '~', ARGV[13], id, 'kind', ARGV[6], 'state', ARGV[7],
  'task', ARGV[9], 'detail', ARGV[10])
return {'ok', id}
