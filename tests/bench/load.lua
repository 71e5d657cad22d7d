-- wrk runs this: `wrk … -s load.lua URL -- BYTES`. BYTES > 0 makes every request a POST of that many bytes.
-- Its last line is read by bench.py.
function init(args)
  local bytes = tonumber(args[1] or 0)
  if bytes > 0 then
    wrk.method = "POST"
    wrk.body = string.rep("x", bytes)
    wrk.headers["Content-Type"] = "application/octet-stream"
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration,
    e.connect + e.write + e.status + e.timeout, e.read, latency:percentile(50), latency:percentile(99)))
end
