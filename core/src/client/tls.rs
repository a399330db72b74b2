//! Whom to trust, and as whom to appear.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    WantsVerifier,
};
use tokio_rustls::TlsConnector;
use url::Host;

use super::error::{ClientError, ClientErrorKind};
use super::options::{HttpVersion, TlsOptions};
use super::runtime;
use super::socket::Io;
use crate::error::{Error, Result};

/// What the options say, checked; the configurations are made when they are needed first.
#[derive(Debug)]
pub(crate) struct Tls {
    ca: Option<Vec<CertificateDer<'static>>>,
    client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    insecure: bool,
    // For the request's own origin, and for all others, which do not get to see our certificate. Kept, since they
    // remember sessions: a reconnect is cheaper.
    own: OnceLock<Arc<ClientConfig>>,
    foreign: OnceLock<Arc<ClientConfig>>,
}

impl Tls {
    /// # Errors
    /// `InvalidArgument` for PEM that has not what it should.
    pub(crate) fn new(options: &TlsOptions) -> Result<Self> {
        let ca = match &options.ca {
            Some(pem) => Some(certificates(pem, "ca")?),
            None => None,
        };
        let client = match &options.client_cert {
            Some(pem) => {
                let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
                    Error::invalid("client_cert", format!("no private key in PEM: {error}"))
                })?;
                Some((certificates(pem, "client_cert")?, key))
            }
            None => None,
        };
        let tls = Self {
            ca,
            client,
            insecure: options.insecure,
            own: OnceLock::new(),
            foreign: OnceLock::new(),
        };
        // Certificate and key must belong together. Without a certificate of our own there is nothing to find out, and
        // no reason to read those of the system yet.
        if tls.client.is_some() || tls.ca.is_some() {
            let config = tls.config(false).map_err(|error| {
                Error::invalid("tls", format!("certificates that cannot be used: {error}"))
            })?;
            tls.own.get_or_init(|| config);
        }
        Ok(tls)
    }

    /// Speaks TLS over a connection to this host. Returns it, and whether HTTP/2 was agreed on.
    pub(crate) async fn connect(
        &self,
        io: Io,
        host: &str,
        foreign: bool,
        http: HttpVersion,
    ) -> std::result::Result<(Io, bool), ClientError> {
        let failed = |why: String| ClientError::new(ClientErrorKind::Tls, why);
        let slot = if foreign { &self.foreign } else { &self.own };
        let config = if let Some(config) = slot.get() {
            config.clone()
        } else {
            let made = self.config(foreign);
            let config = made.map_err(|error| failed(error.to_string()))?;
            slot.get_or_init(|| config).clone()
        };
        let alpn = match http {
            HttpVersion::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            HttpVersion::Http1 => vec![b"http/1.1".to_vec()],
            HttpVersion::Http2 => vec![b"h2".to_vec()],
        };
        let connector = TlsConnector::from(config);
        let stream = connector
            .with_alpn(alpn)
            .connect(server_name(host).map_err(failed)?, io)
            .await
            .map_err(|error| handshake_error(&error))?;
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Box::new(stream), h2))
    }

    fn config(&self, foreign: bool) -> std::result::Result<Arc<ClientConfig>, rustls::Error> {
        let client = self.client.as_ref().filter(|_| !foreign);
        if self.ca.is_none() && client.is_none() && !self.insecure {
            return usual_config();
        }
        let builder = builder()?;
        let builder = if self.insecure {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anyone(provider())))
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let mut config = match client {
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        // There are as many of these as there are sources, and each goes to few servers.
        config.resumption = Resumption::in_memory_sessions(8);
        Ok(Arc::new(config))
    }

    fn roots(&self) -> std::result::Result<Arc<RootCertStore>, rustls::Error> {
        let Some(ca) = &self.ca else {
            return Ok(system_roots());
        };
        let mut roots = RootCertStore::empty();
        for certificate in ca {
            roots.add(certificate.clone())?;
        }
        Ok(Arc::new(roots))
    }
}

/// What all sources have in common that ask for nothing else.
fn usual_config() -> std::result::Result<Arc<ClientConfig>, rustls::Error> {
    let process = runtime::process();
    if let Some(config) = process.tls_config.get() {
        return Ok(config.clone());
    }
    let config = builder()?
        .with_root_certificates(system_roots())
        .with_no_client_auth();
    Ok(process.tls_config.get_or_init(|| Arc::new(config)).clone())
}

/// What the system trusts; where it says nothing (a bare container), what Mozilla does. Reading it takes tens of
/// milliseconds, hence once per process.
fn system_roots() -> Arc<RootCertStore> {
    let read = || Arc::new(read_roots());
    runtime::process().tls_roots.get_or_init(read).clone()
}

pub(crate) fn read_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // The variables `SSL_CERT_FILE` and `SSL_CERT_DIR` count here. A certificate that is of no use is no reason not to
    // trust the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn builder() -> std::result::Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()
}

fn certificates(pem: &[u8], field: &'static str) -> Result<Vec<CertificateDer<'static>>> {
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Error::invalid(field, "no certificate in PEM")),
        Err(error) => Err(Error::invalid(
            field,
            format!("not certificates in PEM: {error}"),
        )),
    }
}

fn server_name(host: &str) -> std::result::Result<ServerName<'static>, String> {
    match Host::parse(host) {
        Ok(Host::Ipv4(address)) => Ok(ServerName::from(std::net::IpAddr::V4(address))),
        Ok(Host::Ipv6(address)) => Ok(ServerName::from(std::net::IpAddr::V6(address))),
        Ok(Host::Domain(name)) => ServerName::try_from(name)
            .map_err(|error| format!("{host} cannot have a certificate: {error}")),
        Err(error) => Err(format!("{host:?} is not a host: {error}")),
    }
}

fn handshake_error(error: &io::Error) -> ClientError {
    if is_tls(error) {
        ClientError::new(
            ClientErrorKind::Tls,
            format!("no secure connection: {error}"),
        )
    } else {
        ClientError::new(
            ClientErrorKind::Connect,
            format!("the connection broke while TLS was set up: {error}"),
        )
    }
}

/// Whether this is TLS's own word, and not that of the socket below it.
pub(crate) fn is_tls(error: &io::Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<rustls::Error>())
}

/// Trusts whoever answers, as `insecure` asks.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
