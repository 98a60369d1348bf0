-- For wrk: guesses passwords, each for a name and from a network of its own, so that the throttle
-- refuses none of them. Prints one line of JSON: how many answers there were of each status.
--   BENCH_ROUND    a number that tells one storm's names and networks from another's

local round, guesses = tonumber(os.getenv("BENCH_ROUND")), 0
local threads = {}
statuses = {} -- global, so that the main thread can read it

function setup(thread) table.insert(threads, thread) end

function request()
  guesses = guesses + 1
  local network = string.format("10.%d.%d.%d", round, math.floor(guesses / 256) % 256, guesses % 256)
  local body = string.format("username=nobody%d-%d&password=wrong", round, guesses)
  local fields = { ["Content-Type"] = "application/x-www-form-urlencoded", ["X-Forwarded-For"] = network }
  return wrk.format("POST", "/jwt", fields, body)
end

function response(status) statuses[status] = (statuses[status] or 0) + 1 end

function done(summary)
  local found = {}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("statuses")) do
      table.insert(found, string.format('"%d": %d', status, count))
    end
  end
  print(string.format('{"seconds": %f, "statuses": {%s}}', summary.duration / 1e6, table.concat(found, ", ")))
end
