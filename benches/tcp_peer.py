"""The other ends for benches/tcp.sh: a source of bytes, their reader, idle connections, a stopwatch."""

import socket
import statistics
import sys
import threading
import time

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def source(port):
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    block = bytes(1 << 20)

    def pour(peer):
        try:
            while True:
                peer.sendall(block)
        except OSError:
            peer.close()

    while True:
        threading.Thread(target=pour, args=(listener.accept()[0],), daemon=True).start()


def drain(port, seconds):
    peer = socket.create_connection(("127.0.0.1", port))
    buffer, moved = bytearray(1 << 20), 0
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        moved += peer.recv_into(buffer)
    print(f"{moved / (time.monotonic() - start) / (1 << 30):.2f}")
    peer.close()


def resident(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def idle(port, pid, count):
    """Two lots, of which the second is measured: what a process allocates once is not a connection's."""
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    time.sleep(1)
    before = resident(pid)
    held += [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    time.sleep(1)
    print(f"{(resident(pid) - before) / count:.2f}")


def delay(port, milliseconds, count):
    peer = socket.create_connection(("127.0.0.1", port))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    errors = []
    for _ in range(count):
        start = time.monotonic()
        peer.sendall(REQUEST)
        peer.recv(65536)
        errors.append((time.monotonic() - start) * 1e3 - milliseconds)
    errors.sort()
    print(f"  {statistics.median(errors):.3f}  {errors[int(count * 0.99)]:.3f}  {errors[0]:.3f}")


def ratios(*paths):
    for path in paths:
        rates = {}
        with open(path) as lines:
            for line in lines:
                name, rate = line.split()
                rates.setdefault(name, []).append(float(rate))
        medians = {name: statistics.median(rates[name]) for name in rates}
        against = [f"brownout / {name} {medians['brownout'] / medians[name]:.2f}" for name in ("direct", "haproxy")]
        print(f"  {path.rsplit('/', 1)[1]:<6}", "  ".join(against))


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "ratios":
        ratios(*rest)
    else:
        {"source": source, "drain": drain, "idle": idle, "delay": delay}[what](*map(int, rest))
