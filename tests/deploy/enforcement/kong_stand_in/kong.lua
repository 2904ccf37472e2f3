-- Runs the code of a pre-function as Kong's sandbox does: with `kong`, and the one module that
-- KONG_UNTRUSTED_LUA_SANDBOX_REQUIRES lets in.
local pdk = { request = {}, response = {} }

function pdk.request.get_header(name)
  local value = ngx.req.get_headers()[name]
  return type(value) == "table" and value[1] or value
end

function pdk.response.exit(status, body, headers)
  ngx.status = status
  for name, value in pairs(headers) do
    ngx.header[name] = value
  end
  ngx.print(body)
  return ngx.exit(status)
end

local function require_allowed(name)
  if name ~= "resty.http" then
    error("require '" .. name .. "' not allowed within sandbox")
  end
  return require(name)
end

package.loaded["resty.http"] = require("resty.http")

local sandbox = { kong = pdk, require = require_allowed, pairs = pairs, tonumber = tonumber }

return function(path)
  local code = assert(loadfile(path))
  return setfenv(code, sandbox)
end
