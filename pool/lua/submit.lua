-- include: base stats worker task enqueue
-- Enqueue tasks: all of them or none.
-- ARGV: 1 key of a staged list of records ('' when the records follow), 2.. records (lib/enqueue.lua).
-- Returns {'ok', id, status, ...} (status 'duplicate': the unique key's task, which was there before)
-- or {'exists' | 'nodep' | 'expired', index, what}; then nothing was changed.
-- Invariants: one home per task; no child before its parents.
local records = {}
if ARGV[1] ~= '' then
  local size = call('LLEN', ARGV[1])
  if size == 0 then return {'expired', 0, ''} end
  for first = 0, size - 1, 500 do
    for _, record in ipairs(call('LRANGE', ARGV[1], first, first + 499)) do
      records[#records + 1] = parse_record(record)
    end
  end
else
  for i = 2, #ARGV do records[#records + 1] = parse_record(ARGV[i]) end
end

local why = refusal(records)
if why then return why end

local out = {'ok'}
for index, r in ipairs(records) do
  out[#out + 1] = r.duplicate or r[1]
  out[#out + 1] = r.duplicate and 'duplicate' or enqueue(r, index)
end
if ARGV[1] ~= '' then call('DEL', ARGV[1]) end
return out
