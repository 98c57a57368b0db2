-- A pending login: hash pending:{<hash of the handle>}. Every record carries its own expiry; the key's lifetime only cleans up.

local function pending_read(key, browser, now)
  local record = redis.call('HGETALL', key)
  if #record == 0 then return {'unknown'} end
  local fields = {}
  for i = 1, #record, 2 do fields[record[i]] = record[i + 1] end
  if tonumber(fields.expires) <= tonumber(now) then return {'unknown'} end
  if fields.browser ~= browser then return {'foreign'} end
  return {'found', record}
end

-- KEYS: the pending login. ARGV: hash of the browser's cookie, now, then field, value, field, value … to note down.
redis.register_function('idp_pending_find', function(keys, args)
  local answer = pending_read(keys[1], args[1], args[2])
  if answer[1] ~= 'found' or #args == 2 then return answer end
  for i = 3, #args, 2 do redis.call('HSET', keys[1], args[i], args[i + 1]) end
  return pending_read(keys[1], args[1], args[2])
end)

-- Read and delete: of two that try, one gets it.
redis.register_function('idp_pending_take', function(keys, args)
  local answer = pending_read(keys[1], args[1], args[2])
  if answer[1] == 'found' then redis.call('DEL', keys[1]) end
  return answer
end)

redis.register_function('idp_pending_park', function(keys, args)
  local fields = {}
  for i = 2, #args do fields[i - 1] = args[i] end
  redis.call('HSET', keys[1], unpack(fields))
  redis.call('PEXPIREAT', keys[1], math.floor(tonumber(args[1]) * 1000) + 60000)
  return 'OK'
end)
