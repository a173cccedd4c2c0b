#!/usr/bin/env bash
# Pass-through, side by side: direct, nginx, Envoy with its fault filter, brownout without rules and with 1,000 rules
# of which none matches. Alternating rounds of wrk on this machine; ratios are taken within a round. CPU is what the
# process in front of the backend used for a request, kernel included: it moves less than the rates do when the machine
# has other work.
#   benches/passthrough.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=benches/support/common.sh
. benches/support/common.sh
rounds=${1:-7} seconds=${2:-2}
envoy=${ENVOY:-.tools/envoy/bin/envoy}
[ -x "$envoy" ] || envoy=$(command -v envoy || true)
need nginx wrk curl python3

backend=$(port) proxy_nginx=$(port) proxy_envoy=$(port) plain=$(port) ruled=$(port)
start_backend "$backend"
start_nginx proxy "$cores" "upstream b { server 127.0.0.1:$backend; keepalive 256; keepalive_requests 100000000; }
  server { listen 127.0.0.1:$proxy_nginx reuseport;
    location / { proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection \"\"; } }"

start_brownout() { # NAME PORT, rules in $work/NAME
  cat >"$work/$1.toml" <<CONF
[admin]
listen = "127.0.0.1:0"
[metrics]
listen = "127.0.0.1:0"
[rules]
dir = "$work/$1"
[safety]
state_file = "$work/$1.state.json"
[[proxy]]
name = "bench"
protocol = "http"
listen = "127.0.0.1:$2"
upstream = "http://127.0.0.1:$backend"
shards = $cores
CONF
  start "$work/$1.log" "$brownout" serve -c "$work/$1.toml"
}
mkdir "$work/none" "$work/many"
for i in $(seq 1000); do
  printf '[[rule]]\nname = "rule-%d"\nmatch = { path = "/api/v%d/items/{id}/**" }\n[[rule.fault]]\nkind = "error"\nstatus = 503\n\n' "$i" "$i"
done >"$work/many/rules.toml"
targets=("direct $backend ${pids[0]}" "nginx $proxy_nginx ${pids[1]}")
start_brownout none "$plain"
targets+=("brownout $plain ${pids[-1]}")
start_brownout many "$ruled"
targets+=("brownout-1000-rules $ruled ${pids[-1]}")
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
  start "$work/envoy.log" "$envoy" -c "$work/envoy.yaml" --concurrency "$cores" --disable-hot-restart --log-level error
  targets+=("envoy $proxy_envoy ${pids[-1]}")
else
  echo "envoy is not here (scripts/setup bench installs it): left out" >&2
fi

for target in "${targets[@]}"; do
  read -r name port _ <<<"$target"
  await "$name" "$port"
  wrk -t1 -c64 -d1s "http://127.0.0.1:$port/1k" >/dev/null
done
echo "Pass-through: wrk -t1 -c64, 1 KiB, $rounds alternating rounds of $seconds s, $cores cores shared by all"
for _ in $(seq "$rounds"); do
  for target in "${targets[@]}"; do
    read -r name port pid <<<"$target"
    before=$(cpu "$pid")
    wrk -t1 -c64 -d"${seconds}s" --latency "http://127.0.0.1:$port/1k" >"$work/out"
    awk -v n="$name" -v cpu="$(cpu "$pid")" -v before="$before" '
      function us(t) { return t ~ /us$/ ? t + 0 : t ~ /ms$/ ? t * 1000 : t * 1000000 }
      /requests in/ { count = $1 } /Requests\/sec/ { rate = $2 } /^ +50%/ { p50 = us($2) } /^ +99%/ { p99 = us($2) }
      /Non-2xx|Socket errors/ { failed = "FAILED:" $0 }
      END { print n, rate, p50, p99, (cpu - before) / count * 1e6, failed }' "$work/out"
  done
done >"$work/rows"
python3 - "$work/rows" <<'PY'
import statistics, sys
rounds, failed = [], []
for line in open(sys.argv[1]):
    name, *figures, failure = line.rstrip("\n").split(" ", 5)
    failed += [f"{name}: {failure}"] * bool(failure)
    if name == "direct":
        rounds.append({})
    rounds[-1][name] = [float(x) for x in figures]
def ratios(name, base):
    return [r[name][0] / r[base][0] for r in rounds]
def spread(x):
    return f"{statistics.median(x):.2f} [{min(x):.2f}-{max(x):.2f}]"
def median(name, field):
    return statistics.median(r[name][field] for r in rounds)
print(f"{'in front of the backend':<24}{'requests/s':>11}{'p50 us':>8}{'p99 us':>8}{'CPU us':>8}{'of nginx':>18}{'of no rules':>18}")
for name in rounds[0]:
    print(f"{name:<24}{median(name, 0):>11.0f}{median(name, 1):>8.0f}{median(name, 2):>8.0f}{median(name, 3):>8.1f}"
          f"{spread(ratios(name, 'nginx')):>18}{spread(ratios(name, 'brownout')):>18}")
def bar(name, base, wanted):
    x = ratios(name, base)
    met = "met    " if statistics.median(x) >= wanted else "NOT MET"
    print(f"{met} pass-through, {name} against {base}: {spread(x)} (bar: >= {wanted})")
bar("brownout-1000-rules", "brownout", 0.97)
bar("brownout", "nginx", 0.80)
if "envoy" in rounds[0]:
    bar("brownout", "envoy", 2.0)
for line in failed:
    print(line)
print()
PY
