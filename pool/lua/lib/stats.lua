-- Counters of what the transitions did, by queue (`coord stats`; pool/stats.py reads them):
--   pool:stats:<queue>            hash: totals since ever, and the minute of the last count
--   pool:stats:<queue>:minute:<n> string: the totals as they were when minute n (since 1970) began,
--   pool:stats:<queue>:hour:<n>   and so by the hour, for stats_ttl; written by the first count after
-- So one count costs two calls, whatever was counted before, and a window is a difference of two totals.
-- A window's first snapshot must outlive it: minutes serve six hours, hours stats_ttl.
local MINUTES_KEPT, SPARE = 25200, 7200

local stats_at = {}

-- The queue's hash. A new minute's first count keeps the totals so far.
local function stats_key(queue)
  local base = base_of(queue)
  local key = stats_at[base]
  if key then return key end
  key = 'pool:stats:' .. base
  stats_at[base] = key
  local minute, last = math.floor(NOW / 60), call('HGET', key, 'minute')
  if last and tonumber(last) >= minute then return key end
  local text = table.concat(call('HGETALL', key), ' ')
  call('SET', key .. ':minute:' .. whole(minute), text, 'EX', MINUTES_KEPT)
  local hour = math.floor(minute / 60)
  if not last or math.floor(tonumber(last) / 60) < hour then
    call('SET', key .. ':hour:' .. whole(hour), text, 'EX', whole(L.stats_ttl + SPARE))
  end
  call('HSET', key, 'minute', whole(minute))
  return key
end

local function count(queue, what) call('HINCRBY', stats_key(queue), what, 1) end

-- A time in seconds, into a histogram ('w' waiting, 'r' running): `w<n>` counts those of at most
-- 0.01 * 2^(n/4) s and more than the bound before (pool/histogram.py), `w` sums them up in milliseconds.
local function measure(queue, name, seconds)
  local key, bucket = stats_key(queue), 0
  if seconds > 0.01 then bucket = math.min(math.ceil(math.log(seconds * 100) * 5.7707801635558535), 120) end
  call('HINCRBY', key, name .. bucket, 1)
  if seconds > 0 then call('HINCRBY', key, name, whole(seconds * 1000)) end
end
