//! What a digest covers, what a person is shown, and who may bring a decision: for any values there are.

use crate::asking::{approver, approver_roles, facts};
use crate::fixture::{evidence, id, process, role, task, worker};
use handfast::canonical;
use handfast::domain::approval::{Matter, display};
use handfast::domain::denial::Reason;
use handfast::domain::evidence::{Assurance, Evidence, Required};
use handfast::domain::grant::ToolCall;
use handfast::domain::id::{ApprovalId, Digest, SpiffeId, StepNumber, TaskId};
use handfast::domain::role::{AsApprover, Held, NotHeld};
use handfast::domain::task::Task;
use handfast::domain::time::Time;
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
struct Made {
    id: ApprovalId,
    performer: SpiffeId,
    call: ToolCall,
    text: String,
    decide_by: Time,
}

impl Made {
    fn digest(&self) -> Digest {
        let matter = Matter {
            id: self.id,
            performer: &self.performer,
            call: &self.call,
            text: &self.text,
            decide_by: self.decide_by,
        };
        matter.digest(&canonical::sha256)
    }
}

fn made() -> impl Strategy<Value = Made> {
    let digest = || any::<[u8; 32]>().prop_map(Digest);
    let name = || "[a-z]{1,3}".prop_map(|path| id(&path));
    let call = (
        name(),
        "[a-z]{1,3}",
        digest(),
        proptest::option::of(digest()),
    );
    let call = call.prop_map(|(audience, tool, arguments, definition)| ToolCall {
        audience,
        tool,
        arguments,
        definition,
    });
    (any::<[u8; 32]>(), name(), call, "[a-z]{0,3}", 0..4_u64).prop_map(
        |(id, performer, call, text, decide_by)| Made {
            id: ApprovalId::from_bytes(&id),
            performer,
            call,
            text,
            decide_by: Time(decide_by),
        },
    )
}

/// The same with one field of the other.
fn flipped(one: &Made, other: &Made, field: usize) -> Made {
    let mut made = one.clone();
    match field {
        0 => made.id.task = other.id.task,
        1 => made.id.step = other.id.step,
        2 => made.id.serial = other.id.serial,
        3 => made.performer = other.performer.clone(),
        4 => made.call.audience = other.call.audience.clone(),
        5 => made.call.tool = other.call.tool.clone(),
        6 => made.call.arguments = other.call.arguments,
        7 => made.call.definition = other.call.definition,
        8 => made.text = other.text.clone(),
        _ => made.decide_by = other.decide_by,
    }
    made
}

/// Undoes [`display`]: what it shows can be read in one way only.
fn read_back(shown: &str) -> String {
    let mut text = String::new();
    let mut rest = shown;
    while let Some(c) = rest.chars().next() {
        if let Some(escape) = rest.strip_prefix("\\u{") {
            let (digits, after) = escape.split_once('}').unwrap();
            let code = u32::from_str_radix(digits, 16).unwrap();
            text.push(char::from_u32(code).unwrap());
            rest = after;
            continue;
        }
        // A JSON escape is two characters, the second of which begins no other.
        let taken = if c == '\\' { 2 } else { 1 };
        text.extend(rest.chars().take(taken));
        rest = rest
            .split_at(
                rest.char_indices()
                    .nth(taken)
                    .map_or(rest.len(), |(at, _)| at),
            )
            .1;
    }
    text
}

fn looks_plain(c: char) -> bool {
    let bidi_or_hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}' | '\u{ad}' | '\u{115f}' | '\u{1160}'
        | '\u{3164}' | '\u{ffa0}' | '\u{e0000}'..='\u{e007f}');
    let right_to_left = matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}'
        | '\u{fe70}'..='\u{fefc}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}');
    let separator = !c.is_ascii()
        && (c.is_whitespace()
            || matches!(
                c,
                '\u{2010}'
                    ..='\u{205e}' | '\u{ff0f}' | '\u{ff3c}' | '\u{2215}' | '\u{29f8}' | '\u{37e}'
            ));
    !c.is_control() && !bidi_or_hidden && !right_to_left && !separator
}

proptest! {
    #[test]
    fn a26_a_digest_is_of_one_matter(one in made(), other in made(), field in 0..10_usize) {
        let changed = flipped(&one, &other, field);
        prop_assert_eq!(one.digest() == changed.digest(), one == changed);
        prop_assert_eq!(one.digest() == other.digest(), one == other);
    }

    #[test]
    fn a70_what_is_shown_is_whole_plain_and_unlike_anything_else(
        one in any::<String>(),
        other in any::<String>(),
        evil in "[\\u{200b}-\\u{206f} \\\\\"u{}0-9a-f\\u{202e}\\u{5d0}\\u{301}]{0,12}",
    ) {
        let json = |text: &str| {
            let value = serde_json::json!({ "a": text, "b": [text, "\u{1b}[31m"] });
            let limits = canonical::Limits::default();
            canonical::parse(value.to_string().as_bytes(), &limits).unwrap().canonical()
        };
        let mut shown = Vec::new();
        for text in [&one, &other, &evil] {
            let canonical = json(text);
            let seen = display(&canonical, usize::MAX).unwrap();
            prop_assert!(seen.chars().all(looks_plain), "{}", seen);
            prop_assert!(!seen.contains("  "), "{}", seen);
            prop_assert_eq!(read_back(&seen), canonical);
            // Never cut: the whole, or a limit with a name.
            let short = display(&json(text), seen.len().saturating_sub(1));
            prop_assert_eq!(short, Err(Reason::Limit("limits.approval_text_bytes")));
            prop_assert_eq!(display(&json(text), seen.len()), Ok(seen.clone()));
            shown.push(seen);
        }
        prop_assert_eq!(shown[0] == shown[1], one == other);
        prop_assert_eq!(shown[0] == shown[2], one == evil);
    }
}

