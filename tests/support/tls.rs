//! Certificates of the tests' own, and relays that put TLS around connections that are plain for the test.
//!
//! A relay is as faithful as it can be: a FIN on one side is a goodbye and a FIN on the other, a RST is a RST, and
//! whoever does not read holds the other side back.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for these host names and addresses.
    pub fn issue(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        let key = KeyPair::generate().unwrap();
        Identity { certificate: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }
}

impl Identity {
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect::<Result<_, _>>().unwrap()
    }

    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }

    /// What a server that shows it is made of.
    pub fn server(&self, alpn: &[&str]) -> ServerConfig {
        let builder = ServerConfig::builder().with_no_client_auth();
        let mut config = builder.with_single_cert(self.chain(), self.key()).unwrap();
        config.alpn_protocols = wire(alpn);
        config
    }
}

/// What a client that trusts an authority is made of.
pub fn client(ca: &str, alpn: &[&str]) -> ClientConfig {
    client_with(ca, alpn, None)
}

/// As [`client`], showing a certificate itself.
pub fn client_with(ca: &str, alpn: &[&str], identity: Option<&Identity>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => builder.with_client_auth_cert(identity.chain(), identity.key()).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = wire(alpn);
    config
}

fn wire(alpn: &[&str]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// The authority that all tests of a process trust, and what it has signed.
pub struct World {
    pub authority: Authority,
    /// For `localhost` and `127.0.0.1`.
    pub local: Identity,
}

pub static WORLD: LazyLock<World> = LazyLock::new(|| {
    let authority = Authority::new("the tests' authority");
    let local = authority.issue(&["localhost", "127.0.0.1"]);
    World { authority, local }
});

/// A folder with `ca.pem`, `local.pem` and `local.key` in it.
pub struct Certs(tempfile::TempDir);

impl Certs {
    pub fn new() -> Self {
        let certs = Self(tempfile::tempdir().unwrap());
        certs.write("ca.pem", &WORLD.authority.pem);
        certs.put("local", &WORLD.local);
        certs
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Writes `NAME.pem` and `NAME.key`.
    pub fn put(&self, name: &str, identity: &Identity) {
        self.write(&format!("{name}.pem"), &identity.certificate);
        self.write(&format!("{name}.key"), &identity.key);
    }

    /// `key = "path"` of a configuration.
    pub fn line(&self, key: &str, name: &str) -> String {
        format!("{key} = {:?}\n", self.path(name))
    }

    /// A `[tls]` table that shows the local identity.
    pub fn tls(&self) -> String {
        format!("[tls]\n{}{}", self.line("certificate", "local.pem"), self.line("key", "local.key"))
    }

    /// An `[upstream_tls]` table that trusts the authority.
    pub fn upstream_tls(&self) -> String {
        format!("[upstream_tls]\n{}", self.line("ca", "ca.pem"))
    }
}

/// The two ends of a plain connection, as its test sees them.
type Ends = (SocketAddr, SocketAddr);

/// What relays have passed on of what tests said on plain connections.
static PASSED: Mutex<BTreeMap<Ends, Passed>> = Mutex::new(BTreeMap::new());

#[derive(Default)]
struct Passed {
    bytes: u64,
    over: bool,
}

fn passed<T>(ends: Ends, act: impl FnOnce(&mut Passed) -> T) -> T {
    act(PASSED.lock().unwrap_or_else(PoisonError::into_inner).entry(ends).or_default())
}

/// Waits until a relay has passed on so much of what was said on a connection.
pub fn wait_for_bytes(ends: Ends, bytes: u64) {
    wait_until(|| passed(ends, |passed| passed.bytes >= bytes));
}

/// Waits until a relay has passed on that nothing more will be said on a connection.
pub fn wait_for_end(ends: Ends) {
    wait_until(|| passed(ends, |passed| passed.over));
}

fn wait_until(mut so: impl FnMut() -> bool) {
    let since = std::time::Instant::now();
    while !so() {
        assert!(since.elapsed() < super::PATIENCE, "a relay hangs");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Where relays run, beside the test.
static BESIDE: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

fn listen() -> (TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let _beside = BESIDE.enter();
    (TcpListener::from_std(listener).unwrap(), address)
}

/// A plain address behind which a TLS server is: for clients that do not speak TLS.
pub fn veil(to: SocketAddr, alpn: &str) -> SocketAddr {
    let connector = TlsConnector::from(Arc::new(client(&WORLD.authority.pem, &[alpn])));
    let (listener, address) = listen();
    BESIDE.spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let connector = connector.clone();
            tokio::spawn(async move {
                let Ok(far) = TcpStream::connect(to).await else { return };
                let (near_twin, far_twin) = (twin(&near), twin(&far));
                let name = ServerName::try_from("localhost").unwrap();
                let Ok(far) = connector.connect(name, far).await else { return };
                tokio::select! {
                    () = relay(near, far, &near_twin, &far_twin) => {}
                    // A client's RST does not wait behind bytes that nobody reads.
                    _ = near_twin.ready(Interest::ERROR) => reset(&far_twin).await,
                }
            });
        }
    });
    address
}

/// An address that speaks TLS for a server that does not.
pub fn unveil(to: SocketAddr, alpn: &str) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(WORLD.local.server(&[alpn])));
    let (listener, address) = listen();
    BESIDE.spawn(async move {
        while let Ok((far, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let far_twin = twin(&far);
                let Ok(far) = acceptor.accept(far).await else { return };
                let Ok(near) = TcpStream::connect(to).await else { return reset(&far_twin).await };
                let near_twin = twin(&near);
                relay(near, far, &near_twin, &far_twin).await;
            });
        }
    });
    address
}

