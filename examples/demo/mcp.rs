//! An MCP client on rmcp over mutual TLS: it shows one hand, and puts a token of its own on each request.

use crate::Error;
use handfast::client::{self, HANDFAST_TOKEN, Hand, Token};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::SendRequest;
use rmcp::RoleClient;
use rmcp::model::{
    ClientCapabilities, ClientConfig, ClientJsonRpcMessage, GetExtensions, Implementation,
    ProtocolVersion,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpClientTransportConfig, StreamableHttpError,
    StreamableHttpPostResponse,
};
use spiffe::{SpiffeId, X509Source};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use tokio_stream::Stream;

const JSON: &str = "application/json";

/// A running MCP client.
pub(crate) type Client = RunningService<RoleClient, ClientConfig>;

/// Opens a connection to a server of the demo, which is verified by its SPIFFE ID.
pub(crate) async fn connect(
    source: X509Source,
    server: &SpiffeId,
    port: u16,
    hand: &Hand,
) -> Result<SendRequest<Full<Bytes>>, Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Ok(client::http::connect(source, server, address, hand).await?)
}

/// Starts an MCP session over a connection, for a user with this access token.
pub(crate) async fn start(
    connection: SendRequest<Full<Bytes>>,
    uri: &str,
    access_token: &str,
) -> Result<Client, Error> {
    let mut config = StreamableHttpClientTransportConfig::with_uri(uri.to_owned());
    config.auth_header = Some(access_token.to_owned());
    let transport = StreamableHttpClientTransport::with_client(Http(connection), config);
    let capabilities = ClientCapabilities::builder().enable_tasks().build();
    let client = ClientConfig::new(capabilities, Implementation::new("assistant", "1"));
    let lifecycle = ClientLifecycleMode::Discover {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
    };
    Ok(client.serve_with_lifecycle(transport, lifecycle).await?)
}

/// rmcp's transport over a connection of ours.
#[derive(Clone)]
struct Http(SendRequest<Full<Bytes>>);

type Answer<T> = Result<T, StreamableHttpError<hyper::Error>>;

impl StreamableHttpClient for Http {
    type Error = hyper::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        _session: Option<Arc<str>>,
        access_token: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Answer<StreamableHttpPostResponse> {
        let token = match &message {
            ClientJsonRpcMessage::Request(request) => {
                request.request.extensions().get::<Token>().cloned()
            }
            _ => None,
        };
        let mut request = http::Request::post(uri.as_ref())
            .header(ACCEPT, "application/json, text/event-stream")
            .header(CONTENT_TYPE, JSON)
            .body(Full::new(serde_json::to_vec(&message)?.into()))
            .map_err(std::io::Error::other)?;
        request.headers_mut().extend(headers);
        if let Some(token) = token {
            let value = token.header_value().map_err(std::io::Error::other)?;
            request.headers_mut().insert(HANDFAST_TOKEN, value);
        }
        if let Some(token) = access_token {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {token}")).map_err(std::io::Error::other)?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let sent = self.0.clone().send_request(request).await;
        let response = sent.map_err(StreamableHttpError::Client)?;
        let status = response.status();
        let body = response.into_body().collect().await;
        let body = body.map_err(StreamableHttpError::Client)?.to_bytes();
        if status == http::StatusCode::ACCEPTED || body.is_empty() {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let answer = serde_json::from_slice(&body)?;
        Ok(StreamableHttpPostResponse::Json(answer, None))
    }

    async fn delete_session(
        &self,
        _uri: Arc<str>,
        _session: Arc<str>,
        _access_token: Option<String>,
        _headers: HashMap<HeaderName, HeaderValue>,
    ) -> Answer<()> {
        Ok(())
    }

    async fn get_stream(
        &self,
        _uri: Arc<str>,
        _session: Option<Arc<str>>,
        _last: Option<String>,
        _access_token: Option<String>,
        _headers: HashMap<HeaderName, HeaderValue>,
    ) -> Answer<Pin<Box<dyn Stream<Item = Result<sse_stream::Sse, SseError>> + Send>>> {
        Err(StreamableHttpError::ServerDoesNotSupportSse)
    }
}
