-- include: base stats worker task
-- Make a process (or a program under a name) a worker of the pool.
-- ARGV: 1 worker, 2 process key ('' for a program without a session), 3 session id, 4 host, 5 pid,
-- 6 queues (comma-separated), 7 idle limit (s), 8 max tasks, 9 directory, 10 RQ's version,
-- 11 Python's version, 12 coord's version, 13 what it offers (tokens, separated by spaces: claim.lua),
-- 14 its account, 15 how its session is run (hook, stream, terminal or ''), 16 its supervisor ('': none)
-- Returns {'new' | 'rebound' | 'attached', worker, epoch} or {'taken', worker, epoch}: the name
-- belongs to another live process.
-- Invariant: a new registration is a new owner; what the old one held is taken back.
local worker, process = ARGV[1], ARGV[2]
if process ~= '' then
  local prior = call('GET', 'pool:process:' .. process)
  if prior then
    local name, epoch = string.match(prior, '^(.*) (%d+)$')
    if caller(name, epoch) then  -- /clear, fork, compact: the same worker, task and all
      call('HSET', worker_key(name), 'session', ARGV[3])
      touch(name)
      event('rebound', call('HGET', worker_key(name), 'claim') or '', name, '', ARGV[3])
      return {'rebound', name, epoch}
    end
    -- Its own name again, unless another process has it by now.
    if not live(name) or call('HGET', worker_key(name), 'process') == process then worker = name end
  end
end
local key = worker_key(worker)
local known = call('HMGET', key, 'epoch', 'process')
local deadline = live(worker)
local function attach()  -- a program that comes back, maybe with other settings
  call('HSET', key, 'offers', ARGV[13] or '', 'account', ARGV[14] or '')
  touch(worker)
  return {'attached', worker, known[1]}
end
if known[1] and deadline and known[2] ~= process then
  if process == '' then
    return attach()
  end
  if tonumber(deadline) > NOW then return {'taken', worker, known[1]} end
elseif known[1] and deadline and process == '' then
  return attach()
end
local lost
if known[1] then
  unwait(worker, call('HGET', key, 'queues'))  -- the old one's hook, if it still waits, finds itself gone
  pass_on(worker)
  drop_words(worker, 'the worker was registered again')
  lost = drop_claim(worker, known[1], 'died', 'worker ' .. worker .. ' was registered again')
  local before = 'pool:process:' .. (known[2] or '')  -- that process may be another worker by now
  if known[2] ~= process and call('GET', before) == worker .. ' ' .. known[1] then call('DEL', before) end
end
local epoch = whole(call('INCR', 'pool:epoch'))
local ticket = call('HGET', key, 'ticket') or '0'
call('DEL', key)
call('HSET', key, 'epoch', epoch, 'process', process, 'session', ARGV[3], 'host', ARGV[4], 'pid', ARGV[5],
  'queues', ARGV[6], 'idle_limit', ARGV[7], 'max_tasks', ARGV[8], 'cwd', ARGV[9], 'tasks', 0,
  'registered_at', stamp(NOW), 'active_at', stamp(NOW), 'ticket', ticket, 'coord', ARGV[12],
  'scripts', VERSION, 'offers', ARGV[13] or '', 'account', ARGV[14] or '', 'mode', ARGV[15] or '',
  'supervisor', ARGV[16] or '')
set_state(worker, 'starting', 'registered')
if process ~= '' then
  call('SET', 'pool:process:' .. process, worker .. ' ' .. epoch, 'EX', 604800)
end
call('ZREM', 'pool:departed', worker)
local rq, names = K.worker(worker), {}
for _, base in ipairs(split(ARGV[6])) do
  for _, suffix in ipairs({':high', '', ':low'}) do
    names[#names + 1] = base .. suffix
    call('SADD', K.workers_of(base .. suffix), rq)
  end
end
call('DEL', rq)
call('HSET', rq, 'birth', iso(NOW), 'last_heartbeat', iso(NOW), 'queues', table.concat(names, ','),
  'pid', ARGV[5], 'hostname', ARGV[4], 'ip_address', 'unknown', 'version', ARGV[10], 'python_version', ARGV[11],
  'state', 'idle')
call('SADD', K.workers, rq)
touch(worker)
event('registered', lost or '', worker, '', 'epoch ' .. epoch)
return {'new', worker, epoch}
