-- What stands between a company's identity provider and us, all keys of a connection under its id as hash tag:
--   saml:{<connection>}:request:<hash of its id>    hash: a request that was sent, until it is answered
--   saml:{<connection>}:answer:<hash of the handle> hash: what was verified of a response, until its browser comes for it
--   saml:{<connection>}:assertion:<hash of its id>  "<until>": an assertion that has signed somebody in
-- Every record carries its own expiry; the key's lifetime only cleans up. Times are seconds and come from the caller.

local function saml_read(key, now)
  local record = redis.call('HGETALL', key)
  for i = 1, #record, 2 do
    if record[i] == 'expires' and tonumber(record[i + 1]) > tonumber(now) then return record end
  end
  return {}
end

-- ARGV: expires, then field, value, field, value …
redis.register_function('idp_saml_keep', function(keys, args)
  local fields = {'expires', args[1]}
  for i = 2, #args do fields[i + 1] = args[i] end
  redis.call('HSET', keys[1], unpack(fields))
  redis.call('PEXPIREAT', keys[1], math.floor(tonumber(args[1]) * 1000) + 60000)
  return 'OK'
end)

-- ARGV: now. The record stays.
redis.register_function{
  function_name = 'idp_saml_find',
  callback = function(keys, args) return saml_read(keys[1], args[1]) end,
  flags = {'no-writes'},
}

-- Read and delete: of two that try, one gets it. ARGV: now.
redis.register_function('idp_saml_fetch', function(keys, args)
  local record = saml_read(keys[1], args[1])
  redis.call('DEL', keys[1])
  return record
end)

-- Both the request and the assertion are used up, or neither. KEYS: request, assertion.
-- ARGV: hash of the browser's cookie, now, until when the assertion could be shown again.
redis.register_function('idp_saml_take', function(keys, args)
  local record = saml_read(keys[1], args[2])
  local browser = nil
  for i = 1, #record, 2 do
    if record[i] == 'browser' then browser = record[i + 1] end
  end
  if not browser then return 'unknown' end
  if browser ~= args[1] then return 'foreign' end
  local used = redis.call('GET', keys[2])
  if used and tonumber(used) > tonumber(args[2]) then return 'repeated' end
  redis.call('SET', keys[2], args[3])
  redis.call('PEXPIREAT', keys[2], math.floor(tonumber(args[3]) * 1000) + 60000)
  redis.call('DEL', keys[1])
  return 'taken'
end)
