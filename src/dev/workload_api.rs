//! The SPIFFE Workload API: a process asks for its own identities.

use super::jwt::Verified;
use super::now;
use super::pb::workload::spiffe_workload_api_server::SpiffeWorkloadApi;
use super::pb::workload::{
    JwtBundlesRequest, JwtBundlesResponse, Jwtsvid, JwtsvidRequest, JwtsvidResponse,
    ValidateJwtsvidRequest, ValidateJwtsvidResponse, X509BundlesRequest, X509BundlesResponse,
    X509svid, X509svidRequest, X509svidResponse,
};
use super::process::Pinned;
use super::registry::{Issued, Registry, State};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Header that every call must carry (SPIFFE Workload Endpoint §3).
const SECURITY_HEADER: &str = "workload.spiffe.io";

/// Serves the Workload API to processes pinned by the accept loop.
#[derive(Clone)]
pub(super) struct WorkloadApi {
    pub(super) registry: Arc<Registry>,
    pub(super) jwt_ttl: Duration,
}

/// A stream of answers, of either API.
pub(super) type Answers<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl SpiffeWorkloadApi for WorkloadApi {
    type FetchX509SVIDStream = Answers<X509svidResponse>;
    type FetchX509BundlesStream = Answers<X509BundlesResponse>;
    type FetchJWTBundlesStream = Answers<JwtBundlesResponse>;

    async fn fetch_x509svid(
        &self,
        request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(self.registry.follow(
            move |registry, state| {
                let svids = entitled(state, &caller)?
                    .iter()
                    .map(|issued| X509svid {
                        spiffe_id: issued.entry.spiffe_id.to_string(),
                        x509_svid: issued.svid.certificate.clone(),
                        x509_svid_key: issued.svid.key.to_vec(),
                        bundle: registry.authority.bundle().to_vec(),
                        hint: String::new(),
                    })
                    .collect();
                Ok(X509svidResponse {
                    svids,
                    crl: Vec::new(),
                    federated_bundles: HashMap::new(),
                })
            },
        )))
    }

    async fn fetch_x509_bundles(
        &self,
        request: Request<X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        let caller = caller(&request)?;
        let answer = |bundles| X509BundlesResponse {
            crl: Vec::new(),
            bundles,
        };
        let entitled = move |state: &State| entitled(state, &caller);
        Ok(bundles(&self.registry, entitled, Bundle::X509, answer))
    }

    async fn fetch_jwtsvid(
        &self,
        request: Request<JwtsvidRequest>,
    ) -> Result<Response<JwtsvidResponse>, Status> {
        let caller = caller(&request)?;
        let JwtsvidRequest {
            audience,
            spiffe_id,
        } = request.into_inner();
        require_audience(&audience)?;
        let issued = entitled(&self.registry.state(), &caller)?;
        let svids = asked_for(issued, &spiffe_id)?
            .into_iter()
            .map(|issued| {
                Ok(Jwtsvid {
                    svid: sign(&self.registry, &issued, &audience, self.jwt_ttl)?,
                    spiffe_id: issued.entry.spiffe_id.to_string(),
                    hint: String::new(),
                })
            })
            .collect::<Result<_, Status>>()?;
        Ok(Response::new(JwtsvidResponse { svids }))
    }

    async fn fetch_jwt_bundles(
        &self,
        request: Request<JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        let caller = caller(&request)?;
        let answer = |bundles| JwtBundlesResponse { bundles };
        let entitled = move |state: &State| entitled(state, &caller);
        Ok(bundles(&self.registry, entitled, Bundle::Jwt, answer))
    }

    async fn validate_jwtsvid(
        &self,
        request: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        let caller = caller(&request)?;
        entitled(&self.registry.state(), &caller)?;
        let ValidateJwtsvidRequest { audience, svid } = request.into_inner();
        require_audience(std::slice::from_ref(&audience))?;
        let Verified { spiffe_id, claims } = self
            .registry
            .authority
            .jwt
            .verify(&svid, &audience, now())
            .ok_or_else(|| Status::invalid_argument("token is not valid for this audience"))?;
        Ok(Response::new(ValidateJwtsvidResponse {
            spiffe_id: spiffe_id.to_string(),
            claims: Some(fields(claims)),
        }))
    }
}

