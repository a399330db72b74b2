use std::io;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use ssehub::TlsOptions;

use super::server::{Conn, Server};

/// A certificate authority that nobody knows.
pub(crate) struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Test authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    /// Options of a client that knows it.
    pub(crate) fn trusted(&self) -> TlsOptions {
        TlsOptions {
            ca: Some(self.certificate.pem().into_bytes()),
            ..TlsOptions::default()
        }
    }

    /// A client's certificate and its key.
    pub(crate) fn client_pem(&self) -> Vec<u8> {
        let (certificate, key) = self.issue(&["client"], ExtendedKeyUsagePurpose::ClientAuth);
        format!("{}{}", certificate.pem(), key.serialize_pem()).into_bytes()
    }

    /// The configuration of a server with these names.
    pub(crate) fn config(&self, names: &[&str], with_clients: bool) -> ServerConfig {
        let (certificate, key) = self.issue(names, ExtendedKeyUsagePurpose::ServerAuth);
        let builder =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap();
        let builder = if with_clients {
            let mut roots = RootCertStore::empty();
            roots.add(self.der()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        builder
            .with_single_cert(vec![certificate.der().clone(), self.der()], key)
            .unwrap()
    }

    /// A scripted server with these names.
    pub(crate) fn server(
        &self,
        names: &[&str],
        script: impl Fn(&mut Conn) -> io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        over_tls(self.config(names, false), script)
    }

    fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    fn issue(&self, names: &[&str], usage: ExtendedKeyUsagePurpose) -> (Certificate, KeyPair) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

/// A scripted server that speaks TLS.
pub(crate) fn over_tls(
    config: ServerConfig,
    script: impl Fn(&mut Conn) -> io::Result<()> + Send + Sync + 'static,
) -> Server {
    let config = Arc::new(config);
    Server::over(
        move |stream| {
            let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
            Ok(Box::new(StreamOwned::new(connection, stream)))
        },
        script,
    )
}
