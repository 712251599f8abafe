//! What the tables are about: each column is what came before, each row the next command.

use super::alphabet::{Command, Hand, On, Path, Shown, Token, Wait, Want, Which, With};
use super::tables::Table;
use super::wider::{Cut, Half, Lend, Nth, Setting, Wider};
use handfast::domain::approval::Verdict;
use handfast::domain::decide::report::Outcome;
use handfast::domain::order::Word;

use Command::{
    Ask, Check, Decide, Delegate, Issue, Report, Require, Resolve, Restart, Revoke,
    RevokeDelegation, RevokeTree, Spawn, Spend, Start, Takeover, Wide,
};

const ROOT: On = On::Root;
const CHILD: On = On::Child;
const START: Command = Start(Hand::Worker, ROOT, true);
const STEP: Command = Issue(Hand::Worker, ROOT, Which::Next);
const CHECK: Command = Check(Hand::Tool, ROOT, Token::Newest, With::Right);
const LENT: Command = Delegate(Hand::Owner, ROOT, Lend::Whole);
const LIMITED: Command = Delegate(Hand::Owner, ROOT, Lend::Limited);
const LENT_LEG: Command = Start(Hand::Relief, ROOT, true);
const TAKEN: Command = Takeover(Hand::Owner, ROOT);
const BACK: Command = RevokeDelegation(Hand::Owner, ROOT, Nth::First);
const SENSITIVE: Command = Issue(Hand::Worker, ROOT, Which::Sensitive);
const YES: Command = Decide(Hand::Approver, ROOT, Verdict::Approved, true);
const NO: Command = Decide(Hand::Approver, ROOT, Verdict::Refused, true);
const ONE: Command = Spawn(Hand::Worker, Cut::One);
const CLAIM: Command = Ask(Hand::Owner, ROOT, Want::Query, Path::Right);
const ASK: Command = Spend(Hand::Worker, Half::Ask);
const WORKER: Command = Wide(Wider::Id(Hand::Worker));

fn handing() -> Table {
    let relief = |which| Issue(Hand::Relief, ROOT, which);
    let lend = |lend| Delegate(Hand::Owner, ROOT, lend);
    let on = |lend| Delegate(Hand::Relief, ROOT, lend);
    let ask = |want| Ask(Hand::Relief, ROOT, want, Path::Right);
    Table {
        title: "Delegation",
        setting: Setting::HANDED,
        columns: vec![
            ("none", vec![]),
            ("everything lent", vec![LENT]),
            ("the same, its leg live", vec![LENT, LENT_LEG]),
            (
                "perform and delegate lent, for one call, its leg live",
                vec![LIMITED, LENT_LEG],
            ),
            (
                "the same, everything lent since",
                vec![LIMITED, LENT_LEG, LENT],
            ),
            (
                "the one call, then everything, its leg live",
                vec![LIMITED, LENT, LENT_LEG],
            ),
            (
                "the one call, run out",
                vec![LIMITED, LENT_LEG, Command::Wait(Wait::Expiry)],
            ),
            ("its leg taken over", vec![LENT, LENT_LEG, TAKEN]),
            ("taken back", vec![LENT, LENT_LEG, BACK]),
            ("task terminal", vec![LENT, Revoke(ROOT)]),
        ],
        rows: vec![
            ("Delegate", lend(Lend::Onward)),
            ("Delegate everything, the same request", LENT),
            ("Delegate a call that nobody has", lend(Lend::Beyond)),
            ("Delegate past the deadline", lend(Lend::Late)),
            ("Delegate to the owner's own ID", lend(Lend::ToOwner)),
            (
                "Delegate by a performer",
                Delegate(Hand::Worker, ROOT, Lend::Whole),
            ),
            ("Delegate on, to perform", on(Lend::Onward)),
            ("Delegate on, to perform and read", on(Lend::OnwardAndQuery)),
            ("RevokeDelegation", BACK),
            (
                "RevokeDelegation by the delegate",
                RevokeDelegation(Hand::Relief, ROOT, Nth::First),
            ),
            ("Start by the delegate", LENT_LEG),
            (
                "Start by its twin without the evidence",
                Start(Hand::BareRelief, ROOT, true),
            ),
            ("Issue by the delegate, the one call", relief(Which::Next)),
            (
                "Issue by the delegate, another of the owner's grant",
                relief(Which::Unlent),
            ),
            (
                "Issue by the delegate, one that the server added",
                relief(Which::Servers),
            ),
            ("Spawn by the delegate", Spawn(Hand::Relief, Cut::One)),
            ("query by the delegate", ask(Want::Query)),
            ("update by the delegate", ask(Want::Update)),
            ("cancel by the delegate", ask(Want::Cancel)),
            ("Takeover by the delegate", Takeover(Hand::Relief, ROOT)),
        ],
    }
}

