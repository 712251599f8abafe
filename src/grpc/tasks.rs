//! `Tasks`: what an MCP server does with its task.

use super::convert::{self, FinishAsk};
use super::routes::{Api, caller, reply};
use crate::proto::v1;
use crate::service::Failure;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::tasks_server::Tasks for Api {
    async fn create(
        &self,
        request: Request<v1::CreateRequest>,
    ) -> Result<Response<v1::CreateResponse>, Status> {
        reply(self.create_task(request).await)
    }

    async fn finish(
        &self,
        request: Request<v1::FinishRequest>,
    ) -> Result<Response<v1::FinishResponse>, Status> {
        reply(self.finish_task(request).await)
    }

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetResponse>, Status> {
        reply(self.show_to_server(request).await)
    }
}

impl Api {
    async fn create_task(
        &self,
        request: Request<v1::CreateRequest>,
    ) -> Result<v1::CreateResponse, Failure> {
        let (peer, message) = caller(request)?;
        let ask = self.forms.create(message)?;
        let task = self.continuation.create(&peer, ask).await?;
        Ok(convert::registered(&task))
    }

    async fn finish_task(
        &self,
        request: Request<v1::FinishRequest>,
    ) -> Result<v1::FinishResponse, Failure> {
        let (peer, message) = caller(request)?;
        let FinishAsk {
            task,
            ending,
            leg_fence,
        } = self.forms.finish(message)?;
        let service = &self.continuation;
        let (state, decision_id) = service.finish(&peer, task, ending, leg_fence).await?;
        Ok(v1::FinishResponse {
            state: convert::task_state(state),
            decision_id,
        })
    }

    async fn show_to_server(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<v1::GetResponse, Failure> {
        let (peer, message) = caller(request)?;
        let task = convert::task(&message.task_id)?;
        Ok(convert::server_view(
            self.continuation.get(&peer, task).await?,
        ))
    }
}
