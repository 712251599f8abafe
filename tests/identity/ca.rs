//! Certificate authorities that the test holds itself, and a Workload API that serves what it
//! likes.

use crate::served::serve;
use handfast::dev::pb::workload::spiffe_workload_api_server::{
    SpiffeWorkloadApi, SpiffeWorkloadApiServer,
};
use handfast::dev::pb::workload::{
    JwtBundlesRequest, JwtBundlesResponse, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest,
    ValidateJwtsvidResponse, X509BundlesRequest, X509BundlesResponse, X509svid, X509svidRequest,
    X509svidResponse,
};
use handfast::identity::{Identity, IdentityConfig, UnixEndpoint};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use std::collections::HashMap;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

pub(crate) struct Ca {
    certificate: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// DER of a certificate and of its key.
pub(crate) struct Leaf {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Ca {
    pub(crate) fn new(trust_domain: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(&format!("spiffe://{trust_domain}"));
        params
            .distinguished_name
            .push(DnType::CommonName, trust_domain);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self {
            certificate: params.self_signed(&key).unwrap().der().to_vec(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Signs a workload's certificate for any SPIFFE ID, also for one that is not this authority's
    /// to give.
    pub(crate) fn sign(&self, spiffe_id: &str) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let mut params = params(spiffe_id);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        Leaf {
            certificate: params.signed_by(&key, &self.issuer).unwrap().der().to_vec(),
            key: key.serialize_der(),
        }
    }
}

fn params(uri: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params
}

/// An identity of `own`, whose Workload API also delivers the bundle of a federated trust domain.
pub(crate) struct Federated {
    pub(crate) identity: Identity,
    _served: JoinSet<()>,
    _folder: TempDir,
}

impl Federated {
    pub(crate) async fn start(own: &Ca, spiffe_id: &str, federated: (&str, &Ca)) -> Self {
        let leaf = own.sign(spiffe_id);
        let (trust_domain, foreign) = federated;
        let fixed = Fixed(X509svidResponse {
            svids: vec![X509svid {
                spiffe_id: spiffe_id.to_owned(),
                x509_svid: leaf.certificate,
                x509_svid_key: leaf.key,
                bundle: own.certificate.clone(),
                hint: String::new(),
            }],
            crl: Vec::new(),
            federated_bundles: HashMap::from([(
                format!("spiffe://{trust_domain}"),
                foreign.certificate.clone(),
            )]),
        });
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let routes = tonic::service::Routes::new(SpiffeWorkloadApiServer::new(fixed));
        let served = serve(&socket, routes);
        let endpoint = UnixEndpoint::parse(&format!("unix://{}", socket.display())).unwrap();
        let starting = IdentityConfig::new(endpoint);
        Self {
            identity: crate::world::within(Identity::start(&starting))
                .await
                .unwrap(),
            _served: served,
            _folder: folder,
        }
    }
}

/// Serves one response for ever.
struct Fixed(X509svidResponse);

type Never<T> = tokio_stream::Empty<Result<T, Status>>;

#[tonic::async_trait]
impl SpiffeWorkloadApi for Fixed {
    type FetchX509SVIDStream = std::pin::Pin<
        Box<dyn tokio_stream::Stream<Item = Result<X509svidResponse, Status>> + Send>,
    >;
    type FetchX509BundlesStream = Never<X509BundlesResponse>;
    type FetchJWTBundlesStream = Never<JwtBundlesResponse>;

    async fn fetch_x509svid(
        &self,
        _request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        let (open, never) = tokio::sync::mpsc::channel(1);
        let first = tokio_stream::once(Ok(self.0.clone()));
        let stream = first.chain(ReceiverStream::new(never)).map(move |item| {
            // Held by the stream, so that it stays open after its one item.
            let _open = &open;
            item
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn fetch_x509_bundles(
        &self,
        _request: Request<X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn fetch_jwtsvid(
        &self,
        _request: Request<JwtsvidRequest>,
    ) -> Result<Response<JwtsvidResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn fetch_jwt_bundles(
        &self,
        _request: Request<JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn validate_jwtsvid(
        &self,
        _request: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}
