-- Grants: what a session has given to a product. One hash per grant, grant:{<gid>}, holding only hashes of its secrets:
--   facts (JSON, never changes), person (JSON, rewritten when the person changes), client_id, scope, redirect_uri, challenge,
--   ends (until when the indexes hold it: no token of it lives longer; the end of its session, unless offline), offline ("1": outlives the session), code + code_expires + used, a:<hash> = "<expires> <issued> <scope>" per access token,
--   refresh, refresh_issued, refresh_expires, previous, successor (sealed), grace (until), expires (of the whole record).
-- Ending a grant deletes it: whatever is shown afterwards is unknown. Times are seconds and come from the caller;
-- the key's own lifetime only cleans up.

local MOST_ACCESS_TOKENS = 20
local OTHER_FIELDS = 18  -- of a grant that was refreshed; any other grant has one access token

local function grant_keep_until(key, expires, now)
  local known = tonumber(redis.call('HGET', key, 'expires') or '0')
  if expires > known then
    redis.call('HSET', key, 'expires', expires)
    redis.call('PEXPIRE', key, math.ceil((expires - now + 60) * 1000))
  end
end

-- The oldest access token leaves when there are too many, so that a grant stays small. Returns the token's end.
local function grant_add_access(key, hash, wanted, ends, now, scope)
  local expires = math.min(tonumber(wanted), tonumber(ends))
  redis.call('HSET', key, 'a:' .. hash, expires .. ' ' .. math.floor(now) .. ' ' .. scope)
  if redis.call('HLEN', key) > MOST_ACCESS_TOKENS + OTHER_FIELDS then
    local oldest, oldest_expires, count = nil, nil, 0
    local fields = redis.call('HGETALL', key)
    for i = 1, #fields, 2 do
      if string.sub(fields[i], 1, 2) == 'a:' then
        local ends = tonumber(string.match(fields[i + 1], '^%d+'))
        if ends <= now then
          redis.call('HDEL', key, fields[i])
        else
          count = count + 1
          if fields[i] ~= 'a:' .. hash and (oldest == nil or ends < oldest_expires) then
            oldest, oldest_expires = fields[i], ends
          end
        end
      end
    end
    if count > MOST_ACCESS_TOKENS then redis.call('HDEL', key, oldest) end
  end
  grant_keep_until(key, expires, now)
  return expires
end

local function grant_scope_within(wanted, granted)
  local known = {}
  for word in string.gmatch(granted, '[^ ]+') do known[word] = true end
  for word in string.gmatch(wanted, '[^ ]+') do
    if not known[word] then return false end
  end
  return true
end

-- ARGV: hash of the code, its expiry, now, ends, client_id, redirect_uri, challenge, offline, scope, facts, person
redis.register_function('idp_grant_open', function(keys, args)
  redis.call('HSET', keys[1], 'code', args[1], 'code_expires', args[2], 'ends', args[4], 'client_id', args[5],
    'redirect_uri', args[6], 'challenge', args[7], 'offline', args[8], 'scope', args[9], 'facts', args[10],
    'person', args[11])
  grant_keep_until(keys[1], tonumber(args[2]), tonumber(args[3]))
  return 'OK'
end)

-- Take the code, exactly once, and store what it buys.
-- ARGV: hash of the code, now, client_id, redirect_uri, challenge made from the verifier,
--       hash of the access token, its expiry, hash of the refresh token, its expiry ('' and 0: none is offered)
redis.register_function('idp_grant_redeem', function(keys, args)
  local key, now = keys[1], tonumber(args[2])
  local g = redis.call('HMGET', key, 'code', 'used', 'code_expires', 'client_id', 'redirect_uri', 'challenge', 'offline',
    'scope', 'facts', 'person', 'ends')
  if g[1] ~= args[1] then return {'code_unknown'} end
  local wrong = nil
  if g[2] then wrong = 'code_used'  -- whoever shows it a second time, what the first one got is no longer safe (RFC 6749 4.1.2)
  elseif now >= tonumber(g[3]) then wrong = 'code_expired'
  elseif g[4] ~= args[3] then wrong = 'code_foreign'
  elseif g[5] ~= args[4] then wrong = 'redirect_uri_different'
  elseif g[6] ~= args[5] then wrong = 'verifier_wrong' end
  if wrong then
    redis.call('DEL', key)
    return {wrong, g[9]}
  end
  redis.call('HSET', key, 'used', '1')
  local expires = grant_add_access(key, args[6], args[7], g[11], now, g[8])
  if g[7] ~= '1' or args[8] == '' then return {'redeemed', g[9], g[10], expires, ''} end
  local refresh_expires = math.min(tonumber(args[9]), tonumber(g[11]))
  redis.call('HSET', key, 'refresh', args[8], 'refresh_expires', refresh_expires, 'refresh_issued', math.floor(now))
  grant_keep_until(key, refresh_expires, now)
  return {'redeemed', g[9], g[10], expires, 'refresh'}
end)

