//! The client side of mutual TLS: show a hand, verify the server by its exact SPIFFE ID.
//!
//! Names `domain`. The one thing to know: a configuration belongs to one hand and one server. Nothing is
//! resumed, since a resumed session proves no key (A4).

use super::hand::Hand;
use crate::domain::id::{SpiffeId, TrustDomain};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, RootCertStore,
    SignatureScheme,
};
use spiffe::X509Source;
use spiffe_rustls::TrustDomainPolicy::LocalOnly;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Why a TLS configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// rustls refused a part of it.
    #[error("TLS configuration is not possible")]
    Config(#[from] Error),
    /// There is no SVID or bundle to make it from.
    #[error("no usable material from the Workload API")]
    Material(#[from] spiffe_rustls::Error),
    /// No trust anchor was given.
    #[error("no trust anchor for `{trust_domain}`")]
    NoRoots {
        /// The trust domain of the server.
        trust_domain: TrustDomain,
    },
}

/// Shows `hand` to the one server `server`, which is verified against the bundles of `source`, also as they
/// rotate. The SVID of `source` itself is not shown.
///
/// # Errors
/// See [`TlsError`].
pub fn client_config(
    source: X509Source,
    server: &SpiffeId,
    hand: &Hand,
    alpn: &[&[u8]],
) -> Result<ClientConfig, TlsError> {
    let shown = Arc::new(SingleCertAndKey::from(hand.certified_key()));
    let config = spiffe_rustls::mtls_client(source)
        .authorize(spiffe_rustls::authorizer::exact([server.clone()])?)
        .trust_domain_policy(LocalOnly(server.trust_domain().clone()))
        .with_alpn_protocols(alpn)
        .with_config_customizer(move |config| {
            config.client_auth_cert_resolver = shown;
            config.resumption = Resumption::disabled();
        })
        .build()?;
    Ok(config)
}

/// As [`client_config`], for a caller without an SVID: `roots` are the trust anchors (DER) of the server's
/// trust domain, taken from where the caller trusts. They do not rotate.
///
/// # Errors
/// See [`TlsError`].
pub fn client_config_with_roots(
    roots: &[CertificateDer<'static>],
    server: &SpiffeId,
    hand: &Hand,
    alpn: &[&[u8]],
) -> Result<ClientConfig, TlsError> {
    if roots.is_empty() {
        return Err(TlsError::NoRoots {
            trust_domain: server.trust_domain().clone(),
        });
    }
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone())?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(ExactServer {
        provider: Arc::clone(&provider),
        roots: store,
        server: server.clone(),
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(hand.certified_key())));
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Connects over TCP without Nagle's delay (44 ms per small request otherwise) and performs the handshake.
///
/// In TLS 1.3 this succeeds before the server has judged the client's certificate: its refusal is the error
/// of the first read.
///
/// # Errors
/// What TCP or TLS said, or [`io::ErrorKind::TimedOut`] after `timeout`.
pub async fn connect(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    timeout: Duration,
) -> io::Result<TlsStream<TcpStream>> {
    let handshake = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        // The verifiers here look at SPIFFE IDs only; an IP address also keeps a name out of the clear hello.
        let name = ServerName::IpAddress(address.ip().into());
        TlsConnector::from(config).connect(name, stream).await
    };
    tokio::time::timeout(timeout, handshake)
        .await
        .map_err(|_elapsed| io::ErrorKind::TimedOut)?
}

/// Verifies an X.509-SVID chain against fixed roots, and that it is the one server's.
#[derive(Debug)]
struct ExactServer {
    provider: Arc<CryptoProvider>,
    roots: RootCertStore,
    server: SpiffeId,
}

impl ServerCertVerifier for ExactServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        check_svid(end_entity, &self.server)?;
        for intermediate in intermediates {
            check_signing(intermediate)?;
        }
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// X.509-SVID §2, §4 and §5.2: a leaf that is no CA and has exactly one URI, the server's SPIFFE ID.
fn check_svid(der: &CertificateDer<'_>, server: &SpiffeId) -> Result<(), Error> {
    let leaf = parse(der)?;
    let refused = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
    let names = leaf
        .subject_alternative_name()
        .map_err(|_opaque| CertificateError::BadEncoding)?
        .ok_or_else(|| refused.clone())?;
    let mut uris = names.value.general_names.iter().filter_map(uri);
    let one = match (uris.next(), uris.next()) {
        (Some(uri), None) => SpiffeId::new(uri).ok(),
        _ => None,
    };
    if one.as_ref() == Some(server) && !leaf.is_ca() && !may_sign(&leaf)? {
        Ok(())
    } else {
        Err(refused)
    }
}

/// X.509-SVID §4.3: only a certificate with `keyCertSign` signs others; webpki checks `cA` alone.
fn check_signing(der: &CertificateDer<'_>) -> Result<(), Error> {
    let certificate = parse(der)?;
    if certificate.is_ca() && may_sign(&certificate)? {
        Ok(())
    } else {
        Err(CertificateError::ApplicationVerificationFailure.into())
    }
}

fn may_sign(certificate: &X509Certificate<'_>) -> Result<bool, Error> {
    let usage = certificate
        .key_usage()
        .map_err(|_opaque| CertificateError::BadEncoding)?;
    Ok(usage.is_some_and(|usage| usage.value.key_cert_sign()))
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(CertificateError::BadEncoding.into()),
    }
}

fn uri<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    if let GeneralName::URI(uri) = name {
        Some(uri)
    } else {
        None
    }
}
