-- wrk plays what was prepared. BENCH_REQUESTS: a file of raw requests, each after a line with its length; they are sent in
-- turn, from the start again only if BENCH_AGAIN is set. BENCH_REFRESH instead: each answer's refresh token is traded next.
-- BENCH_RESULT: where the numbers go. One thread only: tokens stay in one place.

local requests, place, again = {}, 0, os.getenv('BENCH_AGAIN') ~= nil
local tokens, first, last, head, tail, host = {}, 1, 0, nil, nil, nil
local refresh = os.getenv('BENCH_REFRESH')

function init()
  local file = assert(io.open(os.getenv('BENCH_REQUESTS'), 'rb'))
  if refresh then
    host, head, tail = file:read('*l'), file:read('*l'), file:read('*l')
    for token in file:lines() do
      last = last + 1
      tokens[last] = token
    end
  else
    while true do
      local length = file:read('*l')
      if not length then break end
      requests[#requests + 1] = file:read(tonumber(length))
    end
  end
  file:close()
end

local function trade()
  if first > last then
    return 'GET /used-up HTTP/1.1\r\nHost: ' .. host .. '\r\n\r\n'
  end
  local body = 'grant_type=refresh_token&refresh_token=' .. tokens[first] .. tail
  tokens[first] = nil
  first = first + 1
  return 'POST /token HTTP/1.1\r\nHost: ' .. host .. '\r\nAuthorization: ' .. head ..
    '\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ' .. #body .. '\r\n\r\n' .. body
end

local function prepared()
  place = place + 1
  if place > #requests then
    if not again then return 'GET /used-up HTTP/1.1\r\nHost: localhost\r\n\r\n' end
    place = 1
  end
  return requests[place]
end

request = refresh and trade or prepared

if refresh then
  response = function(status, _, body)
    local token = string.match(body, '"refresh_token":"([^"]+)"')
    if status == 200 and token then
      last = last + 1
      tokens[last] = token
    end
  end
end

function done(summary, latency)
  local file = assert(io.open(os.getenv('BENCH_RESULT'), 'w'))
  local errors = summary.errors
  file:write(string.format(
    '{"requests": %d, "microseconds": %d, "refused": %d, "broken": %d, "p50": %d, "p99": %d}',
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
  file:close()
end
