//! Streams of HTTP/2 beside one another, and their ends.

use bytes::Bytes;
use h2::Reason;
use http::Request;

use brownout::telemetry::events::{ExchangeOutcome, Trouble};

use super::{Bench, Origin as RawOrigin, PATIENCE};
use crate::support::h2::{Client, Origin, block_on, get, post, read_all, response, send_all};

#[test]
fn streams_of_one_connection_are_answered_in_any_order() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = Client::connect(bench.h2).await;
        let (first, _) = client.start(get("/1"), true).await;
        let (_, mut respond_first) = origin.asked().await;
        let (second, _) = client.start(get("/2"), true).await;
        let (asked, mut respond_second) = origin.asked().await;
        assert_eq!(asked.uri().path(), "/2");
        respond_second.send_response(response(202), true).unwrap();
        assert_eq!(second.await.unwrap().status(), 202);
        respond_first.send_response(response(201), true).unwrap();
        assert_eq!(first.await.unwrap().status(), 201);
    });
}

#[test]
fn a_stream_that_nobody_reads_does_not_hold_the_others_back() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = Client::connect(bench.h2).await;
        let (stuck, _) = client.start(get("/stuck"), true).await;
        let (_, mut respond) = origin.asked().await;
        let mut body = respond.send_response(response(200), false).unwrap();
        tokio::spawn(async move { send_all(&mut body, Bytes::from(vec![7; 8 << 20]), true).await });
        let stuck = stuck.await.unwrap(); // whose body is not read yet
        for _ in 0..3 {
            let (answer, _) = client.start(get("/other"), true).await;
            let (_, mut respond) = origin.asked().await;
            respond.send_response(response(200), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 200);
        }
        assert_eq!(read_all(stuck.into_body()).await.unwrap().0.len(), 8 << 20);
    });
}

#[test]
fn a_client_that_resets_its_stream_takes_its_request_along() {
    block_on(async {
        let mut origin = Origin::new().await;
        let raw = RawOrigin::new();
        let (h2, h1) = (Bench::h2c(origin.address), Bench::new(raw.address));
        for bench in [&h2, &h1] {
            let client = Client::connect(bench.h2).await;
            let (answer, mut stream) = client.start(post("/"), false).await;
            stream.send_data(Bytes::from_static(b"begun"), false).unwrap();
            let (asked, up) = if std::ptr::eq(bench, &h2) {
                (Some(origin.asked().await), None)
            } else {
                let mut up = raw.accept();
                up.read_until("begun");
                (None, Some(up))
            };
            stream.send_reset(Reason::CANCEL);
            drop(answer);
            if let Some((asked, _)) = asked {
                assert_eq!(read_all(asked.into_body()).await.unwrap_err().reason(), Some(Reason::CANCEL));
            }
            if let Some(mut up) = up {
                assert!(
                    !tokio::task::spawn_blocking(move || up.read_to_end().0).await.unwrap().ends_with(b"0\r\n\r\n")
                );
            }
            assert_eq!(bench.ledger.only().outcome, ExchangeOutcome::ClientGone);
            // The connection goes on.
            let (_answer, _) = client.start(get("/next"), true).await;
            if std::ptr::eq(bench, &h2) { drop(origin.asked().await) } else { drop(raw.accept()) }
        }
    });
}

#[test]
fn a_client_that_leaves_takes_its_requests_along() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = Client::connect(bench.h2).await;
        let (answer, _stream) = client.start(get("/"), true).await;
        let (_, mut respond) = origin.asked().await;
        client.connection.abort();
        let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
        assert_eq!(reason, Reason::CANCEL);
        assert!(answer.await.is_err());
        bench.ledger.settled();
    });
}

