// One line of nginx's log (../nginx/pairwatch-log.conf), decoded by Filebeat below `line`, becomes
// one request event. ECMAScript 5.1, which is what Filebeat runs.

// Your API's paths: first match wins.
var RULES = [
    {method: "GET", path: /^\/images\/([^\/]+)\/file$/, action: "download"},
    {method: "GET", path: /^\/images\/([^\/]+)$/, action: "view"},
    {method: "GET", path: /^\/images$/, action: "list"},
    {method: "GET", path: /^\/search$/, action: "search"},
    {method: "POST", path: /^\/generations$/, action: "generate"}
];

// The network is enough for `pairwatch allow range`; the last part is one person's.
function network(address) {
    if (/^[0-9.]+$/.test(address)) {
        return address.replace(/[0-9]+$/, "0");
    }
    return address.split("::")[0].split(":").slice(0, 3).join(":") + "::";
}

function process(event) {
    var line = event.Get("line");
    // Nobody's requests can't be judged, nor acted upon; limit them by address at the gateway.
    if (!line || !line.account_id) {
        event.Cancel();
        return;
    }
    var action = "other", pairs = [];
    for (var i = 0; i < RULES.length; i++) {
        var found = line.request_method === RULES[i].method && RULES[i].path.exec(line.path);
        if (found) {
            action = RULES[i].action;
            pairs = found.length > 1 ? [found[1]] : (line.pair_ids || "").split(",");
            break;
        }
    }
    // Only what was delivered was read.
    var delivered = (line.status >= 200 && line.status < 300) || line.status === 304;
    pairs = delivered ? pairs.filter(function (id) { return id !== ""; }) : [];

    event.Put("ts", line.msec);
    event.Put("request_id", line.request_id);
    event.Put("account_id", line.account_id);
    event.Put("action", action);
    event.Put("pair_ids", pairs);
    event.Put("status", line.status);
    event.Put("bytes", line.body_bytes_sent);
    event.Put("duration_ms", line.request_time * 1000);
    if (line.owner_id) { event.Put("owner_id", line.owner_id); }
    // Keyed hashes already, of your authentication's making: there is no hash in this language.
    if (line.org) { event.Put("links.org", line.org); }
    if (line.payment) { event.Put("links.payment", line.payment); }
    if (line.remote_addr) { event.Put("ip", network(line.remote_addr)); }
    // Of no use one without the other: together they tie accounts that share nothing else.
    var asn = parseInt(line.asn, 10);
    if (asn > 0 && line.ja4) {
        event.Put("ja4", line.ja4);
        event.Put("asn", asn);
    }
    event.Delete("line");
}
