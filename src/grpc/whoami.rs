//! `Self`: who a local caller is.

use super::convert;
use super::routes::{Api, caller, reply};
use crate::proto::v1;
use crate::service::Failure;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::self__server::Self_ for Api {
    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        reply(self.who(request).await)
    }
}

impl Api {
    async fn who(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<v1::WhoAmIResponse, Failure> {
        let (peer, _message) = caller(request)?;
        let who = self.continuation.who_am_i(&peer).await?;
        Ok(convert::who_am_i(who))
    }
}
