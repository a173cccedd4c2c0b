//! Bytes, ends and counters without any toxic.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use crate::stage::{End, Server, Stage, connect, drain, echo, noise, ping, read, until};

#[test]
fn bytes_arrive_as_they_were_sent_in_both_directions() {
    let stage = Stage::new();
    let mut client = connect(stage.proxy(echo()));
    let sent = noise(3_000_000);
    let mut writer = client.try_clone().unwrap();
    let copy = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let (received, end) = drain(&mut client);
    writing.join().unwrap();
    assert_eq!(end, End::Fin);
    assert!(received == sent, "{} of {} bytes, or others", received.len(), sent.len());
}

#[test]
fn a_half_close_is_passed_on_and_the_other_half_stays_open() {
    let stage = Stage::new();
    let server = Server::new();
    let mut client = connect(stage.proxy(server.address()));
    let mut upstream = server.accept();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(drain(&mut upstream), (b"question".to_vec(), End::Fin));
    upstream.write_all(b"a late answer").unwrap();
    drop(upstream);
    assert_eq!(drain(&mut client), (b"a late answer".to_vec(), End::Fin));
}

#[test]
fn a_reset_is_passed_on_as_one() {
    let stage = Stage::new();
    let server = Server::new();
    let mut client = connect(stage.proxy(server.address()));
    let upstream = server.accept();
    socket2::SockRef::from(&upstream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(upstream);
    assert_eq!(drain(&mut client).1, End::Rst);
}

#[test]
fn a_server_that_speaks_first_is_heard() {
    let stage = Stage::new();
    let server = Server::new();
    let mut client = connect(stage.proxy(server.address()));
    server.accept().write_all(b"220 ready").unwrap();
    assert_eq!(drain(&mut client), (b"220 ready".to_vec(), End::Fin));
}

#[test]
fn counters_move_while_the_connection_is_open() {
    let stage = Stage::new();
    let mut client = connect(stage.proxy(echo()));
    ping(&mut client, "12345");
    until("the exporter's", || stage.value("brownout_received_bytes_total{proxy=\"p\"}") == Some(5.0));
    until("the exporter's", || stage.value("brownout_sent_bytes_total{proxy=\"p\"}") == Some(5.0));
    assert_eq!(stage.value("brownout_connections_open{proxy=\"p\"}"), Some(1.0));
    let metrics = stage.get("/metrics").body;
    for direction in ["upstream", "downstream"] {
        for what in ["received", "sent"] {
            let start = format!("toxiproxy_proxy_{what}_bytes_total{{direction=\"{direction}\",listener=\"127.0.0.1:");
            let line = metrics.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{metrics}"));
            assert!(line.ends_with("} 5") && line.contains(",proxy=\"p\",upstream=\"127.0.0.1:"), "{line}");
        }
    }
    drop(client);
    until("the gauge falls", || stage.value("brownout_connections_open{proxy=\"p\"}") == Some(0.0));
    let ended = "brownout_tcp_connections_total{proxy=\"p\",outcome=\"forwarded\"}";
    until("the end is counted", || stage.value(ended) == Some(1.0));
}

#[test]
fn an_upstream_that_is_not_there_resets_and_is_counted() {
    let stage = Stage::new();
    let nobody = Server::new().address();
    let mut client = connect(stage.proxy(nobody));
    assert_eq!(drain(&mut client).1, End::Rst);
    let errors = "brownout_proxy_errors_total{proxy=\"p\",reason=\"upstream-refused\"}";
    until("the trouble is counted", || stage.value(errors) == Some(1.0));
}

#[test]
fn a_reader_that_is_slow_slows_its_writer_and_nobody_else() {
    let stage = Stage::new();
    let server = Server::new();
    let address = stage.proxy(server.address());
    let mut slow = connect(address);
    let mut writer = server.accept();
    let writing = std::thread::spawn(move || writer.write_all(&noise(40_000_000)).unwrap());
    let mut other = connect(address);
    let mut upstream = server.accept();
    for _ in 0..100 {
        other.write_all(b"x").unwrap();
        read(&mut upstream, 1);
    }
    let mut received = Vec::new();
    slow.read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    assert!(received == noise(40_000_000));
}
