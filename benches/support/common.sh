# What the side-by-side scripts share: sourced, not run. Every process started here is ended at exit, by its id.
# shellcheck shell=bash

# Servers from apt lie where an ordinary user's PATH does not look.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
cores=$(nproc)
brownout=${BROWNOUT:-target/release/brownout}
work=$(mktemp -d)
chmod 755 "$work" # nginx, started by root, serves as somebody else
pids=()

stop_all() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap stop_all EXIT

die() { echo "$*" >&2; exit 3; }

need() { # COMMAND...
  local tool
  for tool in "$@"; do command -v "$tool" >/dev/null || die "$tool is missing: scripts/setup bench"; done
  [ -x "$brownout" ] || die "$brownout is missing: cargo build --release"
}

# Starts a process that ends with this script: LOG COMMAND...
start() {
  local log=$1
  shift
  "$@" >"$log" 2>&1 &
  pids+=("$!")
}

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Starts an nginx: NAME WORKERS BODY-OF-THE-HTTP-BLOCK [PREFIX-COMMAND...]
start_nginx() {
  local conf=$work/$1.conf workers=$2 http=$3
  shift 3
  cat >"$conf" <<CONF
worker_processes $workers; daemon off; pid $conf.pid; error_log $conf.err;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; client_body_temp_path $work/b; proxy_temp_path $work/p;
  fastcgi_temp_path $work/f; uwsgi_temp_path $work/u; scgi_temp_path $work/s; $http }
CONF
  start "$conf.log" "$@" nginx -c "$conf" -p "$work" -e "$conf.err"
}

# A page of 1 KiB, served by an nginx with one worker: PORT [PREFIX-COMMAND...]
start_backend() {
  local port=$1
  shift
  mkdir -p "$work/pages"
  head -c 1024 /dev/zero | tr '\0' x >"$work/pages/1k"
  start_nginx backend 1 "server { listen 127.0.0.1:$port reuseport; root $work/pages; }" "$@"
}

# Waits until it answers: NAME PORT
await() {
  for _ in $(seq 100); do curl -fsS -o /dev/null "http://127.0.0.1:$2/1k" 2>/dev/null && return; sleep 0.1; done
  tail -n 20 "$work"/*.log "$work"/*.err >&2
  die "$1 does not answer"
}

# CPU time in seconds that a process and its children have used: PID
cpu() {
  local pid
  for pid in "$1" $(pgrep -P "$1"); do cat "/proc/$pid/stat"; done 2>/dev/null |
    awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); t += $12 + $13 } END { print t / hz }'
}
