//! Calls and grants as a workload states them: arguments as JSON, names in full.
//!
//! Names `proto` and `canonical`. The one thing to know: arguments are checked here and sent as they are;
//! the agent makes the digest, so that nobody's own idea of canonical JSON matters.

use super::error::ClientError;
use crate::canonical::{self, Limits};
use crate::domain::id::Digest;
use crate::proto::v1 as proto;

/// One call of one tool.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolCall {
    audience: String,
    tool: String,
    arguments: Vec<u8>,
    definition: Option<Digest>,
}

/// Without the arguments.
impl std::fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolCall")
            .field("audience", &self.audience)
            .field("tool", &self.tool)
            .finish_non_exhaustive()
    }
}

impl ToolCall {
    /// A call of `tool` at `audience` (a SPIFFE ID, or a URL that the agent's configuration maps) with these
    /// JSON arguments; `{}` for none.
    ///
    /// # Errors
    /// [`ClientError::Arguments`]: not JSON, a member twice, a number that a double cannot hold.
    pub fn new(
        audience: impl Into<String>,
        tool: impl Into<String>,
        arguments: impl Into<Vec<u8>>,
    ) -> Result<Self, ClientError> {
        let arguments = arguments.into();
        canonical::parse(&arguments, &Limits::default())?;
        Ok(Self {
            audience: audience.into(),
            tool: tool.into(),
            arguments,
            definition: None,
        })
    }

    /// Binds the call to the tool's definition: its object in the answer to `tools/list`, as JSON.
    ///
    /// # Errors
    /// [`ClientError::Arguments`]: not a JSON object that can be digested.
    pub fn defined_by(mut self, tools_list_object: &[u8]) -> Result<Self, ClientError> {
        let digest = canonical::tool_definition_digest(tools_list_object, &Limits::default())?;
        self.definition = Some(digest);
        Ok(self)
    }

    /// The audience as given.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The tool's name.
    #[must_use]
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// The arguments as given.
    #[must_use]
    pub fn arguments(&self) -> &[u8] {
        &self.arguments
    }

    pub(super) fn into_proto(self) -> proto::ToolCall {
        proto::ToolCall {
            audience: self.audience,
            tool: self.tool,
            arguments: self.arguments,
            tool_definition_s256: self
                .definition
                .map(|s256| s256.0.to_vec())
                .unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientError, ToolCall};

    #[test]
    fn arguments_that_cannot_be_digested_are_refused_before_they_are_sent() {
        for arguments in ["", "{", "{\"a\":1,\"a\":2}", "9007199254740993", "[1e400]"] {
            let refused = ToolCall::new("spiffe://demo.test/tool", "export", arguments);
            assert!(
                matches!(refused, Err(ClientError::Arguments(_))),
                "{arguments}"
            );
        }
        ToolCall::new("spiffe://demo.test/tool", "export", "{ \"a\": 1 }").expect("a call");
    }
}
