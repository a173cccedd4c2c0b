"""Steers `brownout toxiproxy` with the package toxiproxy-python, as a test of an application would."""

import socket
import sys
import time

from toxiproxy import Toxiproxy
from toxiproxy.exceptions import NotFound

api, upstream = sys.argv[1:]
host, port = api.split(":")


def ping(listen):
    with socket.create_connection(listen.rsplit(":", 1), timeout=3) as peer:
        start = time.monotonic()
        peer.sendall(b"ping")
        answer = peer.recv(4)
        return answer, time.monotonic() - start


def refused(listen):
    try:
        socket.create_connection(listen.rsplit(":", 1), timeout=3).close()
    except ConnectionRefusedError:
        return True
    return False


server = Toxiproxy()
server.update_api_consumer(host, int(port))
assert server.running()
assert b"2.12.0" in server.version(), server.version()

redis = server.create(upstream=upstream, name="redis", listen="127.0.0.1:0")
assert redis.enabled and not redis.listen.endswith(":0"), redis.listen
assert ping(redis.listen)[0] == b"ping"

redis.add_toxic(type="latency", attributes={"latency": 80, "jitter": 0})
assert ping(redis.listen)[1] >= 0.08
assert "latency_downstream" in redis.toxics(), redis.toxics()
redis.destroy_toxic("latency_downstream")
assert not redis.toxics()

redis.add_toxic(name="cut", type="limit_data", stream="upstream", toxicity=1.0, attributes={"bytes": 2})
answer, _ = ping(redis.listen)
assert answer != b"ping", answer

redis.disable()
assert refused(redis.listen)
redis.enable()
assert server.reset()
assert not redis.toxics()
assert ping(redis.listen)[0] == b"ping"

assert {"redis", "from-file"} <= set(server.proxies()), server.proxies()
more = [{"name": "a", "upstream": upstream, "listen": "127.0.0.1:0"}, {"name": "b", "upstream": upstream}]
assert [proxy.name for proxy in server.populate(more)] == ["a", "b"]

assert server.destroy(redis)
try:
    redis.toxics()
    raise AssertionError("a proxy that is gone is still there")
except NotFound:
    pass
print("all is well")
