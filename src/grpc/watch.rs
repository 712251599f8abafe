//! Streams that tell a watcher what is new.

use super::serve::Closing;
use super::status;
use crate::service::WatchStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_stream::Stream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Request, Status};

/// The replies of a `Watch` method: events of the service, each as a message.
#[derive(Debug)]
pub struct Watched<E, M> {
    events: WatchStream<E>,
    message: Message<E, M>,
    /// The connection shall go away: the stream ends, and its watcher opens another elsewhere.
    closing: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

/// Turns an event into a message.
struct Message<E, M>(Box<dyn Fn(E) -> M + Send>);

impl<E, M> std::fmt::Debug for Message<E, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message(…)")
    }
}

/// What closes the streams of the connection that a request came on.
pub(super) fn closing<T>(request: &Request<T>) -> Option<Closing> {
    request.extensions().get::<Closing>().cloned()
}

impl<E, M> Watched<E, M> {
    pub(super) fn new(
        events: WatchStream<E>,
        closing: Option<Closing>,
        message: impl Fn(E) -> M + Send + 'static,
    ) -> Self {
        Self {
            events,
            message: Message(Box::new(message)),
            closing: closing.map(|Closing(token)| Box::pin(token.cancelled_owned())),
        }
    }
}

impl<E: Send + 'static, M> Stream for Watched<E, M> {
    type Item = Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.events.poll_next(cx) {
            Poll::Ready(Some(Ok(event))) => Poll::Ready(Some(Ok((self.message.0)(event)))),
            Poll::Ready(Some(Err(failure))) => Poll::Ready(Some(Err(status::of(failure)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match &mut self.closing {
                Some(closing) => closing.as_mut().poll(cx).map(|()| None),
                None => Poll::Pending,
            },
        }
    }
}
