//! Stored form of what is revoked, and of what commits ended.

use super::{Row, RowError, due, spiffe_id, task, task_id};
use crate::domain::id::Epoch;
use crate::domain::revocation::{Cut, Ended, Ending, Revocations, RevokedId, Wide};
use crate::domain::time::Time;

impl Row for Revocations {
    type Wire = stored::Revocations;

    fn to_wire(&self) -> Self::Wire {
        let Self {
            sequence,
            cuts,
            epochs,
            ids,
        } = self;
        stored::Revocations {
            sequence: *sequence,
            cuts: cuts.iter().copied().map(stored_cut).collect(),
            epochs: epochs.0,
            ids: ids
                .iter()
                .map(|(id, RevokedId { since, at, lifted })| stored::RevokedId {
                    since: since.0,
                    spiffe_id: id.to_string(),
                    at: at.0,
                    lifted: *lifted,
                })
                .collect(),
        }
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        Ok(Self {
            sequence: wire.sequence,
            cuts: wire.cuts.into_iter().map(cut).collect(),
            epochs: Epoch(wire.epochs),
            ids: wire
                .ids
                .into_iter()
                .map(|id| {
                    let revoked = RevokedId {
                        since: Time(id.since),
                        at: Time(id.at),
                        lifted: id.lifted,
                    };
                    Ok((spiffe_id(&id.spiffe_id, "ids")?, revoked))
                })
                .collect::<Result<_, RowError>>()?,
        })
    }
}

fn stored_cut(Cut { before, at }: Cut) -> stored::Cut {
    stored::Cut {
        before: before.0,
        at: at.0,
    }
}

fn cut(stored::Cut { before, at }: stored::Cut) -> Cut {
    Cut {
        before: Time(before),
        at: Time(at),
    }
}

impl Row for Ending {
    type Wire = stored::Ending;

    fn to_wire(&self) -> Self::Wire {
        let Self { at, ended } = self;
        let mut wire = stored::Ending {
            at: at.0,
            ..stored::Ending::default()
        };
        match ended {
            Ended::Task(id, state) => {
                wire.task = Some(id.0.to_vec());
                wire.state = task::state_number(*state);
            }
            Ended::Wide(Wide::Before(time)) => wire.before = Some(time.0),
            Ended::Wide(Wide::Epoch(epoch)) => wire.epoch = Some(epoch.0),
            Ended::Wide(Wide::SpiffeId(id)) => wire.spiffe_id = Some(id.to_string()),
        }
        wire
    }

    fn from_wire(wire: Self::Wire) -> Result<Self, RowError> {
        let ended = match wire.task {
            Some(id) => Ended::Task(task_id(&id, "task")?, task::state(wire.state)?),
            None => Ended::Wide(due(
                match (wire.before, wire.epoch, wire.spiffe_id) {
                    (Some(time), None, None) => Some(Wide::Before(Time(time))),
                    (None, Some(epoch), None) => Some(Wide::Epoch(Epoch(epoch))),
                    (None, None, Some(id)) => Some(Wide::SpiffeId(spiffe_id(&id, "spiffe_id")?)),
                    _ => None,
                },
                "scope",
            )?),
        };
        Ok(Self {
            at: Time(wire.at),
            ended,
        })
    }
}

/// The messages. Here and not with the others, for there are many of those.
mod stored {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct RevokedId {
        #[prost(string, tag = "1")]
        pub spiffe_id: String,
        #[prost(uint64, tag = "2")]
        pub at: u64,
        #[prost(bool, tag = "3")]
        pub lifted: bool,
        #[prost(uint64, tag = "4")]
        pub since: u64,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(crate) struct Cut {
        #[prost(uint64, tag = "1")]
        pub before: u64,
        #[prost(uint64, tag = "2")]
        pub at: u64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Revocations {
        #[prost(uint64, tag = "1")]
        pub sequence: u64,
        #[prost(message, repeated, tag = "2")]
        pub cuts: Vec<Cut>,
        #[prost(uint64, tag = "3")]
        pub epochs: u64,
        #[prost(message, repeated, tag = "4")]
        pub ids: Vec<RevokedId>,
    }

    /// A task and its state, else exactly one of the others: a scope.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Ending {
        #[prost(uint64, tag = "1")]
        pub at: u64,
        #[prost(bytes = "vec", optional, tag = "2")]
        pub task: Option<Vec<u8>>,
        #[prost(int32, tag = "3")]
        pub state: i32,
        #[prost(uint64, optional, tag = "4")]
        pub before: Option<u64>,
        #[prost(uint64, optional, tag = "5")]
        pub epoch: Option<u64>,
        #[prost(string, optional, tag = "6")]
        pub spiffe_id: Option<String>,
    }
}
