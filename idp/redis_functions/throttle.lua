-- A bucket of tries: one number, the moment (milliseconds) at which it will be full again (GCRA). It is gone when it is full.
-- A clock that jumped back never makes anybody wait longer than an empty bucket would.

local function bucket_full_at(key, now, capacity, interval)
  local full_at = tonumber(redis.call('GET', key) or now)
  return math.max(now, math.min(full_at, now + capacity * interval))
end

local function bucket_take(key, args)
  local now, capacity, interval = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
  local full_at = bucket_full_at(key, now, capacity, interval) + interval
  local wait = full_at - now - capacity * interval
  if wait > 0 then return math.ceil(wait) end
  redis.call('SET', key, string.format('%.0f', full_at), 'PX', string.format('%.0f', full_at - now + 1000))
  return 0
end

-- ARGV: now, capacity, milliseconds per try. Takes one try and answers 0, or takes none and answers the milliseconds to wait.
redis.register_function('idp_throttle_take', function(keys, args)
  return bucket_take(keys[1], args)
end)

-- The same for something that counts once in a while only. KEYS: the bucket, a sorted set of what was counted lately.
-- ARGV: as above, what it is, milliseconds for which it is remembered.
redis.register_function('idp_throttle_take_new', function(keys, args)
  local now, remembered = tonumber(args[1]), tonumber(args[5])
  redis.call('ZREMRANGEBYSCORE', keys[2], '-inf', now)
  if redis.call('ZSCORE', keys[2], args[4]) then return 0 end
  local wait = bucket_take(keys[1], args)
  if wait == 0 then
    redis.call('ZADD', keys[2], now + remembered, args[4])
    redis.call('PEXPIRE', keys[2], remembered + 1000)
  end
  return wait
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
