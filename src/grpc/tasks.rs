//! `Tasks`: what an MCP server does with its task.

use super::convert::{self, FinishAsk};
use super::routes::{Api, caller, reply};
use super::status;
use super::watch::{Watched, closing};
use crate::proto::v1;
use crate::service::{Failure, ServerView};
use std::sync::Arc;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::tasks_server::Tasks for Api {
    type WatchStream = Watched<ServerView, v1::TaskEvent>;

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

    async fn require_input(
        &self,
        request: Request<v1::RequireInputRequest>,
    ) -> Result<Response<v1::RequireInputResponse>, Status> {
        reply(self.wait_for_input(request).await)
    }

    async fn watch(
        &self,
        request: Request<v1::WatchTaskRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watched = self.watch_task(request).await;
        Ok(Response::new(watched.map_err(status::of)?))
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
    async fn wait_for_input(
        &self,
        request: Request<v1::RequireInputRequest>,
    ) -> Result<v1::RequireInputResponse, Failure> {
        let (peer, message) = caller(request)?;
        let ask = self.forms.input(message)?;
        let (state, decision_id) = self.continuation.require_input(&peer, ask).await?;
        Ok(v1::RequireInputResponse {
            state: convert::task_state(state),
            decision_id,
        })
    }

    async fn watch_task(
        &self,
        request: Request<v1::WatchTaskRequest>,
    ) -> Result<Watched<ServerView, v1::TaskEvent>, Failure> {
        let closing = closing(&request);
        let (peer, message) = caller(request)?;
        let task = convert::task(&message.task_id)?;
        let events = self.continuation.watch_task(&peer, task).await?;
        let clock = Arc::clone(&self.clock);
        Ok(Watched::new(events, closing, move |view| v1::TaskEvent {
            state: convert::task_state(view.state),
            inputs: convert::inputs(&view.inputs),
            at_ms: convert::at_ms(clock.now().unwrap_or_default()),
        }))
    }
}
