-- The part of lua-resty-http that the example asks for, over nginx's own sockets.
local Client = {}
Client.__index = Client

function Client.new()
  return setmetatable({ timeout_ms = 60000 }, Client)
end

function Client:set_timeout(ms)
  self.timeout_ms = ms
end

local function any_case(headers)
  return setmetatable({}, {
    __index = function(_, name)
      return headers[name:lower()]
    end,
  })
end

function Client:request_uri(uri, options)
  local host, port, path = uri:match("^http://([^:/]+):(%d+)(/.*)$")
  local socket = ngx.socket.tcp()
  socket:settimeout(self.timeout_ms)
  local connected, why = socket:connect(host, tonumber(port))
  if not connected then
    return nil, why
  end
  local lines = { "GET " .. path .. " HTTP/1.1", "Host: " .. host, "Connection: close" }
  for name, value in pairs(options.headers) do
    lines[#lines + 1] = name .. ": " .. value
  end
  socket:send(table.concat(lines, "\r\n") .. "\r\n\r\n")
  local status_line, failed = socket:receive("*l")
  if not status_line then
    return nil, failed
  end
  local headers = {}
  for line in function() return socket:receive("*l") end do
    if line == "" then break end
    local name, value = line:match("^([^:]+):%s*(.-)%s*$")
    headers[name:lower()] = value
  end
  local body = socket:receive(tonumber(headers["content-length"] or "0"))
  socket:close()
  return { status = tonumber(status_line:match("^HTTP/%S+ (%d+)")), headers = any_case(headers), body = body }
end

return Client
