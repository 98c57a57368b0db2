-- A session: hash session:{<hash of the cookie>}. Indexes: zset account-sessions:{<account>} of a person's sessions, and zset
-- company-sessions:{<hash of connection and NameID>} of those that single logout may name.
-- Every record carries its own expiry; the key's lifetime only cleans up, one minute later.

local function session_over_at(fields)
  local over = tonumber(fields.expires)
  local idle = tonumber(fields.idle)
  if idle > 0 then over = math.min(over, tonumber(fields.last_seen) + idle) end
  return over
end

local function session_fields(flat)
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

local function session_clean_up(key, over, now)
  redis.call('PEXPIRE', key, math.ceil((over - now + 60) * 1000))
end

-- Until it is confirmed no cookie opens it, and it goes by itself after a minute. ARGV: field, value, field, value …
redis.register_function('idp_session_open', function(keys, args)
  redis.call('HSET', keys[1], 'opening', '1', unpack(args))
  redis.call('PEXPIRE', keys[1], 60000)
  return 'OK'
end)

-- ARGV: now. 0: it has ended meanwhile, and stays so.
redis.register_function('idp_session_confirm', function(keys, args)
  if redis.call('HDEL', keys[1], 'opening') == 0 then return 0 end
  session_clean_up(keys[1], session_over_at(session_fields(redis.call('HGETALL', keys[1]))), tonumber(args[1]))
  return 1
end)

-- ARGV: now, seconds after which a use is noted (0: this is not a use). Answers the record, empty when it is over, or not yet
-- confirmed and to be used.
redis.register_function('idp_session_find', function(keys, args)
  local now, note_after = tonumber(args[1]), tonumber(args[2])
  local record = redis.call('HGETALL', keys[1])
  if #record == 0 then return record end
  local fields = session_fields(record)
  if now >= session_over_at(fields) then
    redis.call('DEL', keys[1])
    return {}
  end
  if note_after > 0 and fields.opening then return {} end
  if note_after > 0 and now - tonumber(fields.last_seen) >= note_after then
    fields.last_seen = tostring(math.floor(now))
    redis.call('HSET', keys[1], 'last_seen', fields.last_seen)
    session_clean_up(keys[1], session_over_at(fields), now)
    return redis.call('HGETALL', keys[1])
  end
  return record
end)

-- ARGV: field, value … An empty value removes the field. A session that is gone stays gone.
redis.register_function('idp_session_set', function(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then return 0 end
  for i = 1, #args, 2 do
    if args[i + 1] == '' then
      redis.call('HDEL', keys[1], args[i])
    else
      redis.call('HSET', keys[1], args[i], args[i + 1])
    end
  end
  return 1
end)

-- ARGV: session, its expiry, now, most sessions a person may have. Answers those that must make room, oldest first.
redis.register_function('idp_session_list', function(keys, args)
  redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', args[3])
  redis.call('ZADD', keys[1], args[2], args[1])
  local last = redis.call('ZRANGE', keys[1], -1, -1, 'WITHSCORES')
  session_clean_up(keys[1], tonumber(last[2]), tonumber(args[3]))
  local too_many = redis.call('ZCARD', keys[1]) - tonumber(args[4])
  local out = {}
  if too_many > 0 then
    for _, session in ipairs(redis.call('ZRANGE', keys[1], 0, too_many)) do
      -- the one that has just come in stays, even if it is the first to end
      if session ~= args[1] and #out < too_many then
        redis.call('ZREM', keys[1], session)
        out[#out + 1] = session
      end
    end
  end
  return out
end)