#[test]
fn a_stream_that_the_origin_resets_is_reset_for_the_client_and_not_passed_off_as_complete() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = Client::connect(bench.h2).await;
        let (answer, _) = client.start(get("/"), true).await;
        let (_, mut respond) = origin.asked().await;
        let mut body = respond.send_response(response(200), false).unwrap();
        body.send_data(Bytes::from_static(b"hello"), false).unwrap();
        let answer = answer.await.unwrap();
        body.send_reset(Reason::ENHANCE_YOUR_CALM);
        assert_eq!(read_all(answer.into_body()).await.unwrap_err().reason(), Some(Reason::CANCEL));
        assert_eq!(bench.ledger.only().trouble, Some(Trouble::UpstreamReset));
    });
}

#[test]
fn a_stream_that_the_origin_resets_before_it_answers_is_a_502() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = Client::connect(bench.h2).await;
        let (answer, _) = client.start(get("/"), true).await;
        let (_, mut respond) = origin.asked().await;
        respond.send_reset(Reason::INTERNAL_ERROR);
        let answer = answer.await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["x-brownout-error"]),
            (502, &"upstream-reset".parse().unwrap())
        );
        assert!(origin.try_asked().is_none());
    });
}

#[test]
fn a_refused_stream_is_tried_once_more_whatever_the_method() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = Client::connect(bench.h2).await;
        for method in ["GET", "POST"] {
            let request = || Request::builder().method(method).uri("http://shop/").body(()).unwrap();
            let (answer, _) = client.start(request(), true).await;
            origin.asked().await.1.send_reset(Reason::REFUSED_STREAM);
            origin.asked().await.1.send_response(response(200), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 200);
            let (answer, _) = client.start(request(), true).await;
            origin.asked().await.1.send_reset(Reason::REFUSED_STREAM);
            origin.asked().await.1.send_reset(Reason::REFUSED_STREAM);
            assert_eq!(answer.await.unwrap().status(), 502);
        }
    });
}

#[test]
fn an_early_answer_passes_at_once_and_the_rest_of_the_upload_still_goes_up() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = Client::connect(bench.h2).await;
        let (answer, mut up) = client.start(post("/"), false).await;
        up.send_data(Bytes::from_static(b"first"), false).unwrap();
        let (asked, mut respond) = origin.asked().await;
        let mut down = respond.send_response(response(200), false).unwrap();
        down.send_data(Bytes::from_static(b"early"), true).unwrap();
        assert_eq!(read_all(answer.await.unwrap().into_body()).await.unwrap().0, b"early");
        up.send_data(Bytes::from_static(b" rest"), true).unwrap();
        assert_eq!(read_all(asked.into_body()).await.unwrap().0, b"first rest");
    });
}

#[test]
fn a_clients_window_holds_the_origin_back() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = Client::connect(bench.h2).await; // with a window of 64 KiB
        let (answer, _) = client.start(get("/"), true).await;
        let (_, mut respond) = origin.asked().await;
        let mut down = respond.send_response(response(200), false).unwrap();
        let mut sent = 0;
        let piece = Bytes::from(vec![7; 64 << 10]);
        while tokio::time::timeout(PATIENCE / 60, send_all(&mut down, piece.clone(), false)).await.is_ok() {
            sent += piece.len();
            assert!(sent < 100 << 20, "somebody swallows it all");
        }
        drop(down);
        drop(answer);
    });
}

#[test]
fn both_directions_of_a_stream_go_on_while_one_is_stuck() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = Client::connect(bench.h2).await;
        let (answer, mut up) = client.start(post("/"), false).await;
        let (asked, mut respond) = origin.asked().await;
        let mut down = respond.send_response(response(200), false).unwrap();
        // The origin takes nothing of an upload larger than every window while it answers.
        let upload = tokio::spawn(async move { send_all(&mut up, Bytes::from(vec![1; 12 << 20]), true).await });
        let piece = Bytes::from(vec![2; 12 << 20]);
        let (sent, got) = tokio::join!(send_all(&mut down, piece, true), async {
            read_all(answer.await.unwrap().into_body()).await.unwrap().0.len()
        });
        sent.unwrap();
        assert_eq!(got, 12 << 20);
        assert_eq!(read_all(asked.into_body()).await.unwrap().0.len(), 12 << 20);
        upload.await.unwrap().unwrap();
    });
}

