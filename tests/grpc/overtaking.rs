//! Write skew over a whole line: a grandchild does something while its root is cancelled. Both are decided on the
//! same rows of a real ledger, and committed in either order or at once; never does the deed come second.

use crate::forest::{Forest, Node, grant, reason};
use crate::trees::world;
use crate::world::World;
use handfast::domain::event::Verdict;
use handfast::domain::id::RecordNumber;
use handfast::proto::v1;
use handfast::service::ports::Ledger as _;
use std::pin::Pin;

const CANCEL: &str = "Enforcement.Check(cancel)";

/// What a leg of a grandchild is about to do, or whoever has to do with its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Step,
    Check,
    Spawn,
    Spend,
    Register,
    Start,
}

const DEEDS: [Deed; 6] = [
    Deed::Step,
    Deed::Check,
    Deed::Spawn,
    Deed::Spend,
    Deed::Register,
    Deed::Start,
];

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Deed,
    Cancel,
    /// Both are given to the ledger at once.
    Neither,
}

/// What a deed has made; each is good for the next deed.
#[derive(Clone, Debug)]
enum Made {
    Token(String),
    Fresh,
    Child(String),
    CreateToken(String),
    Task(Box<(v1::CreateResponse, String)>),
    Leg(Node),
    /// The root is cancelled.
    Nothing,
}

type Answer = Result<Made, String>;
type Call = Pin<Box<dyn Future<Output = Answer> + Send>>;

impl Deed {
    /// As the audit record of its commit calls it.
    fn operation(self) -> &'static str {
        match self {
            Self::Step => "Legs.Issue",
            Self::Check => "Enforcement.Check(step)",
            Self::Spawn => "Legs.Spawn",
            Self::Spend => "Requests.Issue(create)",
            Self::Register => "Tasks.Create",
            Self::Start => "Legs.Start",
        }
    }

    /// What has to be there before it.
    async fn prepared(self, forest: &Forest, leaf: &Node) -> Made {
        let made = match self {
            Self::Step | Self::Spawn => return Made::Leg(leaf.clone()),
            Self::Check => return self.after(Deed::Step, forest, leaf).await,
            Self::Spend => return self.after(Deed::Spawn, forest, leaf).await,
            Self::Register => Deed::Spend,
            Self::Start => Deed::Register,
        };
        self.after(made, forest, leaf).await
    }

    async fn after(self, earlier: Self, forest: &Forest, leaf: &Node) -> Made {
        let with = Box::pin(earlier.prepared(forest, leaf)).await;
        earlier.call(forest, with).await.expect("is permitted")
    }

    fn call(self, forest: &Forest, with: Made) -> Call {
        let forest = forest.clone();
        Box::pin(async move {
            match (self, with) {
                (Self::Step, Made::Leg(leaf)) => {
                    let token = forest.step(leaf, 1).await;
                    token.map(Made::Token).map_err(no)
                }
                (Self::Check, Made::Token(token)) => match forest.check(token).await.as_str() {
                    "fresh" => Ok(Made::Fresh),
                    refused => Err(refused.to_owned()),
                },
                (Self::Spawn, Made::Leg(leaf)) => {
                    let children = forest.spawn(leaf, vec![grant(0, 0, None)]).await;
                    let child = children.map(|mut children| children.remove(0));
                    child.map(Made::Child).map_err(no)
                }
                (Self::Spend, Made::Child(child)) => {
                    let token = forest.spend(child).await;
                    token.map(Made::CreateToken).map_err(no)
                }
                (Self::Register, Made::CreateToken(token)) => {
                    let task = forest.register(token).await;
                    task.map(|task| Made::Task(Box::new(task))).map_err(no)
                }
                (Self::Start, Made::Task(task)) => {
                    forest.start(*task).await.map(Made::Leg).map_err(no)
                }
                (deed, with) => panic!("{deed:?} is not done with {with:?}"),
            }
        })
    }
}

fn no(status: tonic::Status) -> String {
    reason::<()>(Err(status))
}

/// What can be done with what a deed has made: `ok`, or why not.
async fn follow(forest: &Forest, made: Made) -> String {
    let next = match &made {
        Made::Token(_) => Deed::Check,
        Made::Child(_) => Deed::Spend,
        Made::CreateToken(_) => Deed::Register,
        Made::Task(_) => Deed::Start,
        Made::Leg(_) => Deed::Step,
        // The effect was permitted, and that was all.
        Made::Fresh | Made::Nothing => return "ok".to_owned(),
    };
    let followed = next.call(forest, made).await;
    followed.map_or_else(|refused| refused, |_| "ok".to_owned())
}

