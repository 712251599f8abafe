//! Where SPIFFE endpoints listen: Unix sockets on this node and nothing else.
//!
//! SPIFFE also knows `tcp:` endpoints. A Workload API over TCP cannot see who calls, and a process
//! ID must not leave its node (Broker API §3.1.2), so they are refused when they are configured.

use std::fmt;
use std::path::{Path, PathBuf};

/// Longest path that fits a Unix socket address, in bytes.
const PATH_LEN_MAX: usize = 107;

/// An absolute socket path, written `unix:///path` or `unix:/path` as SPIFFE endpoints are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixEndpoint(PathBuf);

/// Why an endpoint was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// A character that a URI would have to escape, so that two readers could disagree about the
    /// path.
    #[error("socket path contains a space, `%`, `?`, `#` or a control character")]
    Character,
    /// Another transport.
    #[error("endpoint is not `unix:///absolute/path`: only Unix sockets of this node are used")]
    Scheme,
    /// The path does not fit a socket address.
    #[error("socket path is longer than {PATH_LEN_MAX} bytes")]
    TooLong,
}

impl UnixEndpoint {
    /// Parses an endpoint in the form of `SPIFFE_ENDPOINT_SOCKET`.
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let path = text
            .strip_prefix("unix://")
            .or_else(|| text.strip_prefix("unix:"))
            .filter(|path| path.starts_with('/') && !path.starts_with("//") && path.len() > 1)
            .ok_or(EndpointError::Scheme)?;
        if path
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || matches!(c, '%' | '?' | '#'))
        {
            return Err(EndpointError::Character);
        }
        if path.len() > PATH_LEN_MAX {
            return Err(EndpointError::TooLong);
        }
        Ok(Self(path.into()))
    }

    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for UnixEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_unix_paths_are_endpoints() {
        let longest_path = format!("/{}", "a".repeat(PATH_LEN_MAX - 1));
        let longest = format!("unix://{longest_path}");
        let too_long = format!("{longest}a");
        for (text, expected) in [
            ("unix:///run/api.sock", Ok("/run/api.sock")),
            ("unix:/run/api.sock", Ok("/run/api.sock")),
            (longest.as_str(), Ok(longest_path.as_str())),
            (too_long.as_str(), Err(EndpointError::TooLong)),
            ("unix:///run/a%20b", Err(EndpointError::Character)),
            ("unix:///run/a?b", Err(EndpointError::Character)),
            ("unix:///run/a b", Err(EndpointError::Character)),
            ("unix://host/run/api.sock", Err(EndpointError::Scheme)),
            ("unix:////run", Err(EndpointError::Scheme)),
            ("unix:///", Err(EndpointError::Scheme)),
            ("unix:run/api.sock", Err(EndpointError::Scheme)),
            ("tcp://127.0.0.1:8081", Err(EndpointError::Scheme)),
            ("/run/api.sock", Err(EndpointError::Scheme)),
            ("", Err(EndpointError::Scheme)),
        ] {
            let parsed = UnixEndpoint::parse(text);
            let path = parsed
                .as_ref()
                .map(|endpoint| endpoint.path().to_str().unwrap());
            assert_eq!(path, expected.as_ref().copied(), "{text}");
        }
    }
}
