//! TLS towards clients: what is agreed on, who is let in, what happens to those who are not.

use std::time::Duration;

use brownout::telemetry::events::HandshakeFailure;
use tokio_rustls::rustls::{self, ClientConfig};

use crate::support::h2::block_on;
use crate::support::https::{self, Client as HttpsClient};
use crate::support::tls::{Authority, WORLD, client, client_with};
use crate::support::*;

/// A proxy that speaks TLS, with more lines in its `[tls]` table.
fn bench(origin: &Origin, certs: &Certs, more: &str) -> Bench {
    Bench::with(&format!("upstream = \"http://{}\"\n{}{more}", origin.address, certs.tls()))
}

fn trusting(alpn: &[&str]) -> ClientConfig {
    client(&WORLD.authority.pem, alpn)
}

fn hello() -> Origin {
    Origin::answering(|_| ok("hello"))
}

#[test]
fn the_protocol_is_agreed_on() {
    block_on(async {
        let (origin, certs) = (hello(), Certs::new());
        let both = bench(&origin, &certs, "");
        let h1 = bench(&origin, &certs, "alpn = \"http/1.1\"");
        let preferring_h1 = bench(&origin, &certs, "alpn = [\"http/1.1\", \"h2\"]");
        for (bench, offered, agreed) in [
            (&both, &["h2", "http/1.1"][..], Some("h2")),
            (&both, &["http/1.1", "h2"], Some("h2")),
            (&both, &["http/1.1"], Some("http/1.1")),
            (&both, &[], None),
            (&h1, &["h2", "http/1.1"], Some("http/1.1")),
            (&preferring_h1, &["h2", "http/1.1"], Some("http/1.1")),
        ] {
            let stream = https::shake_hands(bench.address, trusting(offered)).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), agreed.map(str::as_bytes), "{offered:?}");
            drop(stream);
            assert_eq!(https::get(bench.address, trusting(offered)).await.unwrap().1, "hello");
        }
        assert!(https::shake_hands(h1.address, trusting(&["h2"])).await.is_err());
        assert_eq!(h1.ledger.failures(1), [HandshakeFailure::Refused]);
    });
}

#[test]
fn old_versions_are_refused_if_so_configured() {
    block_on(async {
        let (origin, certs) = (hello(), Certs::new());
        let old = || {
            let mut config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS12])
                .with_root_certificates(trust())
                .with_no_client_auth();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            config
        };
        let lenient = bench(&origin, &certs, "");
        assert_eq!(https::get(lenient.address, old()).await.unwrap().1, "hello");
        let strict = bench(&origin, &certs, "min_version = \"1.3\"");
        assert!(https::get(strict.address, old()).await.is_err());
        assert_eq!(strict.ledger.failures(1), [HandshakeFailure::Refused]);
        assert_eq!(https::get(strict.address, trusting(&[])).await.unwrap().1, "hello");
    });
}

fn trust() -> rustls::RootCertStore {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(WORLD.authority.pem.as_bytes()).unwrap()).unwrap();
    roots
}

#[test]
fn clients_must_show_a_certificate_if_so_configured() {
    block_on(async {
        let (origin, certs) = (hello(), Certs::new());
        let clients = Authority::new("the clients' authority");
        certs.write("clients.pem", &clients.pem);
        let bench = bench(&origin, &certs, &certs.line("client_ca", "clients.pem"));
        for alpn in [&["h2"][..], &["http/1.1"]] {
            let known = clients.issue(&["a client"]);
            let known = client_with(&WORLD.authority.pem, alpn, Some(&known));
            assert_eq!(https::get(bench.address, known).await.unwrap().1, "hello");
            let stranger = WORLD.authority.issue(&["a client"]);
            let stranger = client_with(&WORLD.authority.pem, alpn, Some(&stranger));
            assert!(https::get(bench.address, stranger).await.is_err());
            assert!(https::get(bench.address, trusting(alpn)).await.is_err());
        }
        assert_eq!(bench.ledger.failures(4), [HandshakeFailure::Refused; 4]);
        assert!(bench.ledger.entries(2).len() == 2, "nobody else was heard");
    });
}

