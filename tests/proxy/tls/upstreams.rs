//! TLS towards upstreams: whom they must be, what is spoken, and what is said when it comes to nothing.

use brownout::telemetry::events::{ExchangeOutcome, Trouble};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use crate::support::h2::{Client as H2Client, block_on, get, read_all};
use crate::support::https::Origin as HttpsOrigin;
use crate::support::tls::{Authority, Identity, WORLD};
use crate::support::*;

const BOTH: &[&str] = &["h2", "http/1.1"];
const GET: &str = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n";

fn local(alpn: &[&str]) -> ServerConfig {
    WORLD.local.server(alpn)
}

/// A proxy in front of a TLS server, with these lines in its `[upstream_tls]` table.
fn bench(origin: &HttpsOrigin, lines: &str) -> Bench {
    Bench::with(&format!("upstream = \"https://{}\"\nshards = 1\n[upstream_tls]\n{lines}", origin.address))
}

fn trusting(certs: &Certs) -> String {
    certs.line("ca", "ca.pem")
}

/// What a client gets for a GET over HTTP/1: status, trouble, body.
async fn ask_h1(bench: &Bench) -> (String, Option<String>, String) {
    let mut client = bench.say(GET);
    tokio::task::spawn_blocking(move || {
        let head = client.read_head();
        let body = match field(&head, "content-length") {
            Some(length) => client.read_exact(length.parse().unwrap()),
            None => client.read_chunks().0,
        };
        let status = head.split(' ').nth(1).unwrap().to_owned();
        (status, field(&head, "x-brownout-error"), raw::latin1(&body))
    })
    .await
    .unwrap()
}

/// The same over HTTP/2.
async fn ask_h2(bench: &Bench) -> (String, Option<String>, String) {
    let client = H2Client::connect(bench.h2).await;
    let (answer, _) = client.start(get("/"), true).await;
    let answer = answer.await.unwrap();
    let trouble = answer.headers().get("x-brownout-error").map(|value| value.to_str().unwrap().to_owned());
    let status = answer.status().as_str().to_owned();
    (status, trouble, raw::latin1(&read_all(answer.into_body()).await.unwrap().0))
}

fn says(text: &str) -> (String, Option<String>, String) {
    ("200".to_owned(), None, text.to_owned())
}

fn fails() -> (String, Option<String>, String) {
    ("502".to_owned(), Some("upstream-tls".to_owned()), "brownout: upstream-tls\n".to_owned())
}

#[test]
fn what_is_spoken_is_what_the_client_speaks_if_the_upstream_can() {
    block_on(async {
        let certs = Certs::new();
        let origin = HttpsOrigin::new(local(BOTH)).await;
        let bench = bench(&origin, &trusting(&certs));
        for _ in 0..3 {
            assert_eq!(ask_h1(&bench).await, says("HTTP/1.1 / for nobody"));
            assert_eq!(ask_h2(&bench).await, says("HTTP/2.0 https://shop/ for nobody"));
        }
        assert_eq!(origin.count(), 2, "one connection for each, used again");
    });
}

#[test]
fn an_upstream_that_speaks_only_one_protocol_is_spoken_to_in_it() {
    block_on(async {
        let certs = Certs::new();
        for (alpn, told, connections) in [
            (&["h2"][..], "HTTP/2.0 https://shop/ for nobody", 1),
            // The second to find out that HTTP/2 is not to be had.
            (&["http/1.1"], "HTTP/1.1 / for nobody", 2),
            (&[], "HTTP/1.1 / for nobody", 2),
        ] {
            let origin = HttpsOrigin::new(local(alpn)).await;
            let bench = bench(&origin, &trusting(&certs));
            for _ in 0..3 {
                assert_eq!(ask_h1(&bench).await, says(told), "{alpn:?}");
                assert_eq!(ask_h2(&bench).await, says(told), "{alpn:?}");
            }
            assert_eq!(origin.count(), connections, "{alpn:?}");
        }
    });
}

#[test]
fn only_what_is_configured_is_offered() {
    block_on(async {
        let certs = Certs::new();
        let both = HttpsOrigin::new(local(BOTH)).await;
        let h2 = bench(&both, &(trusting(&certs) + "alpn = \"h2\""));
        assert_eq!(ask_h1(&h2).await, says("HTTP/2.0 https://shop/ for nobody"));
        let h1 = bench(&both, &(trusting(&certs) + "alpn = \"http/1.1\""));
        assert_eq!(ask_h2(&h1).await, says("HTTP/1.1 / for nobody"));
        for (alpn, lines) in
            [(&["http/1.1"][..], "alpn = \"h2\""), (&[], "alpn = \"h2\""), (&["h2"], "alpn = \"http/1.1\"")]
        {
            let origin = HttpsOrigin::new(local(alpn)).await;
            let bench = bench(&origin, &(trusting(&certs) + lines));
            assert_eq!(ask_h1(&bench).await, fails());
            assert_eq!(ask_h2(&bench).await, fails());
        }
    });
}

