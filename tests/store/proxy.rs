//! A proxy before a server that can delay, drop and reset connections.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// What happens to the bytes between a client and the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// They pass.
    #[default]
    Open,
    /// New connections are reset at once; existing ones continue.
    Refuse,
    /// The server's bytes are dropped; clients' bytes arrive.
    Deaf,
    /// Everything is dropped.
    BlackHole,
    /// Each piece waits this long.
    Slow(Duration),
    /// Half of the next piece passes, then the connection is cut.
    CutMidway,
    /// Clients' bytes arrive; instead of the answer, the connection is cut.
    CutAnswer,
}

/// Passes bytes between clients of a loopback port and a server. Dropped, it stops listening; open
/// connections continue.
pub struct Proxy {
    /// Where clients connect.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    way: Mutex<Way>,
    /// Held by the threads that pass the bytes: a connection closes once both have ended.
    open: Mutex<Vec<Weak<Pair>>>,
    stopped: AtomicBool,
}

struct Pair {
    client: TcpStream,
    server: TcpStream,
}

impl Proxy {
    /// Begins to listen on `listener`.
    pub fn start(listener: TcpListener, (host, port): (String, u16)) -> Self {
        let shared = Arc::new(Shared::default());
        let at = listener.local_addr().unwrap().port();
        let state = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                if state.stopped.load(Ordering::Relaxed) {
                    break;
                }
                if *state.way.lock().unwrap() == Way::Refuse {
                    reset(&client);
                    continue;
                }
                // The server may be down: then the client's connection is closed.
                let Ok(server) = TcpStream::connect((&*host, port)) else { continue };
                let pair = Arc::new(Pair { client, server });
                let mut open = state.open.lock().unwrap();
                open.retain(|pair| pair.strong_count() > 0);
                open.push(Arc::downgrade(&pair));
                for answers in [false, true] {
                    let (pair, state) = (Arc::clone(&pair), Arc::clone(&state));
                    thread::spawn(move || pass(&pair, answers, &state));
                }
            }
        });
        Self { port: at, shared }
    }

    /// Sets what happens to bytes from now on.
    pub fn set(&self, way: Way) {
        *self.shared.way.lock().unwrap() = way;
    }

    /// From now on (or no longer) clients get no answers; what they send still arrives.
    pub fn deafen(&self, deaf: bool) {
        self.set(if deaf { Way::Deaf } else { Way::Open });
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        for pair in self.open() {
            pair.cut();
        }
    }

    /// Resets every connection, even with data under way.
    pub fn reset(&self) {
        for pair in self.open() {
            reset(&pair.client);
            reset(&pair.server);
        }
    }

    fn open(&self) -> Vec<Arc<Pair>> {
        self.shared.open.lock().unwrap().iter().filter_map(Weak::upgrade).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts connections.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Pair {
    fn cut(&self) {
        // The other end may have closed it already.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

/// Ends a connection by RST once its last handle is closed, and wakes its reader.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Read);
}

fn pass(pair: &Pair, answers: bool, shared: &Shared) {
    let (mut from, mut to) =
        if answers { (&pair.server, &pair.client) } else { (&pair.client, &pair.server) };
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let way = *shared.way.lock().unwrap();
        match way {
            Way::Deaf if answers => continue,
            Way::BlackHole => continue,
            Way::Slow(delay) => thread::sleep(delay),
            Way::CutMidway => {
                let _ = to.write_all(&bytes[..count / 2]);
                break;
            }
            Way::CutAnswer if answers => break,
            _ => {}
        }
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    pair.cut();
}
