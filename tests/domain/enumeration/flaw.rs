//! The rules that the oracle can get wrong.

use super::alphabet::Command;
use super::alphabet::On;
use super::family_letters::fanning;
use super::letters::{asking, core, handing, handing_on, revoking};
use super::wider::Setting;

/// A rule that the oracle gets wrong on purpose: the search must find the difference, as it would find it
/// if the real rule were wrong instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A twin without the evidence holds the role.
    BareTwinHolds,
    /// A used token is answered `fresh` again.
    FreshTwice,
    /// A deadline is not judged until somebody writes it down.
    DeadlineIgnored,
    /// A token is good past its end.
    ExpiryIgnored,
    /// A leg is pre-empted by whoever asks.
    LegPreempted,
    /// A dead ancestor is no dead child.
    OrphansLive,
    /// Taking up a leg again leaves its tokens as they are.
    ReattachKeepsTokens,
    /// A step whose outcome is unknown is retried blindly.
    UnknownRetried,
    /// A repeated request leaves two tokens of a step.
    TwoTokens,
    /// A task that waits for its owner gives out steps.
    WaitingStepsOn,
    /// Consent to one call of a step is consent to another.
    ConsentToAnything,
    /// Consent is used again, by a retry.
    ConsentTwice,
    /// A delegation that is over still lends.
    LoanOutlivesItself,
    /// A leg outlives what was lent to it.
    LegOutlivesLoan,
    /// Of several delegations the oldest counts.
    FirstLoanCounts,
    /// What a delegate hands on counts before what the owner gave, if it is newer.
    HandedOnReplaces,
    /// A delegate takes back only what it made on the delegation that counts now.
    TakesBackByNewest,
    /// A limited delegation lends every call.
    AllIsLent,
    /// Whoever lost its leg to a takeover starts again.
    BarredStarts,
    /// Whoever lost its leg to a takeover answers what the task waits for, as a delegate.
    BarredAnswers,
    /// The same hands on what it was lent.
    BarredHandsOn,
    /// The same takes back what it has handed on.
    BarredTakesBack,
    /// The same takes over the leg of another.
    BarredTakesOver,
    /// A delegate hands on more than it has.
    LoanExceedsGiver,
    /// A lent leg has children.
    LentLegSpawns,
    /// What children get is not taken from their parent.
    ChildrenAreFree,
    /// Children are made while nobody knows how a step ended.
    UnknownSpawns,
    /// A child grant is spent though its line is dead.
    DeadLineIsSpent,
    /// A child grant is spent by whoever knows it.
    AnybodySpends,
    /// A revoked ID acts.
    RevokedActs,
    /// What a revoked ID owns or serves goes on.
    RevokedOwns,
    /// What died by a revocation lives again once that is lifted.
    LiftedRevives,
    /// What was made before a cut through time goes on.
    CutIgnored,
}

impl Flaw {
    pub(super) const ALL: [Self; 33] = [
        Self::BareTwinHolds,
        Self::FreshTwice,
        Self::DeadlineIgnored,
        Self::ExpiryIgnored,
        Self::LegPreempted,
        Self::OrphansLive,
        Self::ReattachKeepsTokens,
        Self::UnknownRetried,
        Self::TwoTokens,
        Self::WaitingStepsOn,
        Self::ConsentToAnything,
        Self::ConsentTwice,
        Self::LoanOutlivesItself,
        Self::LegOutlivesLoan,
        Self::FirstLoanCounts,
        Self::HandedOnReplaces,
        Self::TakesBackByNewest,
        Self::AllIsLent,
        Self::BarredStarts,
        Self::BarredAnswers,
        Self::BarredHandsOn,
        Self::BarredTakesBack,
        Self::BarredTakesOver,
        Self::LoanExceedsGiver,
        Self::LentLegSpawns,
        Self::ChildrenAreFree,
        Self::UnknownSpawns,
        Self::DeadLineIsSpent,
        Self::AnybodySpends,
        Self::RevokedActs,
        Self::RevokedOwns,
        Self::LiftedRevives,
        Self::CutIgnored,
    ];

    /// The commands among which it shows.
    pub(super) fn alphabet(self) -> (Setting, Vec<Command>) {
        match self {
            Self::ConsentToAnything | Self::ConsentTwice => (Setting::PLAIN, asking()),
            Self::OrphansLive => (Setting::PLAIN, core(&[On::Root, On::Child])),
            Self::AllIsLent
            | Self::BarredAnswers
            | Self::BarredHandsOn
            | Self::BarredStarts
            | Self::BarredTakesBack
            | Self::BarredTakesOver
            | Self::FirstLoanCounts
            | Self::LegOutlivesLoan
            | Self::LentLegSpawns
            | Self::LoanOutlivesItself => (Setting::HANDED, handing()),
            Self::AnybodySpends
            | Self::ChildrenAreFree
            | Self::DeadLineIsSpent
            | Self::UnknownSpawns => (Setting::FANNED, fanning()),
            Self::CutIgnored | Self::LiftedRevives | Self::RevokedActs | Self::RevokedOwns => {
                (Setting::HANDED, revoking())
            }
            Self::HandedOnReplaces | Self::LoanExceedsGiver | Self::TakesBackByNewest => {
                (Setting::HANDED, handing_on())
            }
            Self::BareTwinHolds
            | Self::DeadlineIgnored
            | Self::ExpiryIgnored
            | Self::FreshTwice
            | Self::LegPreempted
            | Self::ReattachKeepsTokens
            | Self::TwoTokens
            | Self::UnknownRetried
            | Self::WaitingStepsOn => (Setting::PLAIN, core(&[On::Root])),
        }
    }
}
