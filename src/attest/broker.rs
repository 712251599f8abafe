//! SPIFFE Broker API: the standard way to ask who a process is, and the default.

use super::directory::DirectoryConfig;
use crate::domain::id::SpiffeId;
use crate::service::ports::{BoxFuture, DirectoryError, ProcessDirectory};
use spiffe::broker_api::SecurityHeader;
use spiffe::broker_api::pb::spiffe::broker::api_client::ApiClient;
use spiffe::broker_api::pb::spiffe::broker::{
    FetchJwtsvidRequest, FetchJwtsvidResponse, WorkloadPidReference,
};
use std::time::Duration;
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::{Request, Status};
use zeroize::Zeroize as _;

/// Asks the Broker API by process number, for JWT-SVIDs: unlike X.509-SVIDs they bring no private
/// key along.
#[derive(Clone, Debug)]
pub struct BrokerDirectory {
    channel: watch::Receiver<Channel>,
    config: DirectoryConfig,
}

impl BrokerDirectory {
    /// Uses the present channel of `channel` for each question. It must have verified the
    /// provider's SPIFFE ID and must lead to a provider on this node: a process number means
    /// nothing elsewhere (Broker API §3.1.2).
    #[must_use]
    pub fn new(channel: watch::Receiver<Channel>, config: DirectoryConfig) -> Self {
        Self { channel, config }
    }

    async fn ask(&self, pid: i32) -> Result<Vec<SpiffeId>, DirectoryError> {
        let answer = self.config.answer(pid, || self.fetch(pid)).await?;
        let mut svids = answer.svids;
        // Only the names are wanted: the answer over this channel is the evidence, the tokens are
        // credentials.
        for svid in &mut svids {
            svid.svid.zeroize();
        }
        self.config
            .identities(svids.into_iter().map(|svid| svid.spiffe_id))
    }

    async fn fetch(&self, pid: i32) -> Result<FetchJwtsvidResponse, Status> {
        let channel = self.channel.borrow().clone();
        let mut request = Request::new(FetchJwtsvidRequest {
            reference: Some(WorkloadPidReference { pid }.into()),
            audience: vec![self.config.audience.clone()],
            spiffe_id: String::new(),
        });
        request.set_timeout(self.config.deadline);
        ApiClient::with_interceptor(channel, SecurityHeader::new())
            .max_decoding_message_size(self.config.answer_bytes_max)
            .fetch_jwtsvid(request)
            .await
            .map(tonic::Response::into_inner)
    }
}

impl ProcessDirectory for BrokerDirectory {
    fn spiffe_ids(&self, pid: i32) -> BoxFuture<'_, Result<Vec<SpiffeId>, DirectoryError>> {
        Box::pin(self.ask(pid))
    }

    fn deadline(&self) -> Duration {
        self.config.deadline
    }
}
