//! TLS of the main listener, for a server without a proxy in front of it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Reads certificate and key: TLS 1.2 and 1.3 with rustls's default ciphers.
///
/// # Errors
/// One line that names the variable whose file is wrong, without any part of the key.
pub fn server_config(certificate: &Path, key: &Path) -> Result<ServerConfig, String> {
    let read = |name: &str, path: &Path| {
        fs::read(path).map_err(|error| format!("{name}: {} cannot be read: {error}", path.display()))
    };
    let (chain, secret) = (read("TLS_CERT", certificate)?, read("TLS_KEY", key)?);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain).filter_map(Result::ok).collect();
    if chain.is_empty() {
        return Err(format!("TLS_CERT: {} holds no certificate in PEM form", certificate.display()));
    }
    let secret = PrivateKeyDer::from_pem_slice(&secret)
        .map_err(|_| format!("TLS_KEY: {} holds no private key in PEM form", key.display()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth();
    let mut config = config
        .with_single_cert(chain, secret)
        .map_err(|error| format!("TLS_CERT, TLS_KEY: they do not go together: {error}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
