//! A small identity provider on loopback: it serves any key set a test wants, correctly or not, and counts
//! the requests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// The `iss` and the `aud` of the tests' tokens.
pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "tasklane-tests";

/// How the provider answers.
#[derive(Clone, Debug)]
pub enum Manner {
    /// 200 with this body.
    Gives(Vec<u8>),
    /// This status with an empty body and a `Location`.
    Refuses(u16, String),
    /// The head and the start of a body that never ends.
    Dawdles,
    /// Closes the connection without an answer.
    HangsUp,
}

/// A running provider. Dropping it stops it.
pub struct Issuer {
    address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    asked: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Issuer {
    /// A provider that publishes these keys.
    pub fn start(keys: &[Value]) -> Self {
        Self::at(0, Manner::Gives(set(keys)))
    }

    /// A provider on this port; 0 lets the system choose.
    pub fn at(port: u16, manner: Manner) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let address = listener.local_addr().unwrap();
        let issuer = Self {
            address,
            manner: Arc::new(Mutex::new(manner)),
            asked: Arc::default(),
            stopped: Arc::default(),
        };
        let (manner, asked, stopped) =
            (Arc::clone(&issuer.manner), Arc::clone(&issuer.asked), Arc::clone(&issuer.stopped));
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (manner, asked) = (Arc::clone(&manner), Arc::clone(&asked));
                let stopped = Arc::clone(&stopped);
                thread::spawn(move || serve(socket, &manner, &asked, &stopped));
            }
        });
        issuer
    }

    /// Publishes other keys from now on.
    pub fn publish(&self, keys: &[Value]) {
        self.behave(Manner::Gives(set(keys)));
    }

    /// Answers in another manner from now on.
    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// How many requests it has had.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// The URL of its keys.
    pub fn url(&self) -> String {
        format!("http://{}/jwks", self.address)
    }

    /// The settings of a server that trusts it.
    pub fn settings(url: &str) -> [(&str, &str); 3] {
        [("JWKS_URL", url), ("JWT_ISSUER", ISSUER), ("JWT_AUDIENCE", AUDIENCE)]
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts connections.
        let _ = TcpStream::connect(self.address);
    }
}

/// A JSON Web Key Set.
pub fn set(keys: &[Value]) -> Vec<u8> {
    json!({"keys": keys}).to_string().into_bytes()
}

/// A port on which nothing listens.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn serve(mut socket: TcpStream, manner: &Mutex<Manner>, asked: &AtomicUsize, stopped: &AtomicBool) {
    let _ = socket.set_read_timeout(Some(Duration::from_secs(30)));
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let manner = manner.lock().unwrap().clone();
    let answer = match manner {
        Manner::Gives(body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            [head.into_bytes(), body].concat()
        }
        Manner::Refuses(status, location) => format!(
            "HTTP/1.1 {status} No\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .into_bytes(),
        Manner::Dawdles => {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n{\"keys\":");
            // One byte at a time, so that no time-out between two bytes applies.
            for _ in 0..600 {
                if stopped.load(Ordering::SeqCst) || socket.write_all(b" ").is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(100));
            }
            return;
        }
        Manner::HangsUp => return,
    };
    let _ = socket.write_all(&answer);
}
