-- include: base stats worker task
-- What was parked until now goes on: accounts, and their workers, each at its own moment. A worker whom only
-- a person could have made go on, and none did, gives its task back.
-- ARGV: 1 leader's token, 2 how many at most
-- Returns {'ok', kind, name, task or '', ...} with kind 'account', 'park' or 'grace', or {'not-leader'}.
-- Invariant: no attempt is spent.
if call('GET', 'pool:leader') ~= ARGV[1] then return {'not-leader'} end
local out = {'ok'}
local function done(kind, name, task)
  for _, part in ipairs({kind, name, task}) do out[#out + 1] = part end
end

for _, member in ipairs(call('ZRANGEBYSCORE', 'pool:due', '-inf', stamp(NOW), 'LIMIT', 0, ARGV[2])) do
  local kind, name = string.match(member, '^(%S+) (.*)$')
  call('ZREM', 'pool:due', member)
  if kind == 'account' then
    local f = call('HMGET', 'pool:account:' .. name, 'state', 'until')
    if f[1] == 'parked' and tonumber(f[2]) > 0 and tonumber(f[2]) <= NOW then
      call('DEL', 'pool:account:' .. name)
      event('account-resumed', '', '', '', name .. ': its time has come')
      done(kind, name, '')
    end
  elseif kind == 'park' then
    if live(name) and unpark_if_due(name) then done(kind, name, '') end
  elseif kind == 'grace' and live(name) then
    local f = call('HMGET', worker_key(name), 'epoch', 'stalled')
    local id, token, queue = held(name, f[1])
    if f[2] and id then
      local why = 'its session did not go on after its quota came back'
      detach(id, queue, token)
      settle(name, id)
      local outcome = release_task(id, queue, name, why, 0, false)
      remember(id, token, name, f[1], outcome)
      tell_lost(name, id, why)
      set_state(name, 'interrupted', why)
      event('released', id, name, queue, why)
      done(kind, name, id)
    end
  end
end
return out
