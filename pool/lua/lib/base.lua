-- Time, text and the event that every transition writes.
-- K (RQ's key names), L (limits from the settings) and VERSION come from the generated header.
local call = redis.call

-- Scripts of several versions run side by side, until an operator asks for a newer one (floor.lua).
local floor = tonumber(call('GET', 'pool:floor') or 0)
if floor > VERSION then
  return redis.error_reply('OUTDATED scripts of version ' .. VERSION .. '; the pool asks for ' .. floor)
end

local function clock()
  local t = call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1000000
end
local NOW = clock()

-- A moment as RQ writes it. The sandbox has no os.date, and clients' clocks are not to be trusted.
local now_iso
local function iso(at)
  if at == NOW and now_iso then return now_iso end
  local whole = math.floor(at)
  local micro = math.floor((at - whole) * 1000000 + 0.5)
  if micro == 1000000 then whole, micro = whole + 1, 0 end
  local days = math.floor(whole / 86400)
  local secs = whole - days * 86400
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524)
    - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  local text = string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', year, month, day,
    math.floor(secs / 3600), math.floor(secs / 60) % 60, secs % 60, micro)
  if at == NOW then now_iso = text end
  return text
end

-- How long ago (s) a moment of iso()'s or RQ's was; 0 when it is no such text, or still to come.
local function ago(text)
  local y, m, d, hours, minutes, secs = string.match(text or '',
    '^(%d%d%d%d)-(%d%d)-(%d%d)T(%d%d):(%d%d):(%d%d%.?%d*)Z$')
  if not y then return 0 end
  y, m = tonumber(y), tonumber(m)
  if m <= 2 then y, m = y - 1, m + 12 end
  local era = math.floor(y / 400)
  local yoe = y - era * 400
  local doy = math.floor((153 * (m - 3) + 2) / 5) + d - 1
  local days = era * 146097 + yoe * 365 + math.floor(yoe / 4) - math.floor(yoe / 100) + doy - 719468
  return math.max(NOW - (days * 86400 + hours * 3600 + minutes * 60 + secs), 0)
end

local function stamp(at) return string.format('%.6f', at) end
local function whole(number) return string.format('%d', math.floor(number)) end

local function split(text)
  local parts = {}
  for part in string.gmatch(text or '', '[^,]+') do parts[#parts + 1] = part end
  return parts
end

-- `tasks:high` is the queue `tasks` at high priority.
local function base_of(queue)
  return (string.match(queue or '', '^([^:]*)') or '')
end

local function event(kind, task, worker, queue, detail)
  call('XADD', 'pool:events', 'MAXLEN', '~', L.event_limit + L.monitor_event_limit, '*',
    'type', kind, 'task', task or '', 'worker', worker or '', 'queue', queue or '', 'detail', detail or '')
end
