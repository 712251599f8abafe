//! The SPIFFE Broker API: a listed broker asks for the identities of another process.

use super::pb::broker::api_server::Api;
use super::pb::broker::{
    FetchJwtsvidRequest, FetchJwtsvidResponse, Jwtsvid, SubscribeToJwtBundlesRequest,
    SubscribeToJwtBundlesResponse, SubscribeToX509BundlesRequest, SubscribeToX509BundlesResponse,
    SubscribeToX509svidRequest, SubscribeToX509svidResponse, WorkloadPidReference,
    WorkloadReference, X509svid,
};
use super::process::Pinned;
use super::registry::{Issued, Registry, State};
use super::workload_api::{
    Answers, Bundle, asked_for, bundles, require_audience, require_header, sign,
};
use crate::domain::id::SpiffeId;
use prost::Message as _;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Header that every call must carry (SPIFFE Broker Endpoint).
const SECURITY_HEADER: &str = "broker.spiffe.io";

/// The one reference type that a provider without Kubernetes can follow.
const PID_REFERENCE: &str = "type.googleapis.com/spiffe.broker.WorkloadPIDReference";

/// The SPIFFE ID of the client certificate of a connection.
#[derive(Clone, Debug)]
pub(super) struct BrokerId(pub(super) SpiffeId);

/// Serves the Broker API to clients that the accept loop has verified by mutual TLS.
#[derive(Clone)]
pub(super) struct BrokerApi {
    pub(super) registry: Arc<Registry>,
    pub(super) jwt_ttl: Duration,
}

#[tonic::async_trait]
impl Api for BrokerApi {
    type SubscribeToX509SVIDStream = Answers<SubscribeToX509svidResponse>;
    type SubscribeToX509BundlesStream = Answers<SubscribeToX509BundlesResponse>;
    type SubscribeToJWTBundlesStream = Answers<SubscribeToJwtBundlesResponse>;

    async fn subscribe_to_x509svid(
        &self,
        request: Request<SubscribeToX509svidRequest>,
    ) -> Result<Response<Self::SubscribeToX509SVIDStream>, Status> {
        let broker = broker(&request)?;
        let workload = referenced(request.into_inner().reference)?;
        Ok(Response::new(self.registry.follow(
            move |registry, state| {
                // An empty list, not an error, where nothing matches: so SPIRE answers here.
                let svids = issued_to(state, &broker, &workload)?
                    .iter()
                    .map(|issued| X509svid {
                        spiffe_id: issued.entry.spiffe_id.to_string(),
                        x509_svid: issued.svid.certificate.clone(),
                        x509_svid_key: issued.svid.key.to_vec(),
                        bundle: registry.authority.bundle().to_vec(),
                        hint: String::new(),
                    })
                    .collect();
                Ok(SubscribeToX509svidResponse {
                    svids,
                    crl: Vec::new(),
                    federated_bundles: HashMap::new(),
                })
            },
        )))
    }

    async fn subscribe_to_x509_bundles(
        &self,
        request: Request<SubscribeToX509BundlesRequest>,
    ) -> Result<Response<Self::SubscribeToX509BundlesStream>, Status> {
        let broker = broker(&request)?;
        let workload = referenced(request.into_inner().reference)?;
        let answer = |bundles| SubscribeToX509BundlesResponse {
            crl: Vec::new(),
            bundles,
        };
        let entitled = move |state: &State| entitled(issued_to(state, &broker, &workload)?);
        Ok(bundles(&self.registry, entitled, Bundle::X509, answer))
    }

    async fn fetch_jwtsvid(
        &self,
        request: Request<FetchJwtsvidRequest>,
    ) -> Result<Response<FetchJwtsvidResponse>, Status> {
        let broker = broker(&request)?;
        let FetchJwtsvidRequest {
            reference,
            audience,
            spiffe_id,
        } = request.into_inner();
        require_audience(&audience)?;
        let workload = referenced(reference)?;
        let issued = entitled(issued_to(&self.registry.state(), &broker, &workload)?)?;
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
        Ok(Response::new(FetchJwtsvidResponse { svids }))
    }

    async fn subscribe_to_jwt_bundles(
        &self,
        request: Request<SubscribeToJwtBundlesRequest>,
    ) -> Result<Response<Self::SubscribeToJWTBundlesStream>, Status> {
        let broker = broker(&request)?;
        let workload = referenced(request.into_inner().reference)?;
        let answer = |bundles| SubscribeToJwtBundlesResponse { bundles };
        let entitled = move |state: &State| entitled(issued_to(state, &broker, &workload)?);
        Ok(bundles(&self.registry, entitled, Bundle::Jwt, answer))
    }
}

/// The broker behind a call that carries the security header. Whether it is listed is asked with
/// each answer.
fn broker<T>(request: &Request<T>) -> Result<BrokerId, Status> {
    require_header(request, SECURITY_HEADER)?;
    request
        .extensions()
        .get::<BrokerId>()
        .cloned()
        .ok_or_else(|| Status::internal("connection without a verified client"))
}

fn require_listed(state: &State, BrokerId(spiffe_id): &BrokerId) -> Result<(), Status> {
    if state.is_broker(spiffe_id) {
        return Ok(());
    }
    Err(Status::permission_denied(format!(
        "broker `{spiffe_id}` is not authorized"
    )))
}

/// Pins the process that a request refers to.
fn referenced(reference: Option<WorkloadReference>) -> Result<Arc<Pinned>, Status> {
    let invalid = |message| refused(Code::InvalidArgument, "WORKLOAD_REFERENCE_INVALID", message);
    let any = reference
        .and_then(|outer| outer.reference)
        .ok_or_else(|| invalid("workload reference is missing"))?;
    if any.type_url != PID_REFERENCE {
        return Err(invalid("workload reference is not a process ID"));
    }
    let WorkloadPidReference { pid } = WorkloadPidReference::decode(any.value.as_slice())
        .map_err(|_malformed| invalid("workload reference cannot be decoded"))?;
    if pid <= 0 {
        return Err(invalid("process ID is not positive"));
    }
    Pinned::open(pid).map(Arc::new).map_err(|_gone| not_found())
}

fn issued_to(state: &State, broker: &BrokerId, workload: &Pinned) -> Result<Vec<Issued>, Status> {
    require_listed(state, broker)?;
    let facts = workload.facts().map_err(|_gone| not_found())?;
    Ok(state.matching(&facts))
}

fn entitled(issued: Vec<Issued>) -> Result<Vec<Issued>, Status> {
    if issued.is_empty() {
        let reason = "WORKLOAD_NOT_ENTITLED";
        return Err(refused(
            Code::PermissionDenied,
            reason,
            "no identity issued",
        ));
    }
    Ok(issued)
}

fn not_found() -> Status {
    refused(
        Code::NotFound,
        "WORKLOAD_NOT_FOUND",
        "process does not exist",
    )
}

/// A refusal in the form of Broker API §5.
fn refused(code: Code, reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "spiffe.io", HashMap::new());
    Status::with_error_details(code, message, details)
}