#[test]
fn a70_letters_are_shown_and_their_look_alikes_are_not() {
    for plain in ["Grüße", "東京 タワ", "서울", "a/b-c_d.e"] {
        assert_eq!(display(plain, 100).unwrap(), plain);
    }
    for (evil, shown) in [
        ("p\u{430}y", "p\\u{430}y"),
        ("a\u{2215}b", "a\\u{2215}b"),
        ("a\u{a0}b", "a\\u{a0}b"),
        ("\u{5d0}1000", "\\u{5d0}1000"),
        ("e\u{301}", "e\\u{301}"),
        ("a   b", "a \\u{20}\\u{20}b"),
        ("\u{7f}", "\\u{7f}"),
        ("a\u{30ce}b", "a\\u{30ce}b"),
        ("a\u{30fc}b", "a\\u{30fc}b"),
        ("1\u{ff0e}000", "1\\u{ff0e}000"),
    ] {
        assert_eq!(display(evil, 100).unwrap(), shown);
    }
}

fn verdict(task: &Task, who: &Evidence) -> Result<(), NotHeld> {
    let asked_by = facts(&worker());
    Held::<AsApprover>::apart([task].into_iter(), &asked_by, &approver_roles(), who).map(drop)
}

#[test]
fn a28_an_approver_is_apart_from_every_party_by_id_process_and_user_or_cgroup() {
    let task = task();
    verdict(&task, &approver()).unwrap();
    // The ID of a party besides its own.
    for party in ["assistant", "reports", "worker"] {
        let mut both = approver();
        both.spiffe_ids.push(id(party));
        assert_eq!(verdict(&task, &both), Err(NotHeld::NotApart), "{party}");
    }
    // Under the user of a party, whose role demands no more than that.
    for uid in [10, 20, 30] {
        let mut shared = approver();
        shared.uid = Some(uid);
        let roles = [role("approver", uid)];
        let asked_by = facts(&worker());
        let held = Held::<AsApprover>::apart([&task].into_iter(), &asked_by, &roles, &shared);
        assert_eq!(held.map(drop), Err(NotHeld::NotApart), "{uid}");
    }
    // The very process that asked.
    let mut same = approver();
    same.process = worker().process;
    assert_eq!(verdict(&task, &same), Err(NotHeld::NotApart));
    // What cannot be told counts as no: a party that is known by its process alone.
    let mut pinned = task.clone();
    pinned.server.required = Required {
        process: Some(process(102)),
        ..Required::default()
    };
    assert_eq!(verdict(&pinned, &approver()), Err(NotHeld::NotApart));
    // Another cgroup is as good as another user; an unknown one is not.
    let mut units = task.clone();
    for party in [&mut units.server, &mut units.performers[0]] {
        party.required = Required {
            cgroup: Some("/system.slice/party.service".to_owned()),
            ..Required::default()
        };
    }
    verdict(&units, &approver()).unwrap();
    let mut nowhere = approver();
    nowhere.cgroup = None;
    assert_eq!(verdict(&units, &nowhere), Err(NotHeld::NotApart));
}

#[test]
fn a28_an_approver_is_its_id_and_its_evidence() {
    let task = task();
    let twin = evidence("approver", 107, 51);
    assert!(matches!(verdict(&task, &twin), Err(NotHeld::Evidence(_))));
    let stranger = evidence("stranger", 107, 50);
    assert_eq!(verdict(&task, &stranger), Err(NotHeld::NoRole));
    let mut far = approver();
    far.assurance = Assurance::Svid;
    assert_eq!(verdict(&task, &far), Err(NotHeld::NotLocal));
    verdict(&task, &approver()).unwrap();
}

#[test]
fn an_approval_id_is_read_as_it_is_written() {
    let id = ApprovalId {
        task: TaskId([0xab; 16]),
        step: StepNumber(7),
        serial: [0xcd; 12],
    };
    let text = id.to_string();
    assert_eq!(ApprovalId::parse(&text), Some(id));
    for wrong in ["", "ab", &text.to_uppercase(), &format!("{text}00")] {
        assert_eq!(ApprovalId::parse(wrong), None);
    }
}