#[test]
fn a_stopping_proxy_says_goodbye_and_ends_the_streams_under_way() {
    block_on(async {
        let mut origin = Origin::new().await;
        let mut bench = Bench::h2c(origin.address);
        let (client, idle) = (Client::connect(bench.h2).await, Client::connect(bench.h2).await);
        let (answer, _) = client.start(get("/"), true).await;
        let (_, mut respond) = origin.asked().await;
        let stopping = tokio::task::spawn_blocking(move || bench.stop(PATIENCE));
        idle.connection.await.unwrap().unwrap(); // ended by GOAWAY, without an error
        respond.send_response(response(200), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
        client.connection.await.unwrap().unwrap();
        assert_eq!(stopping.await.unwrap(), 0);
    });
}

#[test]
fn streams_that_are_left_after_the_limit_are_cut() {
    block_on(async {
        let mut origin = Origin::new().await;
        let mut bench = Bench::h2c(origin.address);
        let client = Client::connect(bench.h2).await;
        let (answer, _) = client.start(get("/"), true).await;
        let (_, mut respond) = origin.asked().await;
        assert_eq!(bench.stop(std::time::Duration::ZERO), 1);
        assert!(answer.await.is_err());
        std::future::poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
        bench.ledger.settled();
    });
}

#[test]
fn a_connection_that_the_upstream_closed_is_replaced() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = Client::connect(bench.h2).await;
        for _ in 0..3 {
            let (answer, _) = client.start(get("/"), true).await;
            let (_, mut respond) = origin.asked().await;
            respond.send_response(response(200), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 200);
            origin.hang_up();
        }
    });
}

#[test]
fn an_upstream_that_says_goodbye_answers_what_is_under_way_and_the_next_request_goes_elsewhere() {
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::with(&format!("upstream = \"h2c://{}\"\nshards = 1", origin.address));
        let client = Client::connect(bench.h2).await;
        let (first, _) = client.start(post("/first"), true).await;
        let (_, mut respond) = origin.asked().await;
        origin.say_goodbye();
        // However soon it comes: on a connection that has said goodbye it would not have been processed.
        let (second, _) = client.start(post("/second"), true).await;
        let (asked, mut respond_second) = origin.asked().await;
        assert_eq!(asked.uri().path(), "/second");
        respond_second.send_response(response(202), true).unwrap();
        assert_eq!(second.await.unwrap().status(), 202);
        respond.send_response(response(201), true).unwrap();
        assert_eq!(first.await.unwrap().status(), 201);
        assert!(origin.connections() <= 2);
    });
}

/// 60 MiB down while 40 MiB go up, on the terms of `streaming`: the origin reads a little for every 8 MiB it sends.
#[test]
fn bulk_in_both_directions_of_a_stream_does_not_stall() {
    const DOWN: usize = 60 << 20;
    const UP: usize = 40 << 20;
    block_on(async {
        let mut origin = Origin::new().await;
        let bench = Bench::h2c(origin.address);
        let client = Client::connect(bench.h2).await;
        let (answer, mut up) = client.start(post("/"), false).await;
        let upload = tokio::spawn(async move { send_all(&mut up, Bytes::from(vec![1; UP]), true).await });
        let (asked, mut respond) = origin.asked().await;
        let mut down = respond.send_response(response(200), false).unwrap();
        tokio::spawn(async move {
            let (mut body, piece) = (asked.into_body(), Bytes::from(vec![2; 1 << 20]));
            let mut read = 0;
            for sent in 1..=DOWN >> 20 {
                send_all(&mut down, piece.clone(), sent == DOWN >> 20).await.unwrap();
                if sent % 8 == 0
                    && let Some(piece) = body.data().await
                {
                    let piece = piece.unwrap();
                    read += piece.len();
                    body.flow_control().release_capacity(piece.len()).unwrap();
                }
            }
            assert_eq!(read + read_all(body).await.unwrap().0.len(), UP);
        });
        assert_eq!(read_all(answer.await.unwrap().into_body()).await.unwrap().0.len(), DOWN);
        upload.await.unwrap().unwrap();
    });
}