#[test]
fn a_client_that_does_not_shake_hands_is_left_in_time() {
    let (origin, certs) = (hello(), Certs::new());
    let bench = bench(&origin, &certs, "handshake_timeout = \"200ms\"");
    let mut silent = bench.connect();
    let mut halting = bench.say([0x16, 3, 1, 2]);
    silent.await_end();
    halting.await_end();
    assert_eq!(bench.ledger.failures(2), [HandshakeFailure::Timeout; 2]);
    bench.ledger.settled();
}

#[test]
fn a_client_that_does_not_speak_tls_or_leaves_is_counted() {
    let (origin, certs) = (hello(), Certs::new());
    let bench = bench(&origin, &certs, "");
    bench.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await_end();
    assert_eq!(bench.ledger.failures(1), [HandshakeFailure::Refused]);
    drop(bench.connect());
    assert_eq!(bench.ledger.failures(2)[1], HandshakeFailure::Closed);
    bench.ledger.settled();
}

#[test]
fn who_says_nothing_after_the_handshake_is_left_in_time() {
    block_on(async {
        let (origin, certs) = (hello(), Certs::new());
        let bench = Bench::with(&format!(
            "upstream = \"http://{}\"\nkeepalive_timeout = \"200ms\"\n{}",
            origin.address,
            certs.tls()
        ));
        for alpn in [&["h2"][..], &["http/1.1"]] {
            let mut stream = https::shake_hands(bench.address, trusting(alpn)).await.unwrap();
            let mut rest = Vec::new();
            // With a goodbye: anything else would be an error.
            tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await.unwrap();
            assert!(rest.is_empty());
        }
    });
}

#[test]
fn a_renewed_certificate_is_for_new_connections_and_old_ones_go_on() {
    block_on(async {
        let (origin, certs) = (hello(), Certs::new());
        let mut bench = bench(&origin, &certs, "");
        let lines = format!("upstream = \"http://{}\"\n{}", origin.address, certs.tls());
        let mut h1 = HttpsClient::connect(bench.address, trusting(&["http/1.1"])).await.unwrap();
        let mut h2 = HttpsClient::connect(bench.address, trusting(&["h2"])).await.unwrap();
        assert_eq!(h1.get("/").await.unwrap().1, "hello");
        assert_eq!(h2.get("/").await.unwrap().1, "hello");

        let other = Authority::new("another authority");
        certs.put("local", &other.issue(&["localhost"]));
        let mut config = proxy_config(&lines);
        config.listen = bench.proxy.as_ref().unwrap().config().listen;
        assert!(bench.proxy.as_mut().unwrap().renew(&config));
        assert!(bench.proxy.as_mut().unwrap().renew(&config), "equal ones are no harm");

        assert_eq!(h1.get("/").await.unwrap().1, "hello");
        assert_eq!(h2.get("/").await.unwrap().1, "hello");
        assert!(https::get(bench.address, trusting(&[])).await.is_err(), "signed by somebody else now");
        assert_eq!(https::get(bench.address, client(&other.pem, &[])).await.unwrap().1, "hello");
    });
}

#[test]
fn anything_but_tls_is_not_renewed() {
    let (origin, certs) = (hello(), Certs::new());
    let mut bench = bench(&origin, &certs, "");
    let upstream = format!("upstream = \"http://{}\"\n", origin.address);
    for lines in [upstream.clone(), format!("{upstream}marks = false\n{}", certs.tls())] {
        assert!(!bench.proxy.as_mut().unwrap().renew(&proxy_config(&lines)));
    }
    assert!(bench.proxy.as_mut().unwrap().renew(&proxy_config(&format!("{upstream}{}alpn = \"h2\"", certs.tls()))));
}

#[test]
fn a_body_that_is_cut_by_a_reset_says_no_goodbye_and_one_that_is_closed_does() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    block_on(async {
        for (how, is_goodbye) in [("close", true), ("reset", false)] {
            let (origin, certs) = (Origin::answering(|_| ok(&"x".repeat(1000))), Certs::new());
            let bench = bench(&origin, &certs, "");
            bench.rules(&rule("cut", &format!("kind = \"abort\"\nhow = \"{how}\"\nat = \"body\"\nafter_bytes = 400")));
            let mut stream = https::shake_hands(bench.address, trusting(&["http/1.1"])).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let mut got = Vec::new();
            let ended = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut got)).await.unwrap();
            assert_eq!(ended.is_ok(), is_goodbye, "{ended:?}");
            let body = got.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
            assert_eq!(got.len() - body, 400);
        }
    });
}
