//! Starting, moving, draining, reconciling.

use std::io::Write;
use std::time::{Duration, Instant};

use brownout::tcp::registry::Wanted;

use crate::stage::{End, Server, Stage, connect, drain, echo, ping, until};

fn wanted(stage: &Stage, name: &str, upstream: std::net::SocketAddr) -> Wanted {
    let spec = stage.registry.spec(name.to_owned(), "127.0.0.1:0".parse().unwrap(), upstream.to_string());
    Wanted { spec, enabled: true, toxics: Vec::new(), groups: Vec::new() }
}

#[test]
fn a_drain_ends_idle_connections_and_lets_busy_ones_go_on() {
    let stage = Stage::new();
    let server = Server::new();
    let address = stage.proxy(server.address());
    let mut idle = connect(address);
    let _idle_upstream = server.accept();
    let mut busy = connect(address);
    let mut upstream = server.accept();
    let registry = stage.registry.clone();
    let draining = stage.runtime.spawn(async move { registry.drain(Duration::from_secs(20)).await });
    let pinging = std::thread::spawn(move || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(1_500) {
            upstream.write_all(b"tick").unwrap();
            crate::stage::read(&mut busy, 4);
            std::thread::sleep(Duration::from_millis(50));
        }
        busy
    });
    assert_eq!(drain(&mut idle).1, End::Fin);
    let busy = pinging.join().unwrap();
    drop(busy);
    assert_eq!(stage.runtime.block_on(draining).unwrap(), 0, "nothing had to be cut");
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_reload_touches_only_what_changed() {
    let stage = Stage::new();
    let (kept, moved) = (wanted(&stage, "kept", echo()), wanted(&stage, "moved", echo()));
    let failures = stage.runtime.block_on(stage.registry.reconcile(vec![kept.clone(), moved.clone()]));
    assert!(failures.is_empty());
    stage.proxy(echo());
    let address = |name: &str| stage.runtime.block_on(stage.registry.get(name)).unwrap().listen;
    let mut client = connect(address("kept"));
    ping(&mut client, "open");
    let old = address("moved");
    let elsewhere = wanted(&stage, "moved", Server::new().address());
    assert!(stage.runtime.block_on(stage.registry.reconcile(vec![kept, elsewhere])).is_empty());
    ping(&mut client, "still open");
    assert!(address("moved") != old);
    assert_eq!(stage.get("/proxies").json().as_object().unwrap().len(), 3, "what came over the API stays");
    assert!(stage.runtime.block_on(stage.registry.reconcile(Vec::new())).is_empty());
    assert_eq!(stage.get("/proxies").json().as_object().unwrap().len(), 1);
}

#[test]
fn disabling_closes_and_enabling_comes_back_on_the_same_address() {
    let stage = Stage::new();
    let address = stage.proxy(echo());
    let mut client = connect(address);
    ping(&mut client, "up");
    assert_eq!(stage.post("/proxies/p", "{\"enabled\":false}").status, 200);
    assert_eq!(drain(&mut client).1, End::Fin);
    assert!(std::net::TcpStream::connect(address).is_err(), "refused by the kernel");
    let back = stage.call("PATCH /proxies/p", "", "{\"enabled\":true}").json();
    assert_eq!(back["listen"].as_str().unwrap().parse::<std::net::SocketAddr>().unwrap(), address);
    ping(&mut connect(address), "up");
    assert_eq!(stage.delete("/proxies/p").status, 204);
    until("the port is free", || std::net::TcpStream::connect(address).is_err());
}
