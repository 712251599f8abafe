//! A person's consent to one exact step, and what the person is shown of it.
//!
//! The one thing to know: consent is to a digest. Whatever is about to be issued is put into the same words and
//! digested again; if one byte differs, there is no consent.

use super::denial::Reason;
use super::event::CallerFacts;
use super::grant::{Authority, ToolCall};
use super::id::{ApprovalId, Digest, Fence, PrincipalHash, SpiffeId};
use super::time::Time;
use std::fmt::Write as _;
use std::time::Duration;

/// SHA-256, from whoever may compute.
pub type Sha256<'a> = &'a dyn Fn(&[u8]) -> Digest;

/// One request for consent and what became of it. Keyed by task and step: a newer request takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Its name.
    pub id: ApprovalId,
    /// The performer role whose holder asked.
    pub performer: SpiffeId,
    /// The process that asked, as it was attested then.
    pub asked_by: CallerFacts,
    /// What is to be called.
    pub call: ToolCall,
    /// Under which of the task's grants it would be.
    pub authority: Authority,
    /// The arguments as the person sees them; see [`display`].
    pub text: String,
    /// When it was asked.
    pub opened_at: Time,
    /// Nobody can decide at or after this time.
    pub decide_by: Time,
    /// SHA-256 of everything that is consented to; see [`Matter::digest`].
    pub digest: Digest,
    /// What a person decided.
    pub decision: Option<Decision>,
    /// The token that it was used for; used once.
    pub used_by: Option<Fence>,
}

/// What a person decided, and through whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Yes or no.
    pub verdict: Verdict,
    /// When.
    pub at: Time,
    /// The approver role under which it was brought.
    pub approver: SpiffeId,
    /// The process that brought it, as it was attested then.
    pub brought_by: CallerFacts,
    /// `iss` of the person's ID token.
    pub issuer: String,
    /// Keyed digest of issuer and subject.
    pub person: PrincipalHash,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The step may be carried out, once.
    Approved,
    /// It may not.
    Refused,
}

/// Where a request is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApprovalState {
    /// A person said yes, and it was not used yet.
    Approved,
    /// Nobody decided in time, or it was not used in time.
    Lapsed,
    /// It waits for a person.
    Open,
    /// A person said no.
    Refused,
    /// It was used.
    Used,
}

/// What is consented to.
#[derive(Clone, Copy, Debug)]
pub struct Matter<'a> {
    /// Names the request, and with it task and step.
    pub id: ApprovalId,
    /// Who is to carry it out.
    pub performer: &'a SpiffeId,
    /// Audience, tool, arguments and tool definition.
    pub call: &'a ToolCall,
    /// The arguments as shown.
    pub text: &'a str,
    /// Until when somebody may decide.
    pub decide_by: Time,
}

impl Matter<'_> {
    /// The digest that a person consents to. Each part is preceded by its length, so that none runs into the next.
    #[must_use]
    pub fn digest(&self, sha256: Sha256<'_>) -> Digest {
        let Self {
            id,
            performer,
            call,
            text,
            decide_by,
        } = self;
        let ToolCall {
            audience,
            tool,
            arguments,
            definition,
        } = call;
        let (performer, audience) = (performer.to_string(), audience.to_string());
        let definition = definition.as_ref().map(|digest| digest.0.as_slice());
        let mut statement = Vec::new();
        for part in [
            b"handfast approval 1".as_slice(),
            &id.bytes(),
            performer.as_bytes(),
            audience.as_bytes(),
            tool.as_bytes(),
            &arguments.0,
            definition.unwrap_or_default(),
            &sha256(text.as_bytes()).0,
            &decide_by.0.to_be_bytes(),
        ] {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            statement.extend_from_slice(&length.to_be_bytes());
            statement.extend_from_slice(part);
        }
        sha256(&statement)
    }
}

