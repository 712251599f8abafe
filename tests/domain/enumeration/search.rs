//! Breadth first over every sequence of commands, each state of both sides expanded once.

use super::alphabet::{Command, On, Token};
use super::answer::Answer;
use super::consents::{DECIDE_BY, PAUSE, USE_WITHIN};
use super::diagram::Changes;
use super::flaw::Flaw;
use super::history::{Happened, History};
use super::invariants::{Deed, broken};
use super::oracle::{Oracle, Prediction};
use super::real::{Done, Hands, Moment, Named};
use super::rows::{Store, World};
use super::seen::Seen;
use super::wider::Setting;
use handfast::domain::id::{Epoch, StepNumber};
use handfast::domain::limits::Limits;
use handfast::domain::lineage::Writes;
use std::fmt;
use std::num::NonZero;
use std::time::{Duration, Instant};

/// A sequence that leads to a state.
pub(super) type Path = Vec<Command>;

/// One state of both sides, and a sequence that leads to it.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) world: World,
    pub(super) history: History,
    pub(super) oracle: Oracle,
    pub(super) path: Path,
}

/// What a search has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Covered {
    /// Sequences over the alphabet up to the depth, all of which are decided by what was judged.
    pub(super) sequences: u128,
    /// States of both sides from which every command was tried.
    pub(super) states: usize,
    /// Parts of states from which the last commands were tried instead of from the whole.
    pub(super) parts: usize,
    /// Commands that were put to both sides.
    pub(super) judged: usize,
    /// Of them those that changed something.
    pub(super) changes: usize,
    /// States that were met again and whose futures were compared.
    pub(super) merged: usize,
}

/// Where the two sides differ, or an invariant is broken: with a sequence that leads there.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) path: Path,
    pub(super) what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for command in &self.path {
            writeln!(f, "  {command:?}")?;
        }
        write!(f, "{}", self.what)
    }
}

/// One search.
pub(super) struct Search<'a> {
    pub(super) alphabet: &'a [Command],
    pub(super) flaw: Option<Flaw>,
    pub(super) draws: Option<On>,
    pub(super) changes: Changes,
    hands: Hands,
    pub(super) setting: Setting,
    pub(super) store: Store,
    pub(super) first: Node,
    pub(super) seen: Seen,
    pub(super) covered: Covered,
    /// How many threads judge the last commands.
    pub(super) workers: usize,
    pub(super) began: Instant,
    /// Whether the last command is put to what it reads.
    pub(super) by_parts: bool,
}

impl<'a> Search<'a> {
    pub(super) fn new(setting: Setting, alphabet: &'a [Command], flaw: Option<Flaw>) -> Self {
        let limits = Limits {
            decide_by: Duration::from_millis(DECIDE_BY),
            use_within: Duration::from_millis(USE_WITHIN),
            approval_pause: Duration::from_millis(PAUSE),
            ..Limits::default()
        };
        let mut store = Store::new(limits, setting);
        let history = History::first(setting);
        let first = Node {
            world: store.first_world(),
            oracle: Oracle::of(&history, flaw),
            history,
            path: Path::new(),
        };
        Self {
            alphabet,
            flaw,
            draws: None,
            changes: Changes::default(),
            hands: Hands::new(),
            setting,
            store,
            first,
            seen: Seen::default(),
            covered: Covered::default(),
            workers: 1,
            began: Instant::now(),
            by_parts: false,
        }
    }

    /// Also compares the futures of states that are taken for the same.
    pub(super) fn comparing(mut self) -> Self {
        self.seen.keep_whole();
        self
    }

    /// Puts the last command to what it reads of a state, once for all states that are alike there.
    pub(super) fn by_parts(mut self) -> Self {
        self.by_parts = true;
        self
    }

    /// Judges the last commands, which are nearly all there are, on every core, and says how far it is.
    pub(super) fn long(mut self) -> Self {
        self.workers = std::thread::available_parallelism().map_or(1, NonZero::get);
        self
    }

    /// The state after these commands. `None` where one names something that never was.
    pub(super) fn replayed(&mut self, path: &[Command]) -> Option<Node> {
        let mut node = self.first.clone();
        for command in path {
            let (done, happened) = self.answer(&node, *command)?;
            let history = continued(&node.history, *command, happened);
            node = Node {
                world: self.after(&node.world, *command, &done),
                oracle: Oracle::of(&history, self.flaw),
                history,
                path: path.to_vec(),
            };
        }
        Some(node)
    }

