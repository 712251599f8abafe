//! Stored form of grants, calls, roles and processes.

use super::{
    Row, RowError, array, constraint, digest, digest_bytes, digest_if, row, row_if, rows,
    spiffe_id, wire, wires,
};
use crate::domain::evidence::{ProcessKey, Required};
use crate::domain::grant::{AudienceAssurance, Grant, Permission, Risk, ToolCall};
use crate::domain::role::Role;
use crate::domain::time::Time;

impl Row for ProcessKey {
    type Wire = wire::ProcessKey;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            boot_id,
            pidfd_inode,
            pid,
            start_ticks,
        } = *self;
        wire::ProcessKey {
            boot_id: boot_id.to_vec(),
            pidfd_inode,
            pid,
            start_ticks,
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            boot_id: array(&wire.boot_id, "boot_id")?,
            pidfd_inode: wire.pidfd_inode,
            pid: wire.pid,
            start_ticks: wire.start_ticks,
        })
    }
}

impl Row for Required {
    type Wire = wire::Required;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            uid,
            cgroup,
            executable,
            release,
            process,
        } = self;
        wire::Required {
            uid: *uid,
            cgroup: cgroup.clone(),
            executable: digest_bytes(*executable),
            release: release.clone(),
            process: process.as_ref().map(Row::to_wire),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            uid: wire.uid,
            cgroup: wire.cgroup,
            executable: digest_if(wire.executable.as_deref(), "executable")?,
            release: wire.release,
            process: row_if(wire.process)?,
        })
    }
}

impl Row for Role {
    type Wire = wire::Role;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            spiffe_id,
            required,
        } = self;
        wire::Role {
            spiffe_id: spiffe_id.to_string(),
            required: Some(required.to_wire()),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            spiffe_id: spiffe_id(&wire.spiffe_id, "spiffe_id")?,
            required: row(wire.required, "required")?,
        })
    }
}

impl Row for ToolCall {
    type Wire = wire::ToolCall;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            audience,
            tool,
            arguments,
            definition,
        } = self;
        wire::ToolCall {
            audience: audience.to_string(),
            tool: tool.clone(),
            arguments: arguments.0.to_vec(),
            definition: digest_bytes(*definition),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            audience: spiffe_id(&wire.audience, "audience")?,
            tool: wire.tool,
            arguments: digest(&wire.arguments, "arguments")?,
            definition: digest_if(wire.definition.as_deref(), "definition")?,
        })
    }
}

impl Row for Permission {
    type Wire = wire::Permission;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            audience,
            tool,
            arguments,
        } = self;
        let mut wire = wire::Permission {
            audience: audience.to_string(),
            tool: tool.clone(),
            ..wire::Permission::default()
        };
        constraint::put(arguments, &mut wire);
        wire
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            audience: spiffe_id(&wire.audience, "audience")?,
            tool: wire.tool,
            arguments: constraint::of(wire.exact, wire.one_of, wire.members)?,
        })
    }
}

impl Row for Grant {
    type Wire = wire::Grant;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            permissions,
            not_after,
            audience_assurance,
            depth_left,
            children_left,
            uses_left,
            risk_ceiling,
        } = self;
        wire::Grant {
            permissions: wires(permissions),
            not_after: not_after.map(|end| end.0),
            audience_assurance: match audience_assurance {
                AudienceAssurance::Process => 1,
                AudienceAssurance::Svid => 2,
            },
            depth_left: *depth_left,
            children_left: *children_left,
            uses_left: *uses_left,
            risk_ceiling: match risk_ceiling {
                Risk::Low => 1,
                Risk::Medium => 2,
                Risk::High => 3,
                Risk::Critical => 4,
            },
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            permissions: rows(wire.permissions)?,
            not_after: wire.not_after.map(Time),
            audience_assurance: match wire.audience_assurance {
                1 => AudienceAssurance::Process,
                2 => AudienceAssurance::Svid,
                _ => return Err(RowError::Field("audience_assurance")),
            },
            depth_left: wire.depth_left,
            children_left: wire.children_left,
            uses_left: wire.uses_left,
            risk_ceiling: match wire.risk_ceiling {
                1 => Risk::Low,
                2 => Risk::Medium,
                3 => Risk::High,
                4 => Risk::Critical,
                _ => return Err(RowError::Field("risk_ceiling")),
            },
        })
    }
}
