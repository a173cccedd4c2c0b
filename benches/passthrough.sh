#!/usr/bin/env bash
# Pass-through, side by side: direct, nginx, Envoy with its fault filter, brownout without rules and with 1,000 rules
# of which none matches. Alternating rounds of wrk on this machine; ratios are taken within a round.
#   benches/passthrough.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5} seconds=${2:-2} cores=$(nproc)
brownout=${BROWNOUT:-target/release/brownout}
envoy=${ENVOY:-.tools/envoy/bin/envoy}
[ -x "$envoy" ] || envoy=$(command -v envoy || true)
for tool in nginx wrk; do command -v "$tool" >/dev/null || { echo "$tool is missing: make setup" >&2; exit 3; }; done
[ -x "$brownout" ] || { echo "$brownout is missing: cargo build --release" >&2; exit 3; }

work=$(mktemp -d)
pids=()
stop() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait 2>/dev/null || true; rm -rf "$work"; }
trap stop EXIT
port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }

backend=$(port) proxy_nginx=$(port) proxy_envoy=$(port) plain=$(port) ruled=$(port)
head -c 1024 /dev/zero | tr '\0' x >"$work/1k"
nginx_conf() { # file, workers, body of the http block
  cat >"$1" <<CONF
worker_processes $2; daemon off; pid $1.pid; error_log $1.err;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000; client_body_temp_path $work/b; proxy_temp_path $work/p;
  fastcgi_temp_path $work/f; uwsgi_temp_path $work/u; scgi_temp_path $work/s; $3 }
CONF
  nginx -c "$1" -p "$work" -e "$1.err" & pids+=($!)
}
nginx_conf "$work/backend.conf" 1 "server { listen 127.0.0.1:$backend reuseport; root $work; }"
nginx_conf "$work/proxy.conf" "$cores" "upstream b { server 127.0.0.1:$backend; keepalive 256; keepalive_requests 1000000; }
  server { listen 127.0.0.1:$proxy_nginx reuseport; location / { proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection \"\"; } }"

mkdir "$work/none" "$work/many"
for i in $(seq 1000); do
  printf '[[rule]]\nname = "rule-%d"\nmatch = { path = "/api/v%d/items/{id}/**" }\n[[rule.fault]]\nkind = "error"\nstatus = 503\n\n' "$i" "$i"
done >"$work/many/rules.toml"
for kind in "none $plain" "many $ruled"; do
  set -- $kind
  cat >"$work/$1.toml" <<CONF
[admin]
listen = "127.0.0.1:0"
[metrics]
listen = "127.0.0.1:0"
[rules]
dir = "$work/$1"
[[proxy]]
name = "bench"
protocol = "http"
listen = "127.0.0.1:$2"
upstream = "http://127.0.0.1:$backend"
shards = $cores
CONF
  "$brownout" serve -c "$work/$1.toml" >"$work/$1.log" 2>&1 & pids+=($!)
done

targets=("direct $backend" "nginx $proxy_nginx" "brownout $plain" "brownout-1000-rules $ruled")
if [ -n "$envoy" ]; then
  cat >"$work/envoy.yaml" <<CONF
static_resources:
  listeners:
  - address: { socket_address: { address: 127.0.0.1, port_value: $proxy_envoy } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          route_config: { virtual_hosts: [ { name: all, domains: ["*"], routes: [ { match: { prefix: "/" }, route: { cluster: backend } } ] } ] }
          http_filters:
          - name: envoy.filters.http.fault
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault }
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: backend
    type: STATIC
    load_assignment: { cluster_name: backend, endpoints: [ { lb_endpoints: [ { endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: $backend } } } } ] } ] }
CONF
  "$envoy" -c "$work/envoy.yaml" --concurrency "$cores" --disable-hot-restart --log-level error >"$work/envoy.log" 2>&1 & pids+=($!)
  targets+=("envoy $proxy_envoy")
else
  echo "envoy is not here (make bench installs it): left out" >&2
fi

for target in "${targets[@]}"; do
  set -- $target
  for _ in $(seq 100); do curl -fsS -o /dev/null "http://127.0.0.1:$2/1k" 2>/dev/null && break; sleep 0.1; done
  curl -fsS -o /dev/null "http://127.0.0.1:$2/1k" || { echo "$1 does not answer" >&2; cat "$work"/*.log "$work"/*.err >&2; exit 3; }
  wrk -t1 -c64 -d1s "http://127.0.0.1:$2/1k" >/dev/null
done
echo "wrk -t1 -c64, 1 KiB, ${rounds} alternating rounds of ${seconds} s, $cores cores shared by all" >&2
for _ in $(seq "$rounds"); do
  for target in "${targets[@]}"; do
    set -- $target
    wrk -t1 -c64 -d"${seconds}s" --latency "http://127.0.0.1:$2/1k" >"$work/out"
    awk -v n="$1" '/Requests\/sec/ {r=$2} /50%/ {a=$2} /99%/ {b=$2} /Non-2xx|Socket errors/ {e=$0} END {print n, r, a, b, e}' "$work/out"
  done
done | tee "$work/rows" >&2
python3 - "$work/rows" <<'PY'
import statistics, sys
rounds, now = [], {}
for line in open(sys.argv[1]):
    name, rate, *_ = line.split()
    if name == "direct" and now:
        rounds.append(now); now = {}
    now[name] = float(rate)
rounds.append(now)
print(f"{'in front of the backend':<24}{'requests/s':>12}{'of nginx':>22}{'of no rules':>22}")
for name in rounds[0]:
    rates = [r[name] for r in rounds]
    cell = lambda base: (lambda x: f"{statistics.median(x):.2f} [{min(x):.2f}-{max(x):.2f}]")([r[name] / r[base] for r in rounds])
    print(f"{name:<24}{statistics.median(rates):>12.0f}{cell('nginx'):>22}{cell('brownout'):>22}")
PY
