-- Sends a request template with varying numbers and ids; run by bench/wrk.py as
--   wrk -s load.lua URL -- TEMPLATE FIRST_NUMBER RUNS IDS|- ACKNOWLEDGED|-
-- IDS has lines "id number"; ACKNOWLEDGED gets lines "id number grade", one a 200 that was stored.

local pieces, number, runs = {}, 0, 1
local ids, its = {}, {}
local acknowledged

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function split(template)
  local at = 1
  while true do
    local from, to, name = template:find("@(%u+)@", at)
    if not from then break end
    pieces[#pieces + 1] = template:sub(at, from - 1)
    pieces[#pieces + 1] = name
    at = to + 1
  end
  pieces[#pieces + 1] = template:sub(at)
end

local values = {
  NUMBER = function() return string.format("%012d", number) end,
  RUN = function() return string.format("%02d", number % runs) end,
  ID = function() return ids[number % #ids + 1] end,
  ITS = function() return its[number % #ids + 1] end,
}

function init(arguments)
  split(read(arguments[1]))
  number, runs = tonumber(arguments[2]), tonumber(arguments[3])
  if arguments[4] ~= "-" then
    for id, of in read(arguments[4]):gmatch("(%S+) (%d+)") do
      ids[#ids + 1] = id
      its[#its + 1] = string.format("%012d", tonumber(of))
    end
  end
  if arguments[5] ~= "-" then
    acknowledged = assert(io.open(arguments[5], "w"))
    acknowledged:setvbuf("full", 65536)
    response = record
  end
end

function request()
  number = number + 1
  local parts = {}
  for index = 1, #pieces, 2 do
    parts[index] = pieces[index]
    local name = pieces[index + 1]
    if name then parts[index + 1] = values[name]() end
  end
  return table.concat(parts)
end

-- Made the global `response` only when wanted: parsing every answer costs wrk time.
function record(status, headers, body)
  local stored = headers["x-chatkeep-stored"]
  if status ~= 200 or (stored and stored ~= "yes") then return end
  local id = body:match('"id":"([^"]+)"')
  local its_number = body:match("n=(%d+);")
  local grade = body:match('"grade":"(%d+)"') or "-"
  acknowledged:write(id, " ", its_number, " ", grade, "\n")
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    'BENCH {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,' ..
    '"refused":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency.max, errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
