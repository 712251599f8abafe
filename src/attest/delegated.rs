//! SPIRE's Delegated Identity API: for SPIRE agents before 1.15.2, which have no Broker API.
//!
//! It gives this agent more power than it needs (keys of every workload on the node), so it is an
//! opt-in. Only process numbers are ever sent, never selectors, which would let this agent make up
//! the evidence.

use super::directory::{DirectoryConfig, unavailable};
use crate::domain::id::SpiffeId;
use crate::service::ports::{BoxFuture, DirectoryError, ProcessDirectory};
use hyper_util::rt::TokioIo;
use spire_api::pb::spire::api::agent::delegatedidentity::v1::delegated_identity_client::DelegatedIdentityClient;
use spire_api::pb::spire::api::agent::delegatedidentity::v1::{
    FetchJwtsviDsRequest, FetchJwtsviDsResponse,
};
use std::path::PathBuf;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};
use zeroize::Zeroize as _;

/// Asks the admin socket of a SPIRE agent by process number.
#[derive(Clone, Debug)]
pub struct DelegatedDirectory {
    channel: Channel,
    config: DirectoryConfig,
}

impl DelegatedDirectory {
    /// Uses the admin socket at this path; connects when it is used and again after a failure.
    ///
    /// Call it within a Tokio runtime.
    #[must_use]
    pub fn new(admin_socket: PathBuf, config: DirectoryConfig) -> Self {
        // The address is never resolved: the connector knows the socket.
        let channel = Endpoint::from_static("http://delegated.invalid")
            .connect_with_connector_lazy(tower::service_fn(move |_address: Uri| {
                let path = admin_socket.clone();
                async move {
                    let stream = tokio::net::UnixStream::connect(path).await?;
                    Ok::<_, std::io::Error>(TokioIo::new(stream))
                }
            }));
        Self { channel, config }
    }

    async fn ask(&self, pid: i32) -> Result<Vec<SpiffeId>, DirectoryError> {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        match self.ask_once(pid).await {
            // When this agent's own entry is gone, SPIRE refuses it in the words that it has for a process
            // without an entry. Only who is known itself hears about others.
            Err(DirectoryError::NotEntitled) if pid != own => match self.ask_once(own).await {
                Ok(_known) => Err(DirectoryError::NotEntitled),
                Err(_unknown) => Err(unavailable("SPIRE does not know this agent")),
            },
            answer => answer,
        }
    }

    async fn ask_once(&self, pid: i32) -> Result<Vec<SpiffeId>, DirectoryError> {
        let answer = self.config.answer(pid, || self.fetch(pid)).await?;
        let mut svids = answer.svids;
        // Only the names are wanted: the answer over this socket is the evidence, the tokens are
        // credentials.
        for svid in &mut svids {
            svid.token.zeroize();
        }
        self.config.identities(svids.into_iter().map(|svid| {
            let id = svid.id.unwrap_or_default();
            format!("spiffe://{}{}", id.trust_domain, id.path)
        }))
    }

    async fn fetch(&self, pid: i32) -> Result<FetchJwtsviDsResponse, Status> {
        let mut request = Request::new(FetchJwtsviDsRequest {
            audience: vec![self.config.audience.clone()],
            selectors: Vec::new(),
            pid,
        });
        request.set_timeout(self.config.deadline);
        DelegatedIdentityClient::new(self.channel.clone())
            .max_decoding_message_size(self.config.answer_bytes_max)
            .fetch_jwtsvi_ds(request)
            .await
            .map(tonic::Response::into_inner)
    }
}

impl ProcessDirectory for DelegatedDirectory {
    fn spiffe_ids(&self, pid: i32) -> BoxFuture<'_, Result<Vec<SpiffeId>, DirectoryError>> {
        Box::pin(self.ask(pid))
    }

    fn deadline(&self) -> Duration {
        self.config.deadline
    }
}
