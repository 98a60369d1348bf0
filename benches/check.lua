-- For wrk: sends one request again and again, and looks at every answer. Prints one line of JSON.
--   BENCH_TOKEN    the bearer token to send, or
--   BENCH_LOGIN    the JSON body to POST
--   BENCH_LENGTH   how long the body of every answer must be; its status must be 200

local token, login = os.getenv("BENCH_TOKEN"), os.getenv("BENCH_LOGIN")
local length = tonumber(os.getenv("BENCH_LENGTH"))
local threads = {}
wrong = 0 -- global, so that the main thread can read it

if login then
  wrk.method, wrk.body = "POST", login
  wrk.headers["Content-Type"] = "application/json"
else
  wrk.headers["Authorization"] = "Bearer " .. token
end

function setup(thread) table.insert(threads, thread) end

function response(status, headers, body)
  if status ~= 200 or #body ~= length then wrong = wrong + 1 end
end

function done(summary, latency)
  local errors, failed = summary.errors, 0
  for _, kind in ipairs({ "connect", "read", "write", "timeout" }) do failed = failed + errors[kind] end
  for _, thread in ipairs(threads) do failed = failed + thread:get("wrong") end
  print(string.format('{"answers": %d, "failed": %d, "seconds": %f, "p50": %d, "p99": %d}',
    summary.requests, failed, summary.duration / 1e6, latency:percentile(50), latency:percentile(99)))
end
