-- wrk -s logins.lua URL -- USERS PASSWORD: logins, of user0 and so on in turns.

function init(args)
  ready = {}
  for user = 0, tonumber(args[1]) - 1 do
    local body = string.format('{"username": "user%d", "password": "%s"}', user, args[2])
    ready[#ready + 1] = wrk.format("POST", nil, { ["Content-Type"] = "application/json" }, body)
  end
  at = 0
end

function request()
  at = at % #ready + 1
  return ready[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("said %d %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
