-- What the monitor keeps (pool/sessions.py):
--   pool:session:<id>   hash: the record; `ids`: the client's ids that it had, newest last
--   pool:session-ids    hash: session by the client's id; pool:sessions: zset by when they were heard of last
--   pool:timeline:<id>  stream: what was seen of it
--   pool:observed       list: the ids of its entries in pool:events, oldest first: beyond the limit they are
--                       removed one by one, so that they push out none of the transitions' own
local AT_ONCE = 100

-- An entry of type `session` in pool:events; its id.
local function session_event(limit, session, kind, state, worker, task, detail, record)
  local id = call('XADD', 'pool:events', '*', 'type', 'session', 'task', task, 'worker', worker, 'queue', '',
    'detail', detail, 'session', session, 'kind', kind, 'state', state, 'record', record)
  local over = call('RPUSH', 'pool:observed', id) - limit
  local old = {}
  for i = 1, math.min(over, AT_ONCE) do old[i] = call('LPOP', 'pool:observed') end
  if #old > 0 then call('XDEL', 'pool:events', unpack(old)) end
  return id
end

-- Nothing of a session stays; the ids that its client had.
local function drop_session(session)
  local key, ids = 'pool:session:' .. session, {}
  for id in string.gmatch(call('HGET', key, 'ids') or '', '[^ ]+') do
    if call('HGET', 'pool:session-ids', id) == session then
      call('HDEL', 'pool:session-ids', id)
      ids[#ids + 1] = id
    end
  end
  call('DEL', key, 'pool:timeline:' .. session)
  call('ZREM', 'pool:sessions', session)
  return ids
end