fn taking() -> Table {
    let resolve = |by, word| Resolve(by, ROOT, word);
    let unknown = Command::Wait(Wait::Act);
    Table {
        title: "Takeover and a word on an unknown step",
        setting: Setting::HANDED,
        columns: vec![
            ("no leg", vec![]),
            ("token issued", vec![START, STEP]),
            ("token used", vec![START, STEP, CHECK]),
            ("step unknown", vec![START, STEP, CHECK, unknown]),
            ("suspended", vec![START, STEP, Restart]),
            ("taken over", vec![START, STEP, TAKEN]),
            (
                "task terminal, step unknown",
                vec![START, STEP, CHECK, unknown, Revoke(ROOT)],
            ),
        ],
        rows: vec![
            ("Takeover", TAKEN),
            ("Takeover by a performer", Takeover(Hand::Second, ROOT)),
            ("Start by the process that had the leg", START),
            (
                "Start by another process of the performer",
                Start(Hand::Second, ROOT, true),
            ),
            ("Check of the token", CHECK),
            ("Resolve done", resolve(Hand::Owner, Word::Done)),
            ("Resolve not_done", resolve(Hand::Owner, Word::NotDone)),
            (
                "Resolve by the performer",
                resolve(Hand::Worker, Word::Done),
            ),
        ],
    }
}

fn asking() -> Table {
    let decide = |by, digest| Decide(by, ROOT, Verdict::Approved, digest);
    let after = |rest: &[Command]| [&[CLAIM, START, SENSITIVE], rest].concat();
    Table {
        title: "Approval",
        setting: Setting::PLAIN,
        columns: vec![
            ("not asked", vec![CLAIM, START]),
            ("open", after(&[])),
            ("approved", after(&[YES])),
            ("refused", after(&[NO])),
            (
                "nobody decided in time",
                after(&[Command::Wait(Wait::Claim)]),
            ),
            (
                "approved, not used in time",
                after(&[YES, Command::Wait(Wait::Expiry)]),
            ),
            ("used", after(&[YES, SENSITIVE])),
            ("task terminal", after(&[Revoke(ROOT)])),
        ],
        rows: vec![
            ("Issue the step", SENSITIVE),
            (
                "Issue the step, its last request again",
                Issue(Hand::Worker, ROOT, Which::Again),
            ),
            (
                "Issue the step, other arguments",
                Issue(Hand::Worker, ROOT, Which::SensitiveOther),
            ),
            ("Issue a step that needs nobody's consent", STEP),
            ("Decide yes", YES),
            ("Decide no", NO),
            ("Decide with another digest", decide(Hand::Approver, false)),
            (
                "Decide by a twin without the evidence",
                decide(Hand::BareApprover, true),
            ),
            (
                "Decide by the owner or a performer",
                decide(Hand::Owner, true),
            ),
        ],
    }
}

fn fanning() -> Table {
    let spawn = |cut| Spawn(Hand::Worker, cut);
    Table {
        title: "Spawn, of a task that may begin two steps and have two children",
        setting: Setting::FANNED,
        columns: vec![
            ("no leg", vec![]),
            ("live", vec![START]),
            ("a child with one step", vec![START, ONE]),
            ("a child with all steps", vec![START, spawn(Cut::Rest)]),
            ("a step begun", vec![START, STEP]),
            (
                "a child with one step, a step unknown",
                vec![START, ONE, STEP, CHECK, Command::Wait(Wait::Act)],
            ),
            (
                "input_required",
                vec![START, Require(Hand::Server, ROOT, Shown::Current)],
            ),
            ("suspended", vec![START, Restart]),
            ("taken up by a delegate", vec![LENT, LENT_LEG]),
            ("task terminal", vec![START, Revoke(ROOT)]),
        ],
        rows: vec![
            ("Spawn a child with one step", ONE),
            ("Spawn a child with two", spawn(Cut::Rest)),
            ("Spawn two with one each", spawn(Cut::Two)),
            ("Spawn one without a count", spawn(Cut::Uncounted)),
            ("Spawn one that may spawn", spawn(Cut::Deep)),
            ("the last request again", spawn(Cut::Again)),
            ("the last request, for something else", spawn(Cut::Differs)),
            (
                "Spawn by another process of the performer",
                Spawn(Hand::Second, Cut::One),
            ),
            (
                "Spawn by a twin without the evidence",
                Spawn(Hand::Bare, Cut::One),
            ),
            ("Spawn by the delegate", Spawn(Hand::Relief, Cut::One)),
            ("Issue the next step", STEP),
        ],
    }
}

