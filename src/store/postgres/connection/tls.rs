//! Encryption and certificate checks, as `sslmode=` and `sslrootcert=` ask for them.
//!
//! | `sslmode` | encrypted | server's certificate |
//! |---|---|---|
//! | `disable` | no | |
//! | `prefer` (default, as in libpq) | if the server can | not checked |
//! | `require` | yes | not checked; with `sslrootcert=` like `verify-ca`, as in libpq |
//! | `verify-ca` | yes | signed by an authority in `sslrootcert=`; without that, like `verify-full` |
//! | `verify-full` | yes | names the host; signed by an authority in `sslrootcert=`, or else one the platform trusts |
//!
//! `sslrootcert=system` stands for the platform's authorities and, as in libpq, requires `verify-full`:
//! anybody can get a certificate signed by a public authority, so only the host's name proves anything.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How a connection is encrypted.
#[derive(Clone)]
pub(crate) struct Tls {
    /// Whether tokio-postgres asks the server for encryption.
    pub(crate) mode: SslMode,
    /// Makes the encrypted connections.
    pub(crate) connector: MakeRustlsConnect,
    /// Whether anybody in between can take the server's place, although encryption was asked for, or not refused.
    pub(crate) is_unverified: bool,
}

/// What is checked of the server's certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum CertificateCheck {
    Nothing,
    Authority,
    AuthorityAndName,
}

/// Applies `sslmode` and `sslrootcert` as given in the URL.
///
/// # Errors
/// One line that says what is allowed, or what is wrong with the file of certificates.
pub(crate) fn tls(mode: Option<&str>, roots: Option<&str>) -> Result<Tls, String> {
    let (mode, check) = parse(mode, roots)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = if check == CertificateCheck::Nothing { None } else { Some(verifier(roots, &provider)?) };
    let verifier = ChainVerifier { chain, check, provider: Arc::clone(&provider) };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let is_unverified = mode != SslMode::Disable && check == CertificateCheck::Nothing;
    Ok(Tls { mode, connector: MakeRustlsConnect::new(config), is_unverified })
}

fn parse(mode: Option<&str>, roots: Option<&str>) -> Result<(SslMode, CertificateCheck), String> {
    match (mode, roots) {
        (None, Some("system")) | (Some("verify-full"), _) | (Some("verify-ca"), None) => {
            Ok((SslMode::Require, CertificateCheck::AuthorityAndName))
        }
        (Some(_), Some("system")) => Err("sslrootcert=system needs sslmode=verify-full".to_owned()),
        (Some("verify-ca"), _) | (Some("require"), Some(_)) => {
            Ok((SslMode::Require, CertificateCheck::Authority))
        }
        (Some("require"), None) => Ok((SslMode::Require, CertificateCheck::Nothing)),
        (Some("prefer") | None, _) => Ok((SslMode::Prefer, CertificateCheck::Nothing)),
        (Some("disable"), _) => Ok((SslMode::Disable, CertificateCheck::Nothing)),
        _ => Err("sslmode must be disable, prefer, require, verify-ca or verify-full".to_owned()),
    }
}

fn verifier(
    roots: Option<&str>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(file) if file != "system" => {
            let unreadable = |error| format!("sslrootcert={file} cannot be read: {error}");
            for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
                let certificate = certificate.map_err(unreadable)?;
                store
                    .add(certificate)
                    .map_err(|error| format!("sslrootcert={file} holds a bad certificate: {error}"))?;
            }
        }
        // The platform's bundle may hold a few certificates that rustls cannot parse; the others suffice.
        _ => drop(store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if store.is_empty() {
        return Err(format!("no trusted certificates in {}", roots.unwrap_or("the system's store")));
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .build()
        .map_err(|error| format!("TLS cannot be set up: {error}"))
}

/// Checks as much of a certificate as asked for. The handshake's signature is always verified, which proves
/// that the server has the certificate's key.
#[derive(Debug)]
struct ChainVerifier {
    chain: Option<Arc<WebPkiServerVerifier>>,
    check: CertificateCheck,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The chain of signatures is verified before the name: after this error the chain is known to
            // be right.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.check == CertificateCheck::Authority => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_asks_for_what_the_table_says() {
        let file = Some("/etc/ca.pem");
        let cases = [
            (None, None, SslMode::Prefer, CertificateCheck::Nothing),
            (None, Some("system"), SslMode::Require, CertificateCheck::AuthorityAndName),
            (Some("disable"), None, SslMode::Disable, CertificateCheck::Nothing),
            (Some("prefer"), None, SslMode::Prefer, CertificateCheck::Nothing),
            (Some("require"), None, SslMode::Require, CertificateCheck::Nothing),
            (Some("require"), file, SslMode::Require, CertificateCheck::Authority),
            (Some("verify-ca"), file, SslMode::Require, CertificateCheck::Authority),
            (Some("verify-ca"), None, SslMode::Require, CertificateCheck::AuthorityAndName),
            (Some("verify-full"), file, SslMode::Require, CertificateCheck::AuthorityAndName),
            (Some("verify-full"), None, SslMode::Require, CertificateCheck::AuthorityAndName),
        ];
        for (mode, roots, encryption, check) in cases {
            assert_eq!(parse(mode, roots), Ok((encryption, check)), "{mode:?} {roots:?}");
        }
        assert!(parse(Some("verify-ca"), Some("system")).is_err());
        assert!(parse(Some("allow"), None).is_err());
    }
}
