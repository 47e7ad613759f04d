//! HTTPS without a proxy: clients that trust the certificate are served, in HTTP/1.1; wrong files stop the
//! start.

use std::fs;

use reqwest::{Certificate, Client};

use crate::support::command::{Line, PATIENCE, Process, run};
use crate::support::{Kind, Store, raw, tokens};

/// Writes a certificate for 127.0.0.1 and its key, and returns the certificate.
fn make_files(store: &Store) -> String {
    let pair =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    fs::write(store.dir().join("cert.pem"), pair.cert.pem()).unwrap();
    fs::write(store.dir().join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    pair.cert.pem()
}

fn settings<'a>(store: &'a Store, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![
        ("PORT", "0"),
        ("DATABASE_URL", store.url()),
        ("BETTER_AUTH_SECRET", tokens::SECRET),
        ("TLS_CERT", "cert.pem"),
        ("TLS_KEY", "key.pem"),
    ];
    all.extend_from_slice(more);
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_is_served_to_those_who_trust_the_certificate() {
    let store = Store::new(Kind::Sqlite).await;
    let certificate = Certificate::from_pem(make_files(&store).as_bytes()).unwrap();
    let server = Process::start(store.dir(), &[], &settings(&store, &[]));
    let address = server.output.wait_for(PATIENCE, |line| match line {
        Line::Err(text) if text.contains("listening") => {
            let at = text.find("https://127.0.0.1:")? + "https://".len();
            text[at..].split(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').next().map(str::to_owned)
        }
        _ => None,
    });
    let address = address.unwrap_or_else(|| panic!("no https address: {:#?}", server.output.lines()));
    let url = format!("https://{address}/api/me/tasks");
    let trusting = Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap();
    for _ in 0..3 {
        let answer = trusting.get(&url).bearer_auth(tokens::of("ann")).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_11));
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
    }
    let refused = trusting.get(&url).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert!(refused.headers().contains_key("strict-transport-security"));
    let stranger = Client::builder().no_proxy().build().unwrap();
    assert!(
        stranger.get(&url).send().await.is_err(),
        "a client that does not trust the certificate was served"
    );
    // Plain HTTP and bytes that are not a handshake get no answer; the next client does.
    for bytes in ["GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02", "garbage"] {
        assert_eq!(raw::status(&raw::exchange(&address, bytes).await), None);
    }
    assert_eq!(trusting.get(format!("https://{address}/health")).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_files_stop_the_start_and_the_key_is_not_shown() {
    let store = Store::new(Kind::Sqlite).await;
    make_files(&store);
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    fs::write(store.dir().join("other.pem"), &other).unwrap();
    fs::write(store.dir().join("broken.pem"), &other[..60]).unwrap();
    let cases = [
        ("none.pem", "key.pem", "TLS_CERT"),
        ("cert.pem", "none.pem", "TLS_KEY"),
        ("key.pem", "key.pem", "TLS_CERT"),
        ("cert.pem", "cert.pem", "TLS_KEY"),
        ("cert.pem", "broken.pem", "TLS_KEY"),
        ("cert.pem", "other.pem", "TLS_KEY"),
    ];
    for (certificate, key, name) in cases {
        let mut wrong = settings(&store, &[]);
        wrong.retain(|(name, _)| !name.starts_with("TLS"));
        wrong.extend([("TLS_CERT", certificate), ("TLS_KEY", key)]);
        let finished = run(store.dir(), &[], &wrong);
        assert_ne!(finished.code, 0, "{certificate} and {key} were accepted");
        assert!(finished.stderr.contains(name), "{certificate}, {key}: {finished:?}");
        let secret = other.lines().nth(1).unwrap();
        assert!(!finished.stderr.contains(&secret[..20]), "{finished:?}");
    }
}
