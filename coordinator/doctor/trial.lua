-- The database in which `coord doctor` fires hooks: any but the pool's, and only while it is empty. Nothing
-- of this touches the database of the pool.
-- ARGV: 1 'take' or 'wipe', 2 token of the doctor, 3 seconds for which the database is its own, 4 RQ's key of
-- all queues, 5 what a queue's key begins with, 6 RQ's key of all workers, 7 what a worker's key begins with
-- Returns 'ok'; 'used' (something of others is in it: nothing was changed) or 'busy' (another doctor's).
-- Invariant: what is deleted was a doctor's: each key is one of a pool that holds nothing but workers,
-- tasks and queues whose names begin with `doctor-`.
local call = redis.call
local MARK, MANY, RQ = 'pool:doctor', 500, string.match(ARGV[4], '^[^:]*:')
local holder = call('GET', MARK)
if holder and holder ~= ARGV[2] then return 'busy' end
if call('DBSIZE') > MANY then return 'used' end

local cursor, found, ours = '0', {}, true
repeat
  local page = call('SCAN', cursor, 'COUNT', 1000)
  cursor = page[1]
  for _, key in ipairs(page[2]) do
    found[#found + 1] = key
    if string.sub(key, 1, 5) ~= 'pool:' and string.sub(key, 1, #RQ) ~= RQ then ours = false end
  end
until cursor == '0'
local function doctors(names, prefix)
  for _, name in ipairs(names) do
    if string.sub(name, 1, #prefix + 7) ~= prefix .. 'doctor-' then ours = false end
  end
end
if ours then
  doctors(call('ZRANGE', 'pool:workers', 0, -1), '')
  doctors(call('ZRANGE', 'pool:departed', 0, -1), '')
  doctors(call('ZRANGE', 'pool:tasks', 0, -1), '')
  doctors(call('SMEMBERS', ARGV[4]), ARGV[5])
  doctors(call('SMEMBERS', ARGV[6]), ARGV[7])
end
if not ours then return 'used' end
for _, key in ipairs(found) do call('DEL', key) end
if ARGV[1] == 'take' then call('SET', MARK, ARGV[2], 'EX', ARGV[3]) end
return 'ok'
