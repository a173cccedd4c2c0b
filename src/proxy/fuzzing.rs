//! The types of this folder under any bytes, for `fuzz/`. Not part of the product.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::flood::Meter;
use super::wire::Control;
use crate::clock::Instant;

/// The frames of a connection: cut in whatever pieces, they count the same.
#[doc(hidden)]
pub fn frames(data: &[u8]) {
    let Some((&[cut, rate], bytes)) = data.split_first_chunk::<2>() else { return };
    let now = Instant::now();
    let meter = || Meter::new(f64::from(rate) + 1.0, f64::from(rate) + 2.0, now);
    let whole = meter().feed(bytes, 0, now);
    let mut pieces = meter();
    let in_pieces = bytes.chunks(usize::from(cut) + 1).try_for_each(|piece| pieces.feed(piece, 0, now));
    assert_eq!(whole, in_pieces);
}

/// What the kernel takes of a wire at once: little, so that the buffer has work to do. What it gives the other end is
/// left alone, or the two would wait for TCP's timers instead of each other.
const SOCKET: usize = 4096;

/// The wire: a script of writes, flushes and reads of either side. Every byte arrives, once and in order, and no
/// write waits.
#[doc(hidden)]
pub fn wire(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    let played = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), play(data)).await });
    assert!(played.is_ok(), "the wire stands still");
}

async fn play(script: &[u8]) {
    let (Some((ours, mut peer)), mut expected, mut got) = (pair().await, Vec::new(), Vec::new()) else { return };
    let control = Control::new(ours);
    let mut wire = control.wire();
    let (mut said, mut heard) = (0u64, 0u64);
    for step in script.chunks_exact(2).take(64) {
        let amount = usize::from(step[1]) * 64 + 1;
        match step[0] % 6 {
            0 | 1 => {
                let piece = pattern(expected.len(), amount);
                assert!(wire.write_all(&piece).await.is_ok(), "a write never waits and never fails here");
                expected.extend(piece);
            }
            2 => assert!(control.nudge().is_ok()),
            3 => _ = take(&mut peer, &mut got, amount).await,
            4 => {
                let piece = pattern(0, amount.min(1024));
                assert!(peer.write_all(&piece).await.is_ok());
                said += piece.len() as u64;
            }
            _ if said > heard => {
                let mut buffer = vec![0; amount];
                let Ok(read) = wire.read(&mut buffer).await else { return };
                heard += read as u64;
                assert!(read > 0 && control.received() == heard);
            }
            _ => {}
        }
        assert!(control.is_holding() || !control.is_full());
    }
    while got.len() < expected.len() {
        if control.is_holding() {
            tokio::select! {
                drained = control.drain() => assert!(drained.is_ok()),
                _ = take(&mut peer, &mut got, usize::MAX) => {}
            }
        } else {
            take(&mut peer, &mut got, usize::MAX).await;
        }
    }
    assert!(got == expected, "a byte was lost, doubled or moved");
    assert_eq!(control.take_bytes(), (heard, expected.len() as u64));
}

/// Reads what is there, at most so much; waits only if everything is asked for.
async fn take(peer: &mut TcpStream, got: &mut Vec<u8>, most: usize) {
    let mut buffer = vec![0; most.min(64 << 10)];
    let read = match most {
        usize::MAX => peer.read(&mut buffer).await,
        _ => peer.try_read(&mut buffer),
    };
    got.extend_from_slice(&buffer[..read.unwrap_or(0)]);
}

/// Bytes that tell their place.
fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|place| (place ^ (place >> 8) ^ (place >> 16)) as u8).collect()
}

/// Both ends of a connection.
async fn pair() -> Option<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.ok()?;
    let address = listener.local_addr().ok()?;
    let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (peer, (ours, _)) = (peer.ok()?, accepted.ok()?);
    let _ = socket2::SockRef::from(&ours).set_send_buffer_size(SOCKET);
    Some((ours, peer))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn replay(name: &str, target: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let entries: Vec<_> = std::fs::read_dir(folder).unwrap().flatten().filter(|e| e.path().is_file()).collect();
        assert!(entries.len() >= 3, "{name} has {} entries", entries.len());
        entries.iter().for_each(|entry| target(&std::fs::read(entry.path()).unwrap()));
    }

    #[test]
    fn the_kept_frames_count_the_same_in_any_pieces() {
        replay("frames", frames);
    }

    #[test]
    fn the_kept_scripts_lose_no_byte_on_the_wire() {
        replay("wire", wire);
    }
}
