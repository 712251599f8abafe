//! Connections to the agent, by name: made at the first use and again after the agent has restarted.

use crate::answer::Failure;
use crate::ask;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UnixStream;
use tonic::Request;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::{Channel, Endpoint};

/// The longest that one request may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// All connections of this process.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<HashMap<(String, PathBuf), Channel>>>);

impl Connections {
    /// The connection that an operation names: `connection`, to `socket` or `HANDFAST_SOCKET`.
    pub(crate) fn channel(&self, op: &Value) -> Channel {
        let socket = match ask::text(op, "socket").as_str() {
            "" => std::env::var_os("HANDFAST_SOCKET")
                .map(PathBuf::from)
                .unwrap_or_default(),
            socket => PathBuf::from(socket),
        };
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (ask::text(op, "connection"), socket.clone());
        channels
            .entry(key)
            .or_insert_with(|| connect(socket))
            .clone()
    }
}

fn connect(socket: PathBuf) -> Channel {
    let connector = tower::service_fn(move |_uri: http::Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost")
        .timeout(PATIENCE)
        .connect_with_connector_lazy(connector)
}

/// A request with our mark, and with the `headers` of the operation on top.
pub(crate) fn request<T>(message: T, op: &Value) -> Result<Request<T>, Failure> {
    let mut request = Request::new(message);
    let mark = AsciiMetadataValue::from_static("true");
    request.metadata_mut().insert("handfast.io", mark);
    for (name, value) in op
        .get("headers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let name: AsciiMetadataKey = name.parse().map_err(Failure::of)?;
        let value = value.as_str().unwrap_or_default().parse();
        request
            .metadata_mut()
            .append(name, value.map_err(Failure::of)?);
    }
    Ok(request)
}