/// The pinned process behind a call that carries the security header.
fn caller<T>(request: &Request<T>) -> Result<Arc<Pinned>, Status> {
    require_header(request, SECURITY_HEADER)?;
    request
        .extensions()
        .get::<Arc<Pinned>>()
        .cloned()
        .ok_or_else(|| Status::internal("connection without a pinned peer"))
}

/// The entries of a process; SPIRE's words where there are none.
fn entitled(state: &State, process: &Pinned) -> Result<Vec<Issued>, Status> {
    let facts = process
        .facts()
        .map_err(|error| Status::unavailable(format!("workload attestation failed: {error}")))?;
    let issued = state.matching(&facts);
    if issued.is_empty() {
        return Err(Status::permission_denied("no identity issued"));
    }
    Ok(issued)
}

pub(super) fn require_header<T>(request: &Request<T>, name: &'static str) -> Result<(), Status> {
    let present = request
        .metadata()
        .get(name)
        .map(tonic::metadata::MetadataValue::as_bytes);
    if present == Some(b"true") {
        Ok(())
    } else {
        Err(Status::invalid_argument(
            "security header missing from request",
        ))
    }
}

pub(super) fn require_audience(audience: &[String]) -> Result<(), Status> {
    if audience.is_empty() || audience.iter().any(String::is_empty) {
        return Err(Status::invalid_argument("audience must be specified"));
    }
    Ok(())
}

/// The one identity that was asked for, or all.
pub(super) fn asked_for(issued: Vec<Issued>, spiffe_id: &str) -> Result<Vec<Issued>, Status> {
    if spiffe_id.is_empty() {
        return Ok(issued);
    }
    let wanted = crate::domain::id::SpiffeId::new(spiffe_id)
        .map_err(|_malformed| Status::invalid_argument("invalid requested SPIFFE ID"))?;
    let found: Vec<_> = issued
        .into_iter()
        .filter(|issued| issued.entry.spiffe_id == wanted)
        .collect();
    if found.is_empty() {
        return Err(Status::permission_denied("no identity issued"));
    }
    Ok(found)
}

pub(super) fn sign(
    registry: &Registry,
    issued: &Issued,
    audience: &[String],
    ttl: Duration,
) -> Result<String, Status> {
    registry
        .authority
        .jwt
        .sign(&issued.entry.spiffe_id, audience, (now(), ttl))
        .map_err(|error| Status::internal(error.to_string()))
}

/// Which of the trust domain's bundles.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bundle {
    Jwt,
    X509,
}

/// Streams bundles by trust domain while the caller is entitled to any identity.
pub(super) fn bundles<T>(
    registry: &Arc<Registry>,
    entitled: impl Fn(&State) -> Result<Vec<Issued>, Status> + Send + 'static,
    bundle: Bundle,
    answer: impl Fn(HashMap<String, Vec<u8>>) -> T + Send + 'static,
) -> Response<Answers<T>>
where
    T: Clone + PartialEq + Send + Sync + 'static,
{
    Response::new(registry.follow(move |registry, state| {
        entitled(state)?;
        let authority = &registry.authority;
        let bundle = match bundle {
            Bundle::Jwt => authority.jwt.bundle(),
            Bundle::X509 => authority.bundle().to_vec(),
        };
        let domain = authority.trust_domain.id_string();
        Ok(answer(HashMap::from([(domain, bundle)])))
    }))
}

fn fields(claims: serde_json::Map<String, serde_json::Value>) -> prost_types::Struct {
    prost_types::Struct {
        fields: claims
            .into_iter()
            .map(|(name, value)| (name, claim(value)))
            .collect(),
    }
}

fn claim(value: serde_json::Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(flag) => Kind::BoolValue(flag),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(values) => Kind::ListValue(prost_types::ListValue {
            values: values.into_iter().map(claim).collect(),
        }),
        serde_json::Value::Object(object) => Kind::StructValue(fields(object)),
    };
    prost_types::Value { kind: Some(kind) }
}