#[test]
fn an_upstream_that_cannot_prove_who_it_is_gets_no_request() {
    block_on(async {
        let certs = Certs::new();
        let stranger = Authority::new("a stranger").issue(&["localhost", "127.0.0.1"]);
        let elsewhere = WORLD.authority.issue(&["elsewhere.example"]);
        for identity in [stranger, elsewhere] {
            let origin = HttpsOrigin::new(identity.server(BOTH)).await;
            let bench = bench(&origin, &trusting(&certs));
            assert_eq!(ask_h1(&bench).await, fails());
            assert_eq!(ask_h2(&bench).await, fails());
            let entry = bench.ledger.entries(2).remove(0);
            assert_eq!((entry.outcome, entry.trouble), (ExchangeOutcome::UpstreamError, Some(Trouble::UpstreamTls)));
            let careless = super::upstreams::bench(&origin, "verify = false");
            assert_eq!(ask_h1(&careless).await, says("HTTP/1.1 / for nobody"));
            assert_eq!(ask_h2(&careless).await, says("HTTP/2.0 https://shop/ for nobody"));
        }
    });
}

#[test]
fn the_name_that_is_asked_for_is_the_upstreams_host_or_the_one_that_is_configured() {
    block_on(async {
        let certs = Certs::new();
        let elsewhere = WORLD.authority.issue(&["elsewhere.example"]);
        let origin = HttpsOrigin::new(elsewhere.server(BOTH)).await;
        let named = bench(&origin, &(trusting(&certs) + "server_name = \"elsewhere.example\""));
        assert_eq!(ask_h1(&named).await, says("HTTP/1.1 / for elsewhere.example"));
        assert_eq!(ask_h2(&named).await, says("HTTP/2.0 https://shop/ for elsewhere.example"));
        let origin = HttpsOrigin::new(local(BOTH)).await;
        let port = origin.address.port();
        let by_name =
            Bench::with(&format!("upstream = \"https://localhost:{port}\"\n[upstream_tls]\n{}", trusting(&certs)));
        assert_eq!(ask_h1(&by_name).await, says("HTTP/1.1 / for localhost"));
    });
}

/// A server that asks clients for a certificate of this authority.
fn asking(authority: &Authority) -> ServerConfig {
    use rustls::pki_types::pem::PemObject;
    let mut roots = RootCertStore::empty();
    let root = rustls::pki_types::CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
    roots.add(root).unwrap();
    let verifier = WebPkiClientVerifier::builder(roots.into()).build().unwrap();
    let builder = ServerConfig::builder().with_client_cert_verifier(verifier);
    let mut config = builder.with_single_cert(WORLD.local.chain(), WORLD.local.key()).unwrap();
    config.alpn_protocols = BOTH.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

fn showing(certs: &Certs, identity: &Identity) -> String {
    certs.put("mine", identity);
    trusting(certs) + &certs.line("certificate", "mine.pem") + &certs.line("key", "mine.key")
}

#[test]
fn an_upstream_that_asks_for_a_certificate_is_shown_it() {
    block_on(async {
        let certs = Certs::new();
        let clients = Authority::new("the clients' authority");
        let origin = HttpsOrigin::new(asking(&clients)).await;
        let known = bench(&origin, &showing(&certs, &clients.issue(&["brownout"])));
        assert_eq!(ask_h1(&known).await, says("HTTP/1.1 / for nobody"));
        assert_eq!(ask_h2(&known).await, says("HTTP/2.0 https://shop/ for nobody"));
        let stranger = bench(&origin, &showing(&certs, &WORLD.authority.issue(&["brownout"])));
        let nobody = bench(&origin, &trusting(&certs));
        for refused in [stranger, nobody] {
            assert_eq!(ask_h1(&refused).await, fails());
            assert_eq!(ask_h2(&refused).await, fails());
        }
    });
}

#[test]
fn an_upstream_that_does_not_speak_tls_is_a_502() {
    block_on(async {
        let certs = Certs::new();
        let origin = Origin::new();
        let bench = Bench::with(&format!("upstream = \"https://{}\"\n{}", origin.address, certs.upstream_tls()));
        std::thread::spawn(move || {
            for _ in 0..2 {
                origin.accept().send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await_end();
            }
        });
        assert_eq!(ask_h1(&bench).await, fails());
        assert_eq!(ask_h2(&bench).await, fails());
    });
}

#[test]
fn renewed_settings_are_for_new_connections_and_idle_ones_are_not_used_again() {
    block_on(async {
        let certs = Certs::new();
        let origin = HttpsOrigin::new(local(BOTH)).await;
        let mut bench = bench(&origin, &trusting(&certs));
        for _ in 0..2 {
            assert_eq!(ask_h1(&bench).await, says("HTTP/1.1 / for nobody"));
            assert_eq!(ask_h2(&bench).await, says("HTTP/2.0 https://shop/ for nobody"));
        }
        assert_eq!(origin.count(), 2);
        let renew = |bench: &mut Bench, lines: &str| {
            let upstream = format!("upstream = \"https://{}\"\nshards = 1\n[upstream_tls]\n{lines}", origin.address);
            assert!(bench.proxy.as_mut().unwrap().renew(&proxy_config(&upstream)));
        };
        certs.write("ca.pem", &Authority::new("a stranger").pem);
        renew(&mut bench, &trusting(&certs));
        assert_eq!(ask_h1(&bench).await, fails());
        assert_eq!(ask_h2(&bench).await, fails());
        certs.write("ca.pem", &WORLD.authority.pem);
        renew(&mut bench, &trusting(&certs));
        assert_eq!(ask_h1(&bench).await, says("HTTP/1.1 / for nobody"));
        assert_eq!(ask_h2(&bench).await, says("HTTP/2.0 https://shop/ for nobody"));
        assert_eq!(origin.count(), 4);
    });
}