    /// Puts these commands to both sides. Returns the states that differ from this one, if they are wanted.
    pub(super) fn expand(
        &mut self,
        node: &Node,
        commands: &[Command],
        wanted: bool,
    ) -> Result<Vec<Node>, Difference> {
        let decided = self.decide(node, commands);
        self.covered.states += 1;
        let mut next = Vec::new();
        for (command, (expected, happened), done) in decided {
            self.covered.judged += 1;
            let differs = |what: String| Difference {
                path: node.path.iter().copied().chain([command]).collect(),
                what,
            };
            if !expected.admits(done.answer) {
                let real = done.answer;
                return Err(differs(format!(
                    "expected {expected:?}, and it is {real:?}"
                )));
            }
            if happened.is_empty() && done.is_nothing() && !command.is_the_worlds() {
                continue;
            }
            let world = self.after(&node.world, command, &done);
            let unchanged = world == node.world;
            if unchanged && happened.is_empty() {
                continue;
            }
            self.covered.changes += 1;
            let deed = Deed {
                store: &self.store,
                before: &node.world,
                after: &world,
                command,
                answer: done.answer,
            };
            let broken = broken(&deed);
            if !broken.is_empty() {
                return Err(differs(format!("broken: {}", broken.join("; "))));
            }
            if let Some(on) = self.draws {
                self.changes.note(&deed, on);
            }
            if wanted {
                let history = continued(&node.history, command, happened);
                next.push(Node {
                    world,
                    oracle: Oracle::of(&history, self.flaw),
                    history,
                    path: node.path.iter().copied().chain([command]).collect(),
                });
            }
        }
        Ok(next)
    }

    /// One answer, which is the one that the oracle expects.
    fn answer(&self, node: &Node, command: Command) -> Option<(Done, Vec<Happened>)> {
        let (expected, happened) = node.oracle.predict(command, self.flaw)?;
        let named = node.oracle.named(command);
        let done = self.moment(node).perform(command, &named);
        assert!(expected.admits(done.answer), "{command:?}: {done:?}");
        Some((done, happened))
    }

    fn moment<'b>(&'b self, node: &'b Node) -> Moment<'b> {
        Moment {
            store: &self.store,
            world: &node.world,
            hands: &self.hands,
            views: On::ALL.map(|on| self.store.view(&node.world, on)),
        }
    }

    pub(super) fn decide(
        &self,
        node: &Node,
        commands: &[Command],
    ) -> Vec<(Command, Prediction, Done)> {
        let moment = self.moment(node);
        let mut decided = Vec::new();
        for command in commands {
            let Some(prediction) = node.oracle.predict(*command, self.flaw) else {
                continue;
            };
            let named = node.oracle.named(*command);
            let done = moment.perform(*command, &named);
            decided.push((*command, prediction, done));
        }
        decided
    }

    fn after(&mut self, before: &World, command: Command, done: &Done) -> World {
        let mut world = before.clone();
        match command {
            Command::Restart => world.epoch = Epoch(world.epoch.0 + 1),
            Command::Wait(wait) => world.time = world.time.after(Duration::from_millis(wait.ms())),
            _ => {
                let on = command.on().unwrap_or(On::Root);
                for writes in &done.writes {
                    world = self.store.apply(&world, on, writes.clone());
                }
                if let Some(claims) = &done.token {
                    self.store.hand_out(&mut world, on, claims.clone());
                }
                if let (Some(by), Some(claims)) = (done.asker, &done.created) {
                    self.store.hand_out_create(&mut world, by, claims.clone());
                }
                // Where the running epoch was revoked a new one begins before anything else is decided.
                let Epoch(revoked) = self.store.revocations(&world).epochs;
                world.epoch = world.epoch.max(Epoch(revoked + 1));
            }
        }
        world
    }
}

/// A command after others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) command: Command,
    pub(super) answer: Answer,
    /// Whether it changes a row.
    pub(super) changed: bool,
    /// Whether its task had ended before.
    pub(super) ended: bool,
}

/// What the rules answer to a command after these. `None` where it names something that never was.
pub(super) fn after(setting: Setting, before: &[Command], command: Command) -> Option<Next> {
    let mut search = Search::new(setting, &[], None);
    let node = search.replayed(before)?;
    let (done, _) = search.answer(&node, command)?;
    let on = command.on().unwrap_or(On::Root);
    Some(Next {
        command,
        answer: done.answer,
        changed: search.after(&node.world, command, &done) != node.world,
        ended: node.oracle.task(on).end.is_some(),
    })
}

/// A history with one more command.
pub(super) fn continued(before: &History, command: Command, happened: Vec<Happened>) -> History {
    let mut history = before.clone();
    if let Command::Wait(wait) = command {
        history.now += wait.ms();
    }
    for what in happened {
        history.add(what);
    }
    history
}

impl Done {
    /// Whether nothing is written or handed out.
    fn is_nothing(&self) -> bool {
        let handed_out = self.token.is_some() || self.created.is_some();
        !handed_out && self.writes.iter().all(Writes::is_empty)
    }
}

impl Oracle {
    /// What a command means that names a token or a step of the past.
    fn named(&self, command: Command) -> Named {
        let count = |on: On| self.task(on).tokens.len();
        let nth =
            match command {
                Command::Check(_, on, Token::Newest, _)
                | Command::Report(_, on, Token::Newest, _) => count(on) - 1,
                Command::Check(_, on, Token::Older, _)
                | Command::Report(_, on, Token::Older, _) => count(on) - 2,
                Command::RevokeDelegation(_, on, nth) => self.nth(on, nth).unwrap(),
                _ => 0,
            };
        let issued = match command {
            Command::Issue(by, on, which) => self.wanted(on, by, which),
            _ => None,
        };
        let request = match command {
            Command::Decide(_, on, ..) => self.task(on).requests.last().map(|it| it.step),
            _ => None,
        };
        let request = StepNumber(request.unwrap_or_default());
        Named {
            nth,
            request,
            issued,
        }
    }
}
