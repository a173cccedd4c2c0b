#!/usr/bin/env bash
# The TCP proxy beside a direct connection and beside HAProxy in TCP mode, both with as many threads: 1-KiB requests over
# keep-alive connections, a bulk stream, the memory of 10,000 idle connections, and the error of a delay. Rounds
# alternate, and ratios are of one run: absolute figures differ from machine to machine.
#
#   benches/tcp.sh [ROUNDS] [SECONDS]      default: 5 rounds of 3 s
set -euo pipefail
cd "$(dirname "$0")/.."
rounds="${1:-5}" seconds="${2:-3}"
brownout="${BROWNOUT:-target/release/brownout}"
haproxy="$(PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v haproxy)"
nginx="$(PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v nginx)"
folder="$(mktemp -d)"
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
# HAProxy refuses to start with more connections than descriptors allow, two for each.
most=$((($(ulimit -n) - 200) / 2)); [ "$most" -le 30000 ] || most=30000

read -r backend bulk ours ours_bulk theirs theirs_bulk api metrics admin < <(python3 - <<'PY'
import socket
held = [socket.socket() for _ in range(9)]
for s in held: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in held))
PY
)
mkdir -p "$folder/temp"
cat >"$folder/nginx.conf" <<CONF
worker_rlimit_nofile 65536; daemon off; master_process off; pid $folder/nginx.pid; error_log stderr crit;
events { worker_connections 30000; }
http {
    access_log off; keepalive_requests 100000000;
    client_body_temp_path $folder/temp; proxy_temp_path $folder/temp; fastcgi_temp_path $folder/temp;
    uwsgi_temp_path $folder/temp; scgi_temp_path $folder/temp;
    server { listen 127.0.0.1:$backend; location / { return 200 "$(printf 'x%.0s' {1..1024})"; } }
}
CONF
cat >"$folder/haproxy.cfg" <<CONF
global
    nbthread 2
    maxconn $most
defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m
listen small
    bind 127.0.0.1:$theirs
    server s 127.0.0.1:$backend
listen bulk
    bind 127.0.0.1:$theirs_bulk
    server s 127.0.0.1:$bulk
CONF
cat >"$folder/brownout.toml" <<CONF
[admin]
listen = "127.0.0.1:$admin"
[metrics]
listen = "127.0.0.1:$metrics"
[toxiproxy]
listen = "127.0.0.1:$api"
[[proxy]]
name = "small"
protocol = "tcp"
listen = "127.0.0.1:$ours"
upstream = "127.0.0.1:$backend"
shards = 2
[[proxy]]
name = "bulk"
protocol = "tcp"
listen = "127.0.0.1:$ours_bulk"
upstream = "127.0.0.1:$bulk"
shards = 2
CONF
"$nginx" -c "$folder/nginx.conf" -p "$folder" 2>"$folder/nginx.log" & pids+=($!)
"$haproxy" -f "$folder/haproxy.cfg" -db 2>"$folder/haproxy.log" & pids+=($!); haproxy_pid=$!
"$brownout" serve -c "$folder/brownout.toml" >"$folder/brownout.log" 2>&1 & pids+=($!); brownout_pid=$!
python3 benches/tcp_peer.py source "$bulk" & pids+=($!)
for port in "$backend" "$ours" "$theirs" "$bulk" "$ours_bulk" "$theirs_bulk"; do
    for _ in $(seq 200); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
        sleep 0.05
    done
done

echo "requests/s, 1 KiB, wrk -t1 -c64, $seconds s a round"
for round in $(seq "$rounds"); do
    for target in "direct:$backend" "haproxy:$theirs" "brownout:$ours"; do
        rate="$(wrk -t1 -c64 -d"${seconds}s" "http://127.0.0.1:${target#*:}/" | awk '/Requests\/sec/ { print $2 }')"
        echo "${target%:*} $rate" >>"$folder/small"
        printf '  round %s  %-9s %12s\n' "$round" "${target%:*}" "$rate"
    done
done
echo "GiB/s, one stream, $seconds s a round"
for round in $(seq "$rounds"); do
    for target in "direct:$bulk" "haproxy:$theirs_bulk" "brownout:$ours_bulk"; do
        rate="$(python3 benches/tcp_peer.py drain "${target#*:}" "$seconds")"
        echo "${target%:*} $rate" >>"$folder/bulk"
        printf '  round %s  %-9s %12s\n' "$round" "${target%:*}" "$rate"
    done
done
# A connection through a proxy takes two descriptors of it; 10,000 in two lots if the limit allows.
lot=$((($(ulimit -n) - 400) / 4)); [ "$lot" -le 5000 ] || lot=5000
echo "$((2 * lot)) idle connections: KiB of memory for each"
# The sockets' buffers are the kernel's; this is the process' own.
for target in "haproxy:$theirs:$haproxy_pid" "brownout:$ours:$brownout_pid"; do
    IFS=: read -r name port pid <<<"$target"
    printf '  %-9s %s\n' "$name" "$(python3 benches/tcp_peer.py idle "$port" "$pid" "$lot")"
done
echo "delay of 50 ms, error in ms over 300 requests: p50, p99, earliest"
curl -sf -d '{"type":"latency","name":"t","attributes":{"latency":50}}' "127.0.0.1:$api/proxies/small/toxics" >/dev/null
python3 benches/tcp_peer.py delay "$ours" 50 300
echo "ratios (medians)"
python3 benches/tcp_peer.py ratios "$folder/small" "$folder/bulk"
