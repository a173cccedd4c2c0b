// Steers `brownout toxiproxy` with the package toxiproxy-node-client, as a test of an application would.

const assert = require("node:assert");
const net = require("node:net");
const { Toxiproxy } = require("toxiproxy-node-client");

const [api, upstream] = process.argv.slice(2);

function ping(listen) {
  const port = Number(listen.split(":").pop());
  return new Promise((resolve, reject) => {
    const start = process.hrtime.bigint();
    const peer = net.connect(port, "127.0.0.1", () => peer.write("ping"));
    peer.on("data", (bytes) => {
      peer.destroy();
      resolve({ answer: bytes.toString(), ms: Number(process.hrtime.bigint() - start) / 1e6 });
    });
    peer.on("error", reject);
    peer.on("end", () => reject(new Error("ended")));
  });
}

async function main() {
  const server = new Toxiproxy(`http://${api}`);
  assert.match(JSON.stringify(await server.getVersion()), /2\.12\.0/);
  assert.ok((await server.getAll())["from-file"]);

  const redis = await server.createProxy({ name: "redis", listen: "127.0.0.1:0", upstream });
  assert.strictEqual((await ping(redis.listen)).answer, "ping");

  const latency = await redis.addToxic({
    name: "slow", type: "latency", stream: "downstream", toxicity: 1.0, attributes: { latency: 60, jitter: 0 },
  });
  assert.ok((await ping(redis.listen)).ms >= 60);
  const faster = await latency.update({ toxicity: 1.0, attributes: { latency: 5, jitter: 0 } });
  assert.strictEqual(faster.attributes.latency, 5);
  assert.strictEqual((await redis.getToxic("slow")).attributes.latency, 5);
  await latency.remove();

  await redis.addToxic({
    name: "peer", type: "reset_peer", stream: "downstream", toxicity: 1.0, attributes: { timeout: 0 },
  });
  await assert.rejects(ping(redis.listen), /ECONNRESET/);
  await server.reset();
  assert.strictEqual((await ping(redis.listen)).answer, "ping");

  await redis.update({ enabled: false, listen: redis.listen, upstream });
  await assert.rejects(ping(redis.listen), /ECONNREFUSED/);
  await redis.update({ enabled: true, listen: redis.listen, upstream });
  assert.strictEqual((await ping(redis.listen)).answer, "ping");

  await server.populate([
    { name: "a", listen: "127.0.0.1:0", upstream, enabled: true },
    { name: "b", listen: "127.0.0.1:0", upstream, enabled: false },
  ]);
  const all = await server.getAll();
  assert.deepStrictEqual(Object.keys(all).sort(), ["a", "b", "from-file", "redis"]);
  await redis.remove();
  await assert.rejects(server.get("redis"));
  console.log("all is well");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