fn spending() -> Table {
    let cut = |rest: &[Command]| [&[START, ONE], rest].concat();
    let asked = |rest: &[Command]| [&[START, ONE, ASK], rest].concat();
    let expired = Command::Wait(Wait::Expiry);
    Table {
        title: "Child grant",
        setting: Setting::FANNED,
        columns: vec![
            ("cut", cut(&[])),
            ("token issued", asked(&[])),
            ("token expired", asked(&[expired])),
            ("agent restarted", asked(&[Restart])),
            ("spent", asked(&[Spend(Hand::Server, Half::Create)])),
            ("parent terminal", asked(&[Revoke(ROOT)])),
            ("spender revoked", asked(&[WORKER])),
        ],
        rows: vec![
            ("Issue(create) by the spender", ASK),
            (
                "Issue(create) by another process of it",
                Spend(Hand::Second, Half::Ask),
            ),
            (
                "Issue(create) by a twin without the evidence",
                Spend(Hand::Bare, Half::Ask),
            ),
            (
                "Issue(create) by the parent's owner",
                Spend(Hand::Owner, Half::Ask),
            ),
            (
                "Tasks.Create with the token",
                Spend(Hand::Server, Half::Create),
            ),
            ("Start on the child", Start(Hand::Worker, CHILD, true)),
        ],
    }
}

fn revoking() -> Table {
    let on = CHILD;
    let start = Start(Hand::Worker, on, true);
    let step = Issue(Hand::Worker, on, Which::Next);
    let check = Check(Hand::Tool, on, Token::Newest, With::Right);
    let after = |rest: &[Command]| [&[start, step], rest].concat();
    let id = |hand| Wide(Wider::Id(hand));
    let lifted = |hand| {
        vec![
            start,
            step,
            id(hand),
            Command::Wait(Wait::Act),
            Wide(Wider::Lift(hand)),
        ]
    };
    // A moment later: what is made in the moment of a lift counts as made before it.
    let lifted = |hand| [lifted(hand), vec![Command::Wait(Wait::Act)]].concat();
    Table {
        title: "Revocation, of a child with a leg and an unused token",
        setting: Setting::HANDED,
        columns: vec![
            ("task", after(&[Revoke(on)])),
            ("its tree", after(&[RevokeTree(on)])),
            ("owner's ID", after(&[id(Hand::Owner)])),
            ("server's ID", after(&[id(Hand::Server)])),
            ("performer's ID", after(&[WORKER])),
            ("tool's ID", after(&[id(Hand::Tool)])),
            ("owner's ID, lifted", lifted(Hand::Owner)),
            ("performer's ID, lifted", lifted(Hand::Worker)),
            ("epoch", after(&[Wide(Wider::Epoch)])),
            (
                "before now",
                after(&[Command::Wait(Wait::Act), Wide(Wider::Before)]),
            ),
        ],
        rows: vec![
            ("Check of the unused token", check),
            (
                "Report done",
                Report(Hand::Tool, on, Token::Newest, Outcome::Done),
            ),
            (
                "Issue the step again",
                Issue(Hand::Worker, on, Which::Again),
            ),
            ("Start by the holder's process", start),
            (
                "Start by another process of the performer",
                Start(Hand::Second, on, true),
            ),
            ("Start on the parent", START),
            (
                "query by the owner",
                Ask(Hand::Owner, on, Want::Query, Path::Right),
            ),
            (
                "cancel by the owner",
                Ask(Hand::Owner, on, Want::Cancel, Path::Right),
            ),
            ("RequireInput", Require(Hand::Server, on, Shown::Current)),
            (
                "Delegate by the owner",
                Delegate(Hand::Owner, on, Lend::Whole),
            ),
        ],
    }
}

/// Every table, in the order of the page.
pub(super) fn all() -> [Table; 6] {
    [
        handing(),
        taking(),
        asking(),
        fanning(),
        spending(),
        revoking(),
    ]
}