-- Trade a genuine refresh token for the next one.
-- ARGV: hash of the token shown, now, client_id, hash of the next token, the next token sealed, end of the grace,
--       hash of the access token, its expiry, wanted scope ('' = all that was granted), when it was sent (wall clock)
redis.register_function('idp_grant_refresh', function(keys, args)
  local key, now = keys[1], tonumber(args[2])
  local g = redis.call('HMGET', key, 'refresh', 'previous', 'grace', 'successor', 'refresh_expires', 'client_id', 'scope',
    'facts', 'person', 'ends')
  if not g[1] then return {'refresh_unknown'} end
  if g[6] ~= args[3] then return {'refresh_foreign', g[8]} end
  if now >= tonumber(g[5]) then return {'refresh_expired', g[8]} end
  local in_grace = g[2] == args[1] and now < tonumber(g[3])
  if g[1] ~= args[1] and not in_grace then
    redis.call('DEL', key)
    return {'refresh_reused', g[8]}
  end
  local scope = args[9]
  if scope == '' then scope = g[7] end
  if not grant_scope_within(scope, g[7]) then return {'scope_exceeded', g[8]} end
  local expires = grant_add_access(key, args[7], args[8], g[10], now, scope)
  if in_grace then return {'refreshed', g[8], g[9], expires, scope, g[4]} end
  -- A server that stood still answers nobody, and does afterwards what it was asked before: the grace begins when the
  -- trade is made, so that who tries again then is not taken for a thief. Clocks that differ make it longer at most.
  local clock = redis.call('TIME')
  local late = math.floor(tonumber(clock[1]) + tonumber(clock[2]) / 1000000 - tonumber(args[10]))
  late = math.max(0, math.min(60, late))
  redis.call('HSET', key, 'refresh', args[4], 'previous', args[1], 'successor', args[5], 'grace', tonumber(args[6]) + late,
    'refresh_issued', math.floor(now))
  return {'refreshed', g[8], g[9], expires, scope, args[5]}
end)

-- ARGV: hash of the access token, now
redis.register_function{
  function_name = 'idp_grant_access',
  callback = function(keys, args)
    local g = redis.call('HMGET', keys[1], 'a:' .. args[1], 'facts', 'person')
    if not g[1] then return {} end
    local expires, issued, scope = string.match(g[1], '^(%d+) (%d+) (.*)$')
    if tonumber(args[2]) >= tonumber(expires) then return {} end
    return {g[2], g[3], expires, issued, scope}
  end,
  flags = {'no-writes'},
}

-- ARGV: hash of the refresh token, now. Only the current one is alive.
redis.register_function{
  function_name = 'idp_grant_refresh_read',
  callback = function(keys, args)
    local g = redis.call('HMGET', keys[1], 'refresh', 'refresh_expires', 'refresh_issued', 'scope', 'facts', 'person')
    if g[1] ~= args[1] or tonumber(args[2]) >= tonumber(g[2]) then return {} end
    return {g[5], g[6], g[2], g[3], g[4]}
  end,
  flags = {'no-writes'},
}

-- A client gives back a token (RFC 7009). ARGV: client_id, hash of an access token ('' = a refresh token: all ends)
redis.register_function('idp_grant_revoke', function(keys, args)
  if redis.call('HGET', keys[1], 'client_id') ~= args[1] then return 0 end
  if args[2] == '' then return redis.call('DEL', keys[1]) end
  return redis.call('HDEL', keys[1], 'a:' .. args[2])
end)

-- ARGV: client_id ('' = whichever)
redis.register_function('idp_grant_end', function(keys, args)
  if args[1] ~= '' and redis.call('HGET', keys[1], 'client_id') ~= args[1] then return 0 end
  return redis.call('DEL', keys[1])
end)

-- The session is over: what was granted offline lives on, if its code has been redeemed.
redis.register_function('idp_grant_end_with_session', function(keys, args)
  local g = redis.call('HMGET', keys[1], 'offline', 'used')
  if g[1] == '1' and g[2] then return 0 end
  return redis.call('DEL', keys[1])
end)

-- ARGV: the person (JSON)
redis.register_function('idp_grant_person', function(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then return 0 end
  redis.call('HSET', keys[1], 'person', args[1])
  return 1
end)

-- Indexes: sorted sets that hold, until it ends, what a session or an account has. KEYS: session-grants:{…} or
-- account-grants:{…}. ARGV: now, then member, end, member, end … Refused (0) once the session was ended.
redis.register_function('idp_grant_index', function(keys, args)
  local key, now = keys[1], tonumber(args[1])
  if redis.call('ZSCORE', key, 'ended') then return 0 end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  for i = 2, #args, 2 do redis.call('ZADD', key, 'GT', args[i + 1], args[i]) end
  local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
  redis.call('PEXPIRE', key, math.ceil((tonumber(last[2]) - now + 60) * 1000))
  return 1
end)

-- Read all members and leave a mark, so that an authorization that read the session just before cannot add to it.
redis.register_function('idp_grant_index_end', function(keys, args)
  local members = redis.call('ZRANGE', keys[1], 0, -1)
  redis.call('DEL', keys[1])
  redis.call('ZADD', keys[1], 0, 'ended')
  redis.call('PEXPIRE', keys[1], 3600000)
  return members
end)
