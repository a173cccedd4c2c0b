//! Each toxic between real sockets. What can be told without a clock is told in the toxics' own tests.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::stage::{End, Server, Stage, connect, drain, echo, noise, ping, read, until};

const MS: Duration = Duration::from_millis(1);

fn elapsed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

#[test]
fn latency_delays_each_direction_and_is_added_to_and_taken_from_an_open_connection() {
    let stage = Stage::new();
    let mut client = connect(stage.proxy(echo()));
    ping(&mut client, "before");
    stage.toxic(r#"{"type":"latency","attributes":{"latency":60}}"#);
    stage.toxic(r#"{"type":"latency","stream":"upstream","attributes":{"latency":50}}"#);
    assert!(ping(&mut client, "under") >= MS * 110);
    // What is under way when it is removed arrives at once, and all of it.
    stage.call("PATCH /proxies/p/toxics/latency_downstream", "", r#"{"attributes":{"latency":3600000}}"#);
    client.write_all(b"held back").unwrap();
    until("it arrives at the proxy", || {
        let metrics = stage.get("/metrics").body;
        let start = "toxiproxy_proxy_received_bytes_total{direction=\"downstream\"";
        metrics.lines().any(|line| line.starts_with(start) && line.ends_with(" 20"))
    });
    assert_eq!(stage.delete("/proxies/p/toxics/latency_downstream").status, 204);
    assert_eq!(stage.delete("/proxies/p/toxics/latency_upstream").status, 204);
    assert_eq!(read(&mut client, 9), b"held back");
}

#[test]
fn bandwidth_holds_its_rate() {
    let stage = Stage::new();
    let mut client = connect(stage.proxy(echo()));
    stage.toxic(r#"{"type":"bandwidth","attributes":{"rate":1000}}"#);
    let sent = noise(300_000);
    client.write_all(&sent).unwrap();
    let took = elapsed(|| assert!(read(&mut client, sent.len()) == sent));
    assert!(took >= MS * 270, "{took:?}");
}

#[test]
fn slow_close_delays_the_end_alone() {
    let stage = Stage::new();
    let server = Server::new();
    let mut client = connect(stage.proxy(server.address()));
    stage.toxic(r#"{"type":"slow_close","attributes":{"delay":150}}"#);
    ping_once(&mut client, &server);
    let took = elapsed(|| assert_eq!(drain(&mut client).1, End::Fin));
    assert!(took >= MS * 140, "{took:?}");
}

fn ping_once(client: &mut std::net::TcpStream, server: &Server) {
    let mut upstream = server.accept();
    client.write_all(b"x").unwrap();
    read(&mut upstream, 1);
    upstream.write_all(b"y").unwrap();
    read(client, 1);
}

#[test]
fn timeout_swallows_and_closes_when_its_time_is_over_or_it_is_removed() {
    let stage = Stage::new();
    let address = stage.proxy(echo());
    stage.toxic(r#"{"type":"timeout","attributes":{"timeout":100}}"#);
    let mut client = connect(address);
    client.write_all(b"lost").unwrap();
    assert_eq!(drain(&mut client), (Vec::new(), End::Fin));
    stage.call("PATCH /proxies/p/toxics/timeout_downstream", "", r#"{"attributes":{"timeout":0}}"#);
    let mut client = connect(address);
    client.write_all(b"lost").unwrap();
    client.set_read_timeout(Some(MS * 100)).unwrap();
    assert_eq!(drain(&mut client), (Vec::new(), End::Open), "0 never closes");
    client.set_read_timeout(Some(crate::stage::PATIENCE)).unwrap();
    stage.delete("/proxies/p/toxics/timeout_downstream");
    assert_eq!(drain(&mut client), (Vec::new(), End::Fin));
}

#[test]
fn reset_peer_resets_both_sides_of_a_connection_that_was_open_before() {
    let stage = Stage::new();
    let server = Server::new();
    let mut client = connect(stage.proxy(server.address()));
    let mut upstream = server.accept();
    ping_through(&mut client, &mut upstream);
    stage.toxic(r#"{"type":"reset_peer","attributes":{"timeout":10}}"#);
    client.write_all(b"x").unwrap();
    read(&mut upstream, 1);
    upstream.write_all(b"y").unwrap();
    assert_eq!(drain(&mut client), (Vec::new(), End::Rst));
    assert_eq!(drain(&mut upstream).1, End::Rst);
}

fn ping_through(client: &mut std::net::TcpStream, upstream: &mut std::net::TcpStream) {
    client.write_all(b"ping").unwrap();
    assert_eq!(read(upstream, 4), b"ping");
    upstream.write_all(b"pong").unwrap();
    assert_eq!(read(client, 4), b"pong");
}

#[test]
fn slicer_and_limit_data_act_on_what_they_are_given_in_their_order() {
    let stage = Stage::new();
    let address = stage.proxy(echo());
    stage.toxic(r#"{"type":"slicer","attributes":{"average_size":10,"size_variation":3,"delay":100}}"#);
    stage.toxic(r#"{"type":"limit_data","attributes":{"bytes":333}}"#);
    let mut client = connect(address);
    let sent = noise(1_000);
    client.write_all(&sent).unwrap();
    let (received, end) = drain(&mut client);
    assert_eq!((received.len(), end), (333, End::Fin));
    assert_eq!(received, &sent[..333]);
}

#[test]
fn limit_data_can_end_with_a_reset_after_its_last_byte() {
    let stage = Stage::new();
    let address = stage.proxy(echo());
    stage.toxic(r#"{"type":"limit_data","attributes":{"bytes":5,"how":"reset"}}"#);
    let mut client = connect(address);
    client.write_all(b"12345678").unwrap();
    assert_eq!(read(&mut client, 5), b"12345");
    assert_eq!(drain(&mut client), (Vec::new(), End::Rst));
}

#[test]
fn cut_ends_a_connection_on_which_data_never_stops() {
    let stage = Stage::new();
    let server = Server::new();
    let address = stage.proxy(server.address());
    stage.toxic(r#"{"type":"cut","attributes":{"after":150}}"#);
    let mut client = connect(address);
    let mut upstream = server.accept();
    let writing = std::thread::spawn(move || while upstream.write_all(&[7; 4096]).is_ok() {});
    let took = elapsed(|| {
        let mut buffer = vec![0; 65_536];
        while client.read(&mut buffer).is_ok_and(|n| n > 0) {}
    });
    assert!(took >= MS * 100, "{took:?}");
    drop(client);
    writing.join().unwrap();
}

#[test]
fn corrupt_changes_some_bytes_and_the_length_not() {
    let stage = Stage::new();
    let address = stage.proxy(echo());
    stage.toxic(r#"{"type":"corrupt","attributes":{"share":0.01}}"#);
    let mut client = connect(address);
    let sent = noise(100_000);
    client.write_all(&sent).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let (received, end) = drain(&mut client);
    let changed = sent.iter().zip(&received).filter(|(a, b)| a != b).count();
    assert_eq!((received.len(), end), (sent.len(), End::Fin));
    assert!((700..1_300).contains(&changed), "{changed}");
}

#[test]
fn doors_refuse_delay_or_never_answer() {
    let stage = Stage::new();
    let server = Server::new();
    let address = stage.proxy(server.address());
    stage.toxic(r#"{"type":"refuse","name":"door"}"#);
    assert_eq!(drain(&mut connect(address)).1, End::Rst);
    stage.delete("/proxies/p/toxics/door");

    stage.toxic(r#"{"type":"blackhole","name":"door"}"#);
    let mut client = connect(address);
    client.write_all(b"anybody?").unwrap();
    client.set_read_timeout(Some(MS * 60)).unwrap();
    assert_eq!(drain(&mut client).1, End::Open);
    server.0.set_nonblocking(true).unwrap();
    assert!(server.0.accept().is_err(), "the upstream was not contacted");
    server.0.set_nonblocking(false).unwrap();
    stage.delete("/proxies/p/toxics/door");
    server.accept();
    drop(client);

    stage.toxic(r#"{"type":"accept_delay","name":"door","attributes":{"delay":120}}"#);
    let took = elapsed(|| {
        let _client = connect(address);
        server.accept();
    });
    assert!(took >= MS * 120, "{took:?}");
    stage.delete("/proxies/p/toxics/door");

    stage.toxic(r#"{"type":"connections","name":"door","attributes":{"most":1}}"#);
    until("the others are gone", || stage.value("brownout_connections_open{proxy=\"p\"}") == Some(0.0));
    let first = connect(address);
    let _upstream = server.accept();
    assert_eq!(drain(&mut connect(address)).1, End::Rst);
    drop(first);
}

#[test]
fn half_open_keeps_the_client_in_the_dark_until_it_is_removed() {
    let stage = Stage::new();
    let server = Server::new();
    let mut client = connect(stage.proxy(server.address()));
    let mut upstream = server.accept();
    ping_through(&mut client, &mut upstream);
    stage.toxic(r#"{"type":"half_open"}"#);
    upstream.write_all(b"unheard").unwrap();
    drop(upstream);
    client.set_read_timeout(Some(MS * 80)).unwrap();
    assert_eq!(drain(&mut client), (Vec::new(), End::Open), "not even the end is heard");
    client.set_read_timeout(Some(crate::stage::PATIENCE)).unwrap();
    stage.delete("/proxies/p/toxics/half_open_downstream");
    assert_eq!(drain(&mut client).1, End::Rst);
}

#[test]
fn down_closes_what_is_open_and_refuses_what_comes() {
    let stage = Stage::new();
    let address = stage.proxy(echo());
    let mut client = connect(address);
    ping(&mut client, "up");
    stage.toxic(r#"{"type":"down"}"#);
    assert_eq!(drain(&mut client).1, End::Fin);
    assert_eq!(drain(&mut connect(address)).1, End::Rst);
    stage.post("/reset", "");
    ping(&mut connect(address), "up again");
}

#[test]
fn loss_and_latency_together_lose_no_byte_of_a_pipelined_exchange() {
    let stage = Stage::new();
    let address = stage.proxy(echo());
    stage.toxic(r#"{"type":"loss","attributes":{"enter":0.2,"leave":0.6,"rto":5}}"#);
    stage.toxic(r#"{"type":"latency","stream":"upstream","attributes":{"latency":5,"jitter":5}}"#);
    stage.toxic(r#"{"type":"slicer","stream":"upstream","attributes":{"average_size":200,"size_variation":50}}"#);
    let mut client = connect(address);
    let sent = noise(200_000);
    client.write_all(&sent).unwrap();
    assert!(read(&mut client, sent.len()) == sent);
}

#[test]
fn a_partition_cuts_every_line_between_two_sides_at_once_and_heals_without_loss() {
    let stage = Stage::new();
    let create = |name: &str, groups: &str| {
        let body = format!(
            "{{\"name\":\"{name}\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"{}\",\"groups\":{groups}}}",
            echo()
        );
        stage.post("/proxies", &body).json()["listen"].as_str().unwrap().parse().unwrap()
    };
    let cut = [create("a-db", r#"["a","db"]"#), create("a-cache", r#"["a","cache"]"#)];
    let whole = create("b-db", r#"["b","db"]"#);
    let mut open: Vec<_> = cut.iter().map(|address| connect(*address)).collect();
    open.iter_mut().for_each(|client| _ = ping(client, "before"));
    let answer = stage.post("/partitions", r#"{"name":"split","between":["a",["db","cache"]]}"#);
    assert_eq!((answer.status, answer.json()["proxies"].as_array().unwrap().len()), (201, 2), "{}", answer.body);
    assert_eq!(stage.get("/partitions").body, r#"{"split":[["a"],["db","cache"]]}"#);
    for client in &mut open {
        client.write_all(b"under way").unwrap();
        client.set_read_timeout(Some(MS * 50)).unwrap();
        assert_eq!(drain(client), (Vec::new(), End::Open));
        client.set_read_timeout(Some(crate::stage::PATIENCE)).unwrap();
    }
    ping(&mut connect(whole), "not concerned");
    let mut late = connect(cut[0]);
    assert_eq!(stage.delete("/partitions/split").status, 204);
    for client in &mut open {
        assert_eq!(read(client, 9), b"under way");
        ping(client, "after");
    }
    ping(&mut late, "served once it is over");
    assert_eq!(stage.post("/partitions", r#"{"name":"x","between":["a","nowhere"]}"#).status, 400);
    assert_eq!(stage.delete("/partitions/split").status, 404);
}
