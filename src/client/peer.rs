//! The server side of mutual TLS: serve an X.509-SVID, and take proof of any client key.
//!
//! Names `domain` and `token`. The one thing to know: which certificates are acceptable is for `Check` to say.
//! TLS proves one thing only, that the other end holds the key of the certificate it showed, and it proves it
//! by the provider's own verification of the handshake signature (A57).

use super::tls::TlsError;
use crate::domain::id::{SpiffeId, Thumbprint};
use crate::token::certificate::{CertificateLimits, thumbprint};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, ResolvesServerCert};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, HandshakeKind,
    PeerIncompatible, PeerMisbehaved, ProtocolVersion, ServerConfig, ServerConnection,
    SignatureScheme,
};
use spiffe::X509Source;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The certificate of the other end of one TLS connection, whose key it has.
///
/// Made from the connection and from nothing else: certificate bytes alone prove no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerProof {
    certificate: CertificateDer<'static>,
    thumbprint: Thumbprint,
}

/// Why a connection proves no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerProofError {
    /// The client showed no certificate.
    #[error("client showed no certificate")]
    NoCertificate,
    /// The handshake is not complete.
    #[error("handshake is not complete")]
    NotReady,
    /// The session was resumed: no key was proved in this handshake.
    #[error("session was resumed")]
    Resumed,
    /// Not TLS 1.3.
    #[error("not TLS 1.3")]
    Version,
}

impl PeerProof {
    /// Takes the proof from a connection whose handshake is complete.
    ///
    /// The connection must be of [`server_config`] or [`server_config_with_resolver`]: a verifier of another
    /// make may accept a certificate without its key, and the connection does not tell which one it had.
    ///
    /// # Errors
    /// See [`PeerProofError`].
    pub fn from_connection(connection: &ServerConnection) -> Result<Self, PeerProofError> {
        match connection.handshake_kind() {
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)
                if !connection.is_handshaking() => {}
            Some(HandshakeKind::Resumed) => return Err(PeerProofError::Resumed),
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest) | None => {
                return Err(PeerProofError::NotReady);
            }
        }
        if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return Err(PeerProofError::Version);
        }
        let certificate = connection
            .peer_certificates()
            .and_then(<[_]>::first)
            .ok_or(PeerProofError::NoCertificate)?;
        Ok(Self {
            certificate: certificate.clone(),
            thumbprint: thumbprint(certificate),
        })
    }

    /// The certificate, for `Check`.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The certificate's thumbprint (`x5t#S256`).
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }
}

/// Serves the X.509-SVID of `source`, also as it rotates; demands a client certificate of any origin.
///
/// # Errors
/// See [`TlsError`].
pub fn server_config(source: X509Source, alpn: &[&[u8]]) -> Result<ServerConfig, TlsError> {
    // Only the resolver, which follows the rotation, is taken from it: the rest would let no client in.
    let svid = spiffe_rustls::mtls_server(source)
        .authorize(|_nobody: &SpiffeId| false)
        .build()?;
    server_config_with_resolver(svid.cert_resolver, alpn)
}

/// As [`server_config`], with certificates from elsewhere.
///
/// # Errors
/// [`TlsError::Config`].
pub fn server_config_with_resolver(
    certificates: Arc<dyn ResolvesServerCert>,
    alpn: &[&[u8]],
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyKey {
        bytes_max: CertificateLimits::default().bytes_max,
        provider: Arc::clone(&provider),
    });
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificates);
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    // A resumed session would be served without a proof of the key (A4).
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// Performs the handshake on an accepted connection and takes the proof.
///
/// # Errors
/// What TLS said, [`PeerProofError`] as [`io::ErrorKind::PermissionDenied`], or
/// [`io::ErrorKind::TimedOut`] after `timeout`.
pub async fn accept(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    timeout: Duration,
) -> io::Result<(TlsStream<TcpStream>, PeerProof)> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(timeout, TlsAcceptor::from(config).accept(stream))
        .await
        .map_err(|_elapsed| io::ErrorKind::TimedOut)??;
    let (_, connection) = stream.get_ref();
    let proof = PeerProof::from_connection(connection)
        .map_err(|error| io::Error::new(io::ErrorKind::PermissionDenied, error))?;
    Ok((stream, proof))
}

/// Takes any certificate that parses, and the handshake signature of its P-256 key.
#[derive(Debug)]
struct AnyKey {
    bytes_max: usize,
    provider: Arc<CryptoProvider>,
}

/// Hands have keys of this kind only (DESIGN: P-256).
const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if end_entity.len() > self.bytes_max {
            return Err(CertificateError::BadEncoding.into());
        }
        ParsedCertificate::try_from(end_entity)?;
        Ok(ClientCertVerified::assertion())
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
        if dss.scheme != SCHEME {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SCHEME]
    }
}