/// The same socket once more, to be watched and reset while the other is used.
fn twin(socket: &TcpStream) -> TcpStream {
    socket.set_nodelay(true).unwrap();
    let twin: std::net::TcpStream = SockRef::from(socket).try_clone().unwrap().into();
    TcpStream::from_std(twin).unwrap()
}

/// How one direction ended.
#[derive(PartialEq)]
enum Ended {
    Clean,
    /// Whom it was read from was reset, or said no goodbye.
    Cut,
    /// Whom it was written to does not listen any more.
    Deaf,
}

/// Both directions until both have ended; a cut of one side is a RST of the other.
async fn relay<T: AsyncRead + AsyncWrite>(near: TcpStream, far: T, near_twin: &TcpStream, far_twin: &TcpStream) {
    let ends = (near.peer_addr().unwrap(), near.local_addr().unwrap());
    // Not `into_split`, whose half says goodbye when it is dropped, also before a RST.
    let (near_read, near_write) = tokio::io::split(near);
    let (far_read, far_write) = tokio::io::split(far);
    let up = pump(near_read, far_write, Some(ends));
    let down = pump(far_read, near_write, None);
    tokio::pin!(up, down);
    let (mut up_over, mut down_over) = (false, false);
    while !(up_over && down_over) {
        tokio::select! {
            ended = &mut up, if !up_over => match ended {
                Ended::Cut => return reset(far_twin).await,
                Ended::Clean | Ended::Deaf => up_over = true,
            },
            ended = &mut down, if !down_over => match ended {
                Ended::Cut => return reset(near_twin).await,
                Ended::Clean | Ended::Deaf => down_over = true,
            },
        }
    }
}

/// One direction. What of it has been passed on is noted under `ends`.
async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, ends: Option<Ends>) -> Ended {
    let note = |act: fn(&mut Passed, u64), bytes| {
        if let Some(ends) = ends {
            passed(ends, |passed| act(passed, bytes));
        }
    };
    let mut buffer = vec![0; 16 << 10];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) => {
                let _ = to.shutdown().await;
                note(|passed, _| passed.over = true, 0);
                return Ended::Clean;
            }
            Err(_) => return Ended::Cut,
            Ok(n) => {
                if to.write_all(&buffer[..n]).await.is_err() || to.flush().await.is_err() {
                    return Ended::Deaf;
                }
                note(|passed, bytes| passed.bytes += bytes, n as u64);
            }
        }
    }
}

/// Closes with a RST, once what was written has arrived.
async fn reset(socket: &TcpStream) {
    for _ in 0..1000 {
        let mut left: libc::c_int = 0;
        let fd = std::os::fd::AsRawFd::as_raw_fd(socket);
        // SAFETY: the pointer is valid for the call.
        if unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut left) } != 0 || left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
