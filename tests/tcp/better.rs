//! What is better than in the original; each with `strict` where that restores the original's.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use crate::stage::{End, Server, Stage, connect, drain, echo, noise, ping, read, until};

const MS: Duration = Duration::from_millis(1);

/// Which of the next connections meet the toxic, by its delay.
fn late(address: std::net::SocketAddr, count: usize) -> Vec<bool> {
    (0..count).map(|_| ping(&mut connect(address), "x") >= MS * 40).collect()
}

#[test]
fn the_seed_decides_and_toxicity_is_rolled_once_for_each_connection() {
    let decide = || {
        let stage = Stage::new();
        let address = stage.proxy(echo());
        let mut open = Vec::new();
        for _ in 0..12 {
            let mut client = connect(address);
            ping(&mut client, "one after the other");
            open.push(client);
        }
        stage.toxic(r#"{"type":"latency","toxicity":0.5,"attributes":{"latency":40}}"#);
        let first: Vec<bool> = open.iter_mut().map(|client| ping(client, "x") >= MS * 40).collect();
        stage.toxic(r#"{"type":"noop"}"#);
        stage.toxic(r#"{"type":"noop","name":"another"}"#);
        let again: Vec<bool> = open.iter_mut().map(|client| ping(client, "x") >= MS * 40).collect();
        assert_eq!(first, again, "another change rolls nothing again");
        first
    };
    let first = decide();
    assert!(first.contains(&true) && first.contains(&false), "{first:?}");
    assert_eq!(decide(), first, "the same seed decides the same");
}

#[test]
fn reset_peer_respects_toxicity_and_open_connections_unless_strict() {
    let reset = |stage: &Stage, toxicity: &str, before: bool| {
        let address = stage.proxy(echo());
        let mut client = before.then(|| connect(address));
        client.iter_mut().for_each(|client| _ = ping(client, "x"));
        stage.toxic(&format!("{{\"type\":\"reset_peer\",\"toxicity\":{toxicity},\"attributes\":{{\"timeout\":1}}}}"));
        let mut client = client.unwrap_or_else(|| connect(address));
        client.write_all(b"x").unwrap();
        let is_reset = client.read(&mut [0]).is_err();
        stage.delete("/proxies/p");
        is_reset
    };
    let ours = Stage::new();
    assert!(reset(&ours, "1", true) && reset(&ours, "1", false));
    assert!(!reset(&ours, "0", false));
    let strict = Stage::strict();
    assert!(!reset(&strict, "1", true), "only connections opened while it is there");
    assert!(reset(&strict, "0", false), "whatever its toxicity");
}

#[test]
fn a_half_close_is_passed_on_unless_strict() {
    let answered = |stage: &Stage| {
        let server = Server::new();
        let mut client = connect(stage.proxy(server.address()));
        let mut upstream = server.accept();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(drain(&mut upstream).1, End::Fin);
        std::thread::sleep(MS * 20);
        let _ = upstream.write_all(b"late");
        drop(upstream);
        drain(&mut client).0 == b"late"
    };
    assert!(answered(&Stage::new()));
    assert!(!answered(&Stage::strict()));
}

#[test]
fn a_body_that_fails_half_way_changes_nothing() {
    let stage = Stage::new();
    let address = stage.proxy(echo());
    stage.toxic(r#"{"type":"latency","attributes":{"latency":1,"jitter":2}}"#);
    let before = stage.get("/proxies/p").body;
    for (path, body) in [
        ("/proxies/p/toxics/latency_downstream", r#"{"toxicity":0.5,"attributes":{"latency":500,"jitter":"much"}}"#),
        ("/proxies/p/toxics/latency_downstream", r#"{"attributes":{"latency":500},"toxicity":"all"}"#),
        ("/proxies/p", r#"{"upstream":"127.0.0.1:1","enabled":"no"}"#),
        ("/proxies/p", r#"{"enabled":false,"#),
    ] {
        assert_eq!(stage.call(&format!("PATCH {path}"), "", body).status, 400, "{body}");
        assert_eq!(stage.get("/proxies/p").body, before, "{body}");
    }
    ping(&mut connect(address), "still there");
}

#[test]
fn a_dial_that_hangs_blocks_nobody_else() {
    // A backlog that is full answers no SYN: the dial hangs as towards a host that is gone.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let _fillers: Vec<_> = (0..8).map_while(|_| std::net::TcpStream::connect_timeout(&address, MS * 50).ok()).collect();
    let stage = Stage::new();
    let proxy = stage.proxy(address);
    let hanging: Vec<_> = (0..20).map(|_| connect(proxy)).collect();
    until("all were accepted", || stage.value("brownout_connections_open{proxy=\"p\"}") == Some(20.0));
    assert_eq!(stage.call("PATCH /proxies/p", "", "{\"enabled\":false}").status, 200, "nor does it block a stop");
    drop(hanging);
}

#[test]
fn a_removed_toxic_never_hangs_and_never_loses_what_it_held() {
    let stage = Stage::new();
    let address = stage.proxy(echo());
    for kind in [
        r#"{"name":"t","type":"latency","attributes":{"latency":3600000}}"#,
        r#"{"name":"t","type":"bandwidth","attributes":{"rate":0}}"#,
        r#"{"name":"t","type":"slicer","attributes":{"average_size":1,"delay":60000000}}"#,
        r#"{"name":"t","type":"loss","attributes":{"enter":1,"leave":0,"rto":3600000}}"#,
        r#"{"name":"t","type":"reset_peer","attributes":{"timeout":3600000}}"#,
    ] {
        let mut client = connect(address);
        ping(&mut client, "before");
        stage.toxic(kind);
        let sent = noise(50_000);
        client.write_all(&sent).unwrap();
        std::thread::sleep(MS * 10);
        assert_eq!(stage.delete("/proxies/p/toxics/t").status, 204);
        assert!(read(&mut client, sent.len()) == sent, "{kind}");
    }
}

#[test]
fn the_memory_of_a_connection_under_latency_is_bounded() {
    let stage = Stage::new();
    let server = Server::new();
    let client = connect(stage.proxy(server.address()));
    let mut upstream = server.accept();
    stage.toxic(r#"{"type":"latency","attributes":{"latency":3600000}}"#);
    upstream.set_write_timeout(Some(MS * 500)).unwrap();
    let mut sent = 0usize;
    while let Ok(n) = upstream.write(&[7; 65_536]) {
        sent += n;
        assert!(sent < 200 << 20, "it takes whatever it is given");
    }
    let line = stage.get("/metrics").body;
    let start = "toxiproxy_proxy_received_bytes_total{direction=\"downstream\"";
    let read = line.lines().find(|line| line.starts_with(start)).unwrap().rsplit(' ').next().unwrap().to_owned();
    assert!(read.parse::<usize>().unwrap() <= (4 << 20) + 65_536, "{read} bytes are held");
    drop(client);
}

#[test]
fn a_proxy_is_created_with_its_toxics_in_one_step_unless_strict() {
    let toxics = r#","toxics":[{"type":"latency","attributes":{"latency":40}},{"type":"noop","stream":"upstream"}]"#;
    let stage = Stage::new();
    let address = stage.proxy_with(echo(), toxics);
    assert!(late(address, 1)[0], "the first connection meets them");
    assert_eq!(stage.get("/proxies/p/toxics").json().as_array().unwrap().len(), 2);
    let wrong = format!(
        "{{\"name\":\"q\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"{address}\",\"toxics\":[{{\"type\":\"nope\"}}]}}"
    );
    assert_eq!(stage.post("/proxies", &wrong).status, 400);
    assert_eq!(stage.get("/proxies/q").status, 404, "all of it or nothing");
    let strict = Stage::strict();
    strict.proxy_with(echo(), toxics);
    assert_eq!(strict.get("/proxies/p/toxics").body, "[]");
}

#[test]
fn toxics_beyond_the_original_are_unknown_when_strict() {
    let strict = Stage::strict();
    strict.proxy(echo());
    let answer = strict.post("/proxies/p/toxics", r#"{"type":"cut"}"#);
    assert_eq!((answer.status, answer.body.as_str()), (400, "{\"error\":\"invalid toxic type\",\"status\":400}\n"));
}
