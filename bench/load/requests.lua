-- wrk -s requests.lua URL -- FILE [PAUSE]: GET with another header of the file each time, each connection
-- after so many milliseconds.

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  ready = {}
  for line in io.lines(args[1]) do
    local name, value = line:match("^([^:]+): (.*)$")
    ready[#ready + 1] = wrk.format("GET", nil, { [name] = value })
  end
  at = number * math.floor(#ready / 2)
  if args[2] then
    local pause = tonumber(args[2])
    delay = function() return pause end
  end
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
