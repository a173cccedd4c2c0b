//! Peers that speak exactly the bytes they are told.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::PATIENCE;

/// One end of a connection, read through a buffer.
pub struct Client {
    pub socket: TcpStream,
    reader: BufReader<TcpStream>,
    /// Bytes said with [`send`](Self::send).
    pub sent: u64,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    pub fn over(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { reader: BufReader::new(socket.try_clone().unwrap()), socket, sent: 0 }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.socket.write_all(bytes.as_ref()).unwrap();
        self.sent += bytes.as_ref().len() as u64;
        self
    }

    /// Reads until these bytes have come, and gives everything up to their end, byte by byte as characters.
    pub fn read_until(&mut self, end: &str) -> String {
        let mut got = Vec::new();
        while !got.ends_with(end.as_bytes()) {
            match self.reader.fill_buf() {
                Ok(bytes) if !bytes.is_empty() => {
                    got.push(bytes[0]);
                    self.reader.consume(1);
                }
                other => panic!("{:?} before {end:?}, after {:?}", other.map(|b| b.len()), latin1(&got)),
            }
        }
        latin1(&got)
    }

    /// Reads one head: everything up to the empty line.
    pub fn read_head(&mut self) -> String {
        self.read_until("\r\n\r\n")
    }

    /// Reads exactly so many bytes.
    pub fn read_exact(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Reads one message with a Content-Length or none: head and body.
    pub fn read_message(&mut self) -> (String, String) {
        let head = self.read_head();
        let length = field(&head, "content-length").map_or(0, |l| l.parse().unwrap());
        (head, latin1(&self.read_exact(length)))
    }

    /// Reads a chunked body to its end: its bytes, and the number of chunks.
    pub fn read_chunks(&mut self) -> (Vec<u8>, usize) {
        let mut body = Vec::new();
        for count in 0.. {
            let size = self.read_until("\r\n");
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            body.extend(self.read_exact(size));
            assert_eq!(self.read_exact(2), b"\r\n");
            if size == 0 {
                return (body, count);
            }
        }
        unreachable!()
    }

    /// Reads to the end: the bytes, and how it ended.
    pub fn read_to_end(&mut self) -> (Vec<u8>, io::Result<()>) {
        let mut bytes = Vec::new();
        let ended = self.reader.read_to_end(&mut bytes).map(|_| ());
        (bytes, ended)
    }

    /// The peer says goodbye, having said nothing more.
    pub fn expect_end(&mut self) {
        let (bytes, ended) = self.read_to_end();
        assert!(ended.is_ok(), "{ended:?}");
        assert_eq!(latin1(&bytes), "");
    }

    /// Waits for the end, however it comes and whatever comes before it.
    pub fn await_end(&mut self) {
        let _ = self.read_to_end();
    }

    /// The peer has not said anything so far.
    pub fn is_silent(&mut self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let silent = matches!(self.reader.fill_buf(), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        self.socket.set_nonblocking(false).unwrap();
        silent
    }

    pub fn finish_sending(&mut self) -> &mut Self {
        self.socket.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// The two ends of the connection, this one first.
    pub fn ends(&self) -> (SocketAddr, SocketAddr) {
        (self.socket.local_addr().unwrap(), self.socket.peer_addr().unwrap())
    }

    /// Leaves with a RST.
    pub fn reset(self) {
        socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

/// The value of a header field, by its lower-case name.
pub fn field(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// An upstream made of raw sockets: each accepted connection is handed to the test.
pub struct Origin {
    pub address: SocketAddr,
    connections: Receiver<TcpStream>,
}

impl Origin {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, connections): (Sender<TcpStream>, _) = channel();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if sender.send(socket).is_err() {
                    return;
                }
            }
        });
        Self { address, connections }
    }

    /// An origin that answers every request with what the function makes of its head, for as long as the test runs.
    pub fn answering(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let Self { address, connections } = Self::new();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for socket in connections {
                let answer = answer.clone();
                std::thread::spawn(move || serve(Client::over(socket), &*answer));
            }
        });
        let (_, nobody) = channel();
        Self { address, connections: nobody }
    }

    /// The next connection that the proxy opens.
    pub fn accept(&self) -> Client {
        Client::over(self.connections.recv_timeout(PATIENCE).expect("the proxy did not connect"))
    }

    /// The next connection that the proxy opens, having read a head from it and answered.
    pub fn answer(&self, answer: impl AsRef<[u8]>) -> Client {
        let mut up = self.accept();
        up.read_head();
        up.send(answer);
        up
    }

    /// A connection that the proxy opened already, if any.
    pub fn try_accept(&self) -> Option<Client> {
        self.connections.try_recv().ok().map(Client::over)
    }
}

fn serve(mut client: Client, answer: &dyn Fn(&str) -> Vec<u8>) {
    while let Ok(bytes) = client.reader.fill_buf() {
        if bytes.is_empty() {
            return;
        }
        let head = client.read_head();
        if field(&head, "transfer-encoding").is_some() {
            client.read_chunks();
        }
        let length: u64 = field(&head, "content-length").map_or(0, |l| l.parse().unwrap());
        if io::copy(&mut Read::by_ref(&mut client.reader).take(length), &mut io::sink()).is_err() {
            return;
        }
        if client.socket.write_all(&answer(&head)).is_err() {
            return;
        }
    }
}

/// `HTTP/1.1 200 OK` with this body.
pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
