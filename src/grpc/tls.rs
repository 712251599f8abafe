//! The TLS handshake of one TCP connection, and who it says the peer is.
//!
//! Whether a certificate is good is decided by the verifier inside the `ServerConfig`; here its one
//! SPIFFE ID and its end are read, and a session that was not made by a full TLS 1.3 handshake is
//! refused.

use super::observe::ConnectionEvent;
use crate::domain::id::SpiffeId;
use crate::domain::time::Time;
use crate::service::ports::RemotePeer;
use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The only protocol spoken.
const ALPN: &[u8] = b"h2";

/// Shakes hands and reads the peer's identity.
pub(super) async fn accept(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    timeout: Duration,
) -> Result<(TlsStream<TcpStream>, RemotePeer), ConnectionEvent> {
    // Without it small replies wait for the peer's delayed acknowledgement, some 40 ms each.
    stream
        .set_nodelay(true)
        .map_err(|_closed| ConnectionEvent::TlsFailed)?;
    let handshake = TlsAcceptor::from(config).accept(stream);
    let stream = tokio::time::timeout(timeout, handshake)
        .await
        .map_err(|_elapsed| ConnectionEvent::TlsTimeout)?
        .map_err(|_refused| ConnectionEvent::TlsFailed)?;
    let connection = stream.get_ref().1;
    if !is_fit(connection) {
        return Err(ConnectionEvent::TlsUnfit);
    }
    let peer = connection
        .peer_certificates()
        .and_then(<[_]>::first)
        .and_then(identity)
        .ok_or(ConnectionEvent::CertificateUnusable)?;
    Ok((stream, peer))
}

/// A resumed session was not checked by the verifier of today (RFC 8446 §2.2 skips the
/// certificates).
fn is_fit(connection: &ServerConnection) -> bool {
    is_full(connection.handshake_kind())
        && connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
        && connection.alpn_protocol() == Some(ALPN)
}

/// A `HelloRetryRequest` (RFC 8446 §4.1.4) only asks for another key share: certificates follow.
fn is_full(kind: Option<HandshakeKind>) -> bool {
    match kind {
        Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest) => true,
        Some(HandshakeKind::Resumed) | None => false,
    }
}

/// The one SPIFFE ID of a leaf certificate (X509-SVID §2: exactly one URI SAN) and its `notAfter`.
fn identity(leaf: &CertificateDer<'_>) -> Option<RemotePeer> {
    let (rest, certificate) = X509Certificate::from_der(leaf).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let names = certificate.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| {
        if let GeneralName::URI(uri) = name {
            Some(*uri)
        } else {
            None
        }
    });
    let (uri, None) = (uris.next()?, uris.next()) else {
        return None;
    };
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    Some(RemotePeer {
        spiffe_id: SpiffeId::new(uri).ok()?,
        not_after: Time(seconds.checked_mul(1000)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn leaf(uris: &[&str]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        params.subject_alt_names = uris
            .iter()
            .map(|uri| SanType::URI((*uri).try_into().unwrap()))
            .collect();
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn exactly_one_spiffe_id_is_an_identity() {
        let peer = identity(&leaf(&["spiffe://a.test/w"])).unwrap();
        assert_eq!(peer.spiffe_id.to_string(), "spiffe://a.test/w");
        assert_eq!(peer.not_after, Time(1_893_456_000_000));
        assert!(identity(&leaf(&["spiffe://a.test/w", "spiffe://a.test/x"])).is_none());
        assert!(identity(&leaf(&["spiffe://a.test/w", "https://a.test/"])).is_none());
        assert!(identity(&leaf(&["https://a.test/w"])).is_none());
        assert!(identity(&leaf(&[])).is_none());
        let mut longer = leaf(&["spiffe://a.test/w"]).to_vec();
        longer.push(0);
        assert!(identity(&longer.into()).is_none());
    }
}
