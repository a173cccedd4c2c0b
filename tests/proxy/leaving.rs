//! A client that leaves takes its request along.

use brownout::telemetry::events::ExchangeOutcome;

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A request that the origin has read and not answered.
fn asked(request: &str, lines: &str) -> (Client, Client, Bench) {
    let origin = Origin::new();
    let bench = Bench::also(origin.address, lines);
    let client = bench.say(request);
    let mut up = origin.accept();
    up.read_head();
    (client, up, bench)
}

#[test]
fn a_client_that_leaves_takes_its_request_along() {
    let leave: [fn(Client); 3] = [drop, Client::reset, |mut client| {
        client.finish_sending();
        client.expect_end();
    }];
    for leave in leave {
        let (client, mut up, bench) = asked(GET, "");
        leave(client);
        up.expect_end(); // before it has answered
        let entry = bench.ledger.only();
        assert_eq!((entry.outcome, entry.status), (ExchangeOutcome::ClientGone, None));
        bench.ledger.settled();
    }
}

#[test]
fn a_client_with_a_next_request_under_way_can_leave_too() {
    let (mut client, mut up, _bench) = asked(GET, "");
    client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    drop(client);
    up.expect_end();
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_answer_is_noticed() {
    let (mut client, mut up, bench) = asked(GET, "");
    up.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    client.read_head();
    drop(client);
    up.await_end();
    let entry = bench.ledger.only();
    assert_eq!((entry.outcome, entry.status), (ExchangeOutcome::ClientGone, Some(200)));
}

#[test]
fn a_clients_rst_is_noticed_while_the_origin_does_not_read() {
    let (mut client, mut up, bench) = asked("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n", "");
    client.socket.set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    while std::io::Write::write(&mut client.socket, &[0; 65536]).is_ok() {}
    client.reset(); // a FIN would wait behind the bytes that nobody reads
    assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::ClientGone);
    up.await_end();
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let (_client, mut up, bench) = asked(GET, "write_timeout = \"200ms\"");
    up.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    while std::io::Write::write(&mut up.socket, &[0; 65536]).is_ok() {}
    assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::ClientGone);
}

#[test]
fn an_origin_that_does_not_read_is_given_up() {
    let (mut client, _up, bench) =
        asked("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n", "write_timeout = \"200ms\"");
    let mut writer = client.socket.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || while std::io::Write::write(&mut writer, &[0; 65536]).is_ok() {});
        assert!(client.read_head().starts_with("HTTP/1.1 504 "));
        assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::UpstreamError);
        drop(client);
    });
}

#[test]
fn a_client_that_has_only_finished_sending_is_waited_for_if_so_configured() {
    let (mut client, mut up, bench) = asked(GET, "half_close = \"wait\"");
    client.finish_sending();
    up.send(ok("still here"));
    assert_eq!(client.read_message().1, "still here");
    client.expect_end();
    assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::Forwarded);
}

#[test]
fn a_half_closed_clients_rst_is_noticed() {
    let (mut client, mut up, bench) = asked(GET, "half_close = \"wait\"");
    client.finish_sending();
    client.reset();
    up.expect_end();
    assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::ClientGone);
}

#[test]
fn a_half_closed_clients_pipelined_requests_are_all_answered() {
    let origin = Origin::answering(|head| ok(head.split(' ').nth(1).unwrap()));
    let bench = Bench::also(origin.address, "half_close = \"wait\"");
    let mut client = bench.say("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    client.finish_sending();
    assert_eq!(client.read_message().1, "/1");
    assert_eq!(client.read_message().1, "/2");
    client.expect_end();
}
