-- include: base worker
-- A session is handed the messages that wait for it (pool:words:<worker>), and says so when it has them. Of
-- two hooks that ask at once one is given them; should it end before it has said so, they are given again.
-- ARGV: 1 worker, 2 epoch, 3 'take' or 'done', 4 64 random bits (hex) that name the taking, 5 take: bytes of
-- text at most (the first message is given whatever its length)
-- Returns {'gone'}; to 'take' {'none'}, {'busy'} (another has them just now) or {'words', then id, task, age
-- (s), text of each}; to 'done' {'ok', how many wait still} or {'late'} (they were given to another).
local FRAME = 200  -- what a message is framed with
local worker, key, list = ARGV[1], worker_key(ARGV[1]), 'pool:words:' .. ARGV[1]
if not caller(worker, ARGV[2]) then return {'gone'} end
local f = call('HMGET', key, 'words_by', 'words_until', 'words_given', 'claim')
local function entry(text)
  local id, task, at, said = string.match(text, '^([^\n]*)\n([^\n]*)\n([^\n]*)\n(.*)$')
  return id or '', task or '', tonumber(at or '') or NOW, said or ''
end

if ARGV[3] == 'done' then
  if f[1] ~= ARGV[4] then return {'late'} end
  for _ = 1, tonumber(f[3] or 0) do
    local text = call('LPOP', list)
    if not text then break end
    local id, task = entry(text)
    event('told', task ~= '' and task or f[4] or '', worker, '', id)
  end
  local left = call('LLEN', list)
  call('HDEL', key, 'words_by', 'words_until', 'words_given')
  if left > 0 then call('HSET', key, 'words', whole(left)) else call('HDEL', key, 'words') end
  return {'ok', whole(left)}
end

if f[1] and tonumber(f[2]) > NOW then return {'busy'} end
call('HDEL', key, 'wake')
local found, size, index = {'words'}, 0, 0
while true do
  local text = call('LINDEX', list, index)
  if not text then break end
  local id, task, at, said = entry(text)
  if task ~= '' and task ~= f[4] then
    call('LREM', list, 1, text)
    event('untold', task, worker, '', id .. ': the worker holds that task no more')
  else
    size = size + #said + FRAME
    if index > 0 and size > tonumber(ARGV[5]) then break end
    for _, part in ipairs({id, task, stamp(math.max(NOW - at, 0)), said}) do found[#found + 1] = part end
    index = index + 1
  end
end
if index == 0 then
  call('HDEL', key, 'words', 'words_by', 'words_until', 'words_given')
  return {'none'}
end
call('HSET', key, 'words', whole(call('LLEN', list)), 'words_by', ARGV[4],
  'words_until', stamp(NOW + L.provisional), 'words_given', whole(index))
return found
