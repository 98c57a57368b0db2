-- A bucket of tries: one number, the moment (milliseconds) at which it will be full again (GCRA). It is gone when it is full.
-- A clock that jumped back never makes anybody wait longer than an empty bucket would.

local function bucket_full_at(key, now, capacity, interval)
  local full_at = tonumber(redis.call('GET', key) or now)
  return math.max(now, math.min(full_at, now + capacity * interval))
end

-- ARGV: now, capacity, milliseconds per try. Takes one try and answers 0, or takes none and answers the milliseconds to wait.
redis.register_function('idp_throttle_take', function(keys, args)
  local now, capacity, interval = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
  local full_at = bucket_full_at(keys[1], now, capacity, interval) + interval
  local wait = full_at - now - capacity * interval
  if wait > 0 then return math.ceil(wait) end
  redis.call('SET', keys[1], string.format('%.0f', full_at), 'PX', string.format('%.0f', full_at - now + 1000))
  return 0
end)

-- ARGV: as above. Puts one try back.
redis.register_function('idp_throttle_give_back', function(keys, args)
  local now, capacity, interval = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
  local full_at = bucket_full_at(keys[1], now, capacity, interval) - interval
  if full_at <= now then
    redis.call('DEL', keys[1])
  else
    redis.call('SET', keys[1], string.format('%.0f', full_at), 'PX', string.format('%.0f', full_at - now + 1000))
  end
  return 0
end)
