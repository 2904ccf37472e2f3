-- One line of nginx's log (../nginx/pairwatch-log.conf) becomes one request event.

-- Your API's paths: first match wins.
local function action_of(method, path)
    if method == "GET" then
        local pair = path:match("^/images/([^/]+)/file$")
        if pair then return "download", pair end
        pair = path:match("^/images/([^/]+)$")
        if pair then return "view", pair end
        if path == "/images" then return "list" end
        if path == "/search" then return "search" end
    elseif method == "POST" and path == "/generations" then
        return "generate"
    end
    return "other"
end

local function said(text)
    if type(text) == "string" and text ~= "" then return text end
end

-- The network is enough for `pairwatch allow range`; the last part is one person's.
local function network(address)
    local v4 = address:match("^(%d+%.%d+%.%d+)%.%d+$")
    if v4 then return v4 .. ".0" end
    local groups = {}
    for group in address:match("^[%x:]*"):gsub("::.*", ""):gmatch("%x+") do
        if #groups < 3 then groups[#groups + 1] = group end
    end
    return table.concat(groups, ":") .. "::"
end

function request(tag, timestamp, line)
    -- Nobody's requests can't be judged, nor acted upon; limit them by address at the gateway.
    if not said(line.account_id) then return -1, timestamp, line end

    local status = tonumber(line.status) or 0
    local action, pair = action_of(line.request_method or "", line.path or "")
    -- Only what was delivered was read.
    local delivered = (status >= 200 and status < 300) or status == 304
    local pairs_read = {}
    if delivered and pair then
        pairs_read[1] = pair
    elseif delivered and action ~= "other" then
        for id in (line.pair_ids or ""):gmatch("[^,]+") do pairs_read[#pairs_read + 1] = id end
    end

    local event = {
        ts = line.msec,
        request_id = line.request_id,
        account_id = line.account_id,
        action = action,
        owner_id = said(line.owner_id),
        status = status,
        bytes = line.body_bytes_sent,
        duration_ms = (tonumber(line.request_time) or 0) * 1000,
    }
    -- Lua can't tell an empty list from an empty object: without any the field is left out.
    if #pairs_read > 0 then event.pair_ids = pairs_read end
    -- Keyed hashes already, of your authentication's making: Lua here has none to offer.
    local org, payment = said(line.org), said(line.payment)
    if org or payment then event.links = { org = org, payment = payment } end
    if said(line.remote_addr) then event.ip = network(line.remote_addr) end
    -- Of no use one without the other: together they tie accounts that share nothing else.
    local asn = tonumber(line.asn)
    if asn and said(line.ja4) then event.ja4, event.asn = line.ja4, asn end
    -- 2: the record is new, its time stays.
    return 2, timestamp, event
end
