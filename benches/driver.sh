#!/usr/bin/env bash
# The load driver against wrk, each pinned to the first core, the backend (nginx, one worker) to the last one:
# requests a second of a closed loop of 64 users in alternating rounds, then the lag of an open loop at 10,000/s.
#   benches/driver.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=benches/support/common.sh
. benches/support/common.sh
rounds=${1:-7} seconds=${2:-3}
need nginx wrk curl python3 taskset
oha=${OHA:-$(command -v oha || true)}

backend=$(port)
start_backend "$backend" taskset -c "$((cores - 1))"
await backend "$backend"
url=http://127.0.0.1:$backend/1k
drivers=(wrk brownout)
if [ -n "$oha" ]; then drivers+=(oha); fi

TIMEFORMAT='%U %S'
drive() { # NAME SECONDS, prints requests a second, then user and system seconds
  { time attack "$@" 2>&3; } 2>&1 3>&2 | tr '\n' ' '
  echo
}
attack() { # NAME SECONDS, prints requests a second
  case $1 in
  wrk) taskset -c 0 wrk -t1 -c64 -d"$2s" "$url" | awk '/Requests\/sec/ { print $2 }' ;;
  brownout)
    taskset -c 0 "$brownout" load "$url" --users 64 --duration "$2s" --format json 2>"$work/load.log" |
      python3 -c 'import json, sys; t = json.load(sys.stdin); assert t["good"] == t["requests"], t; print(t["achieved_per_s"])'
    ;;
  oha)
    taskset -c 0 "$oha" -c 64 -z "$2s" --no-tui --output-format json "$url" |
      python3 -c 'import json, sys; print(json.load(sys.stdin)["summary"]["requestsPerSec"])'
    ;;
  esac
}
for driver in "${drivers[@]}"; do drive "$driver" 1 >/dev/null; done
echo "Driver: 64 connections, 1 KiB, one core for the driver, $rounds alternating rounds of $seconds s"
for _ in $(seq "$rounds"); do
  for driver in "${drivers[@]}"; do echo "$driver $(drive "$driver" "$seconds")"; done
done >"$work/rows"
for _ in 1 2 3; do
  taskset -c 0 "$brownout" load "$url" --rate 10000/s --duration "${seconds}s" --warmup 1s --format json 2>>"$work/load.log" |
    python3 -c 'import json, sys; t = json.load(sys.stdin); print(*[t["lag_s"][q] for q in ("p50", "p99", "p999", "max")], t["achieved_per_s"], t["missed"])'
done >"$work/lags"
python3 - "$work/rows" "$work/lags" "$seconds" <<'PY'
import statistics, sys
rounds = []
for line in open(sys.argv[1]):
    name, rate, user, system = line.split()
    if name == "wrk":
        rounds.append({})
    rounds[-1][name] = float(rate), (float(user) + float(system)) / (float(rate) * float(sys.argv[3])) * 1e6
def ratios(name, base):
    return [r[name][0] / r[base][0] for r in rounds]
def spread(x):
    return f"{statistics.median(x):.2f} [{min(x):.2f}-{max(x):.2f}]"
def median(name, field):
    return statistics.median(r[name][field] for r in rounds)
print(f"{'':<12}{'requests/s':>12}{'CPU us':>8}{'of wrk':>20}")
for name in rounds[0]:
    print(f"{name:<12}{median(name, 0):>12.0f}{median(name, 1):>8.1f}{spread(ratios(name, 'wrk')):>20}")
lags = [[float(x) for x in line.split()] for line in open(sys.argv[2])]
print("open loop at 10,000/s, Poisson: lag in ms p50 / p99 / p99.9 / max, achieved, missed")
for *lag, achieved, missed in lags:
    print("   ", " / ".join(f"{x * 1e3:.3f}" for x in lag), f"{achieved:.0f}/s {missed:.0f}")
def bar(met, text):
    print("met    " if met else "NOT MET", text)
x = ratios("brownout", "wrk")
bar(statistics.median(x) >= 0.70, f"driver against wrk: {spread(x)} (bar: >= 0.70)")
if "oha" in rounds[0]:
    x = ratios("brownout", "oha")
    bar(statistics.median(x) > 1.0, f"driver against oha: {spread(x)} (bar: > 1.0)")
p99 = statistics.median(lag[1] for lag in lags) * 1e3
bar(p99 < 1.0, f"driver lag at 10,000/s, p99: {p99:.3f} ms (bar: < 1 ms)")
print()
PY