impl Approval {
    /// Where it is now. A request that is not used, or not decided, in time has lapsed: judged, not swept.
    #[must_use]
    pub fn state_at(&self, now: Time, use_within: Duration) -> ApprovalState {
        match &self.decision {
            _ if self.used_by.is_some() => ApprovalState::Used,
            None if now.reached(self.decide_by) => ApprovalState::Lapsed,
            None => ApprovalState::Open,
            Some(decision) => match decision.verdict {
                Verdict::Refused => ApprovalState::Refused,
                Verdict::Approved if now.reached(decision.at.after(use_within)) => {
                    ApprovalState::Lapsed
                }
                Verdict::Approved => ApprovalState::Approved,
            },
        }
    }

    /// Whether this is a request for exactly that: the same words, digested anew, give the same digest.
    #[must_use]
    pub fn is_of(
        &self,
        performer: &SpiffeId,
        call: &ToolCall,
        text: &str,
        sha256: Sha256<'_>,
    ) -> bool {
        let matter = Matter {
            id: self.id,
            performer,
            call,
            text,
            decide_by: self.decide_by,
        };
        matter.digest(sha256) == self.digest
    }
}

/// What one owner has asked of people, so that nobody is flooded. One row for each owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Requests that were open when this was written.
    pub open: Vec<ApprovalId>,
    /// Requests in a row that came to nothing by the requester's doing: refused, or replaced by another.
    pub setbacks: u32,
    /// No further request before this time.
    pub not_before: Time,
}

impl Account {
    /// One more request came to nothing: the pause before the next doubles, up to the longest.
    pub(super) fn set_back(&mut self, now: Time, (pause, longest): (Duration, Duration)) {
        let factor = 2_u32.saturating_pow(self.setbacks.min(16));
        self.setbacks = self.setbacks.saturating_add(1);
        self.not_before = now.after(pause.saturating_mul(factor).min(longest.max(pause)));
    }

    /// A person said yes: what was before counts no more.
    pub(super) fn settle(&mut self) {
        self.setbacks = 0;
        self.not_before = Time(0);
    }
}

/// Canonical arguments (RFC 8785) as a person is shown them: whole, on one line, in characters that neither hide,
/// reorder, combine with others nor look like ASCII. Every other character is written `\u{…}` with its code point
/// in hexadecimal, and so is a space that follows a space.
///
/// Two different arguments are never shown alike: in RFC 8785 text `\u` is followed by four digits, never a brace.
///
/// # Errors
/// [`Reason::Limit`] where the text is longer than `bytes_max`: it is refused rather than cut.
pub fn display(canonical: &str, bytes_max: usize) -> Result<String, Reason> {
    let mut shown = String::with_capacity(canonical.len());
    let mut after_space = false;
    for c in canonical.chars() {
        if is_plain(c) && !(c == ' ' && after_space) {
            shown.push(c);
        } else {
            // Writing to a string cannot fail.
            let _infallible = write!(shown, "\\u{{{:x}}}", u32::from(c));
        }
        after_space = c == ' ';
        if shown.len() > bytes_max {
            return Err(Reason::Limit("limits.approval_text_bytes"));
        }
    }
    Ok(shown)
}

/// Printable ASCII; Latin letters with marks; Han, kana and Hangul syllables. Left out on purpose: whatever is
/// written from right to left, Greek and Cyrillic with their twins of Latin letters, and what passes for another
/// letter, for punctuation or for a dash, a slash or a bar.
fn is_plain(c: char) -> bool {
    const TWINS: [char; 12] = [
        '\u{d7}', '\u{f7}', '\u{131}', '\u{138}', '\u{149}', '\u{17f}', '\u{30ce}', '\u{4e00}',
        '\u{4e28}', '\u{4e36}', '\u{4e3f}', '\u{4e40}',
    ];
    match c {
        ' '..='~'
        | '\u{c0}'..='\u{17f}'
        | '\u{3041}'..='\u{3096}'
        | '\u{30a1}'..='\u{30fa}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7a3}' => !TWINS.contains(&c),
        _ => false,
    }
}