/// A root, its child and that one's child, which may have some of its own.
async fn line(forest: &Forest) -> (Node, Node) {
    let root = forest.clone().root(grant(9, 3, None)).await;
    let mut leaf = root.clone();
    for asked in [grant(7, 2, None), grant(5, 1, None)] {
        let child = forest.clone().spawn(leaf, vec![asked]).await;
        let child = child.expect("is permitted").remove(0);
        leaf = forest.clone().grow(child).await;
    }
    (root, leaf)
}

/// Nothing was let to this tree after its cancel was committed; gives that commit's record.
async fn quiet_since_the_cancel(world: &World) -> RecordNumber {
    world.flush().await;
    let events = world.ledger.events(RecordNumber(1), 1_000).await;
    let allowed = events.expect("can be read").into_iter();
    let allowed: Vec<_> = allowed
        .filter(|it| it.event.verdict == Verdict::Allowed)
        // How the holders of dead legs hear of it.
        .filter(|it| it.event.operation != "task.swept")
        .map(|it| (it.event.operation, it.number))
        .collect();
    let (last, number) = allowed.last().expect("there are some").clone();
    assert_eq!(last, CANCEL, "{allowed:?}");
    number
}

/// The deed, and the cancel, each decided before the other is committed.
async fn collide(deed: Deed, first: First) {
    let (world, calls) = world().await;
    let forest = Forest::of(&world);
    let (root, leaf) = line(&forest).await;
    let with = deed.prepared(&forest, &leaf).await;
    let token = forest.clone().cancel_token(&root).await;
    let cancelling = forest.clone();
    let cancel: Call = Box::pin(async move {
        cancelling.cancel(root, token).await;
        Ok(Made::Nothing)
    });
    let (gate, operation) = (&calls.gate, deed.operation());
    gate.close(operation);
    gate.close(CANCEL);
    let mut both = gate
        .decided(vec![deed.call(&forest, with.clone()), cancel])
        .await;
    let (cancel, done) = (both.remove(1), both.remove(0));
    let (cancelled, done) = match first {
        First::Deed => {
            gate.open(operation);
            let done = done.await;
            gate.open(CANCEL);
            (cancel.await, done)
        }
        First::Cancel => {
            gate.open(CANCEL);
            let cancelled = cancel.await;
            gate.open(operation);
            (cancelled, done.await)
        }
        First::Neither => {
            gate.open(operation);
            gate.open(CANCEL);
            (cancel.await, done.await)
        }
    };
    assert!(cancelled.expect("ends").is_ok(), "a cancel never loses");
    quiet_since_the_cancel(&world).await;
    match (first, done.expect("ends")) {
        (First::Deed | First::Neither, Ok(made)) => {
            // It came before. What it made is good for nothing.
            if !matches!(made, Made::Fresh) {
                assert_eq!(follow(&forest, made).await, "cancelled", "{deed:?}");
            }
        }
        (First::Cancel | First::Neither, Err(refused)) => {
            assert_eq!(refused, "cancelled", "{deed:?}");
        }
        (_, done) => panic!("{deed:?} {first:?}: {done:?}"),
    }
    // Once more, in good time after it. A server that repeats itself is told of the task that there is.
    if deed != Deed::Register {
        let late = deed.call(&forest, with).await;
        assert_eq!(late.err().as_deref(), Some("cancelled"), "{deed:?}");
    }
    quiet_since_the_cancel(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n09_nothing_in_a_tree_is_committed_after_the_cancel_of_its_root() {
    for deed in DEEDS {
        // The positive control: without a cancel the same deed is done, and what it made is good.
        let (world, _) = world().await;
        let forest = Forest::of(&world);
        let (_, leaf) = line(&forest).await;
        let with = deed.prepared(&forest, &leaf).await;
        let made = deed.call(&forest, with).await.expect("is permitted");
        assert_eq!(follow(&forest, made).await, "ok", "{deed:?}");
        for first in [First::Deed, First::Cancel, First::Neither] {
            collide(deed, first).await;
        }
    }
}
