-- People on their way to a social provider and back:
--   social:{<hash of the state>}         hash: a trip, until its answer comes
--   social-answer:{<hash of the handle>} hash: what a provider posted, until the browser comes for it with our cookies
-- Every record carries its own expiry; the key's lifetime only cleans up. Times are seconds and come from the caller.

local function social_read(key, now)
  local record = redis.call('HGETALL', key)
  for i = 1, #record, 2 do
    if record[i] == 'expires' and tonumber(record[i + 1]) > tonumber(now) then return record end
  end
  return {}
end

local function social_field(record, name)
  for i = 1, #record, 2 do
    if record[i] == name then return record[i + 1] end
  end
end

-- ARGV: expires, then field, value, field, value …
redis.register_function('idp_social_keep', function(keys, args)
  local fields = {'expires', args[1]}
  for i = 2, #args do fields[i + 1] = args[i] end
  redis.call('HSET', keys[1], unpack(fields))
  redis.call('PEXPIREAT', keys[1], math.floor(tonumber(args[1]) * 1000) + 60000)
  return 'OK'
end)

-- ARGV: now. The record stays.
redis.register_function{
  function_name = 'idp_social_find',
  callback = function(keys, args) return social_read(keys[1], args[1]) end,
  flags = {'no-writes'},
}

-- Read and delete: of two that try, one gets it. ARGV: now.
redis.register_function('idp_social_fetch', function(keys, args)
  local record = social_read(keys[1], args[1])
  redis.call('DEL', keys[1])
  return record
end)

-- Use up, if it is this provider's trip and this browser's; who is neither can use nothing up. What is used is kept until it ends, so
-- that a person who goes back is told so.
-- ARGV: now, provider, hash of the browser's cookie.
redis.register_function('idp_social_take', function(keys, args)
  local record = social_read(keys[1], args[1])
  if #record == 0 then return {'unknown'} end
  if social_field(record, 'provider') ~= args[2] then return {'elsewhere'} end
  if social_field(record, 'browser') ~= args[3] then return {'foreign'} end
  if social_field(record, 'used') then return {'used', record} end
  redis.call('HSET', keys[1], 'used', '1')
  return {'taken', record}
end)
