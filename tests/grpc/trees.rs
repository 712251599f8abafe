//! Trees of tasks on a real ledger: a budget is spent once however many race for it, and a dead root is a dead
//! tree.

use crate::forest::{Forest, Node, all, grant, reason};
use crate::recorder::{Calls, recorded};
use crate::world::World;
use handfast::domain::id::RecordNumber;
use handfast::domain::time::Time;
use handfast::proto::v1;
use handfast::service::ports::{Clock, Ledger as _};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;

/// However slow the machine, nothing here ends by its clock.
#[derive(Debug)]
struct Still(Time);

impl Clock for Still {
    fn now(&self) -> Option<Time> {
        Some(self.0)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A world that has room for many legs, and writes down what its ports are asked for.
pub(crate) async fn world() -> (World, Calls) {
    let calls = Calls::default();
    let world = World::with(|ports, settings| {
        settings.legs_max = 2_000;
        let now = ports.clock.now().expect("is known");
        ports.clock = Arc::new(Still(now));
        *ports = recorded(ports.clone(), &calls);
    });
    (world.await, calls)
}

/// Cancels a task; gives what was committed for it.
async fn cancel(world: &World, calls: &Calls, forest: &Forest, root: &Node) -> Vec<String> {
    let token = forest.clone().cancel_token(root).await;
    let before = world.ledger.newest();
    calls.take();
    forest.clone().cancel(root.clone(), token).await;
    let events = world.ledger.events(RecordNumber(before.0 + 1), 1_000).await;
    let events = events.expect("can be read");
    let of_it = events.iter().map(|event| event.event.operation.as_str());
    assert_eq!(of_it.collect::<Vec<_>>(), ["Enforcement.Check(cancel)"]);
    let mut committed = calls.take();
    committed.retain(|call| call.starts_with("ledger.apply"));
    // Those whose legs have ended hear of it later; their rows are held back.
    committed.retain(|call| !call.contains("task.swept"));
    committed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n09_no_node_of_a_cancelled_tree_is_let_do_anything() {
    let (world, calls) = world().await;
    let forest = Forest::of(&world);
    let lone = forest.clone().root(grant(0, 0, None)).await;
    let bystanders = forest.tree(&[1, 1, 1]).await;
    let tree = forest.tree(&[9, 10, 10]).await;
    assert_eq!(tree.len(), 1_000);
    // Until then every node is let do everything; a token of each is out.
    let act = |step| move |(forest, node): (Forest, Node)| forest.act(node, step);
    let with = |nodes: &[Node]| {
        let nodes = nodes.iter().cloned();
        let with = nodes.map(|node| (forest.clone(), node));
        with.collect::<Vec<_>>()
    };
    let acted = all(with(&tree).into_iter().step_by(7).map(act(1))).await;
    assert!(acted.iter().all(Result::is_ok), "{acted:?}");
    let issue = |(number, (forest, node)): (usize, (Forest, Node))| {
        forest.step(node, if number.is_multiple_of(7) { 2 } else { 1 })
    };
    let tokens = all(with(&tree).into_iter().enumerate().map(issue)).await;
    let tokens: Vec<String> = tokens.into_iter().map(Result::unwrap).collect();

    // Nothing but the root's own row tells that the tree is dead.
    calls.gate.close("task.swept");
    let of_one = cancel(&world, &calls, &forest, &lone).await;
    let of_thousand = cancel(&world, &calls, &forest, &tree[0]).await;
    assert_eq!(of_thousand, of_one, "a thousand cost what one costs");
    assert_eq!(of_one.len(), 1);

    let checked = all(tokens.into_iter().map(|token| forest.clone().check(token))).await;
    assert!(checked.iter().all(|no| no == "cancelled"), "{checked:?}");
    let issued = all(with(&tree).into_iter().enumerate().map(issue)).await;
    let issued: Vec<String> = issued.into_iter().map(reason).collect();
    assert!(issued.iter().all(|no| no == "cancelled"), "{issued:?}");
    assert_eq!((checked.len(), issued.len()), (1_000, 1_000));

    // Another tree goes on, in every generation.
    let acted = all(with(&bystanders).into_iter().map(act(1))).await;
    assert!(acted.iter().all(Result::is_ok), "{acted:?}");
}

/// How many of these were let.
fn let_through<T>(answers: &[Result<T, Status>]) -> usize {
    answers.iter().filter(|answer| answer.is_ok()).count()
}

/// Makes these calls so that each is decided on the same rows as the others before any is committed.
async fn race<T, F>(calls: &Calls, closed: &[&str], these: Vec<F>) -> Vec<Result<T, Status>>
where
    T: Debug + Send + 'static,
    F: Future<Output = Result<T, Status>> + Send + 'static,
{
    for operation in closed {
        calls.gate.close(operation);
    }
    let decided = calls.gate.decided(these).await;
    for operation in closed {
        calls.gate.open(operation);
    }
    let mut answers = Vec::new();
    for one in decided {
        answers.push(one.await.expect("does not panic"));
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n06_of_many_that_race_for_a_budget_as_many_get_it_as_there_is() {
    let (world, calls) = world().await;
    let forest = Forest::of(&world);
    let spawns = |of: &Node, asked: v1::Grant| {
        let one = |_| forest.clone().spawn(of.clone(), vec![asked.clone()]);
        (0..40).map(one).collect::<Vec<_>>()
    };
    // Steps, then children.
    let steps = forest.clone().root(grant(100, 1, Some(7))).await;
    let asked = grant(0, 0, Some(1));
    let spawned = race(&calls, &["Legs.Spawn"], spawns(&steps, asked.clone())).await;
    assert_eq!(let_through(&spawned), 7);
    let families = forest.clone().root(grant(5, 1, None)).await;
    let answers = race(
        &calls,
        &["Legs.Spawn"],
        spawns(&families, grant(0, 0, None)),
    )
    .await;
    assert_eq!(let_through(&answers), 5);
    // Two at a time out of five: half a request is none.
    let pairs = forest.clone().root(grant(5, 1, None)).await;
    let two = vec![grant(0, 0, None); 2];
    let both = (0..20).map(|_| forest.clone().spawn(pairs.clone(), two.clone()));
    let both = race(&calls, &["Legs.Spawn"], both.collect()).await;
    assert_eq!(let_through(&both), 2);
    let last = vec![grant(0, 0, None)];
    let last = forest.clone().spawn(pairs.clone(), last).await;
    assert_eq!(last.map(|children| children.len()).ok(), Some(1));
    for refused in spawned.iter().chain(&answers).chain(&both) {
        if let Err(refused) = refused {
            assert_eq!(reason::<()>(Err(refused.clone())), "narrowing");
        }
    }
    // What was got is there: seven steps, and not one more by anybody.
    let children = spawned.into_iter().flatten().flatten();
    let grown = all(children
        .map(|child| forest.clone().grow(child))
        .collect::<Vec<_>>())
    .await;
    let nodes: Vec<Node> = grown.into_iter().chain([steps]).collect();
    for (step, expected) in [(1, 7), (2, 0)] {
        let acts = nodes
            .iter()
            .map(|node| forest.clone().act(node.clone(), step));
        let acted = all(acts.collect::<Vec<_>>()).await;
        assert_eq!(let_through(&acted), expected, "{acted:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n06_what_a_tree_has_left_and_what_it_spent_is_what_it_had() {
    const USES: u32 = 60;
    let (world, calls) = world().await;
    let forest = Forest::of(&world);
    let root = forest.clone().root(grant(33, 2, Some(USES))).await;
    let families = vec![grant(6, 1, Some(5)); 4];
    let families = forest.clone().spawn(root.clone(), families).await;
    let families = families.expect("is permitted").into_iter();
    let grown = families.map(|child| forest.clone().grow(child));
    let mut nodes = all(grown.collect::<Vec<_>>()).await;
    nodes.push(root);
    // In every task at once ten children and a step; four have five steps, the root five more children.
    let attempts = |node: &Node| {
        let step = attempt(forest.clone(), node.clone(), Some(1));
        let child = |_| attempt(forest.clone(), node.clone(), None);
        (0..10).map(child).chain([step]).collect::<Vec<_>>()
    };
    let attempts = nodes.iter().flat_map(attempts).collect();
    let answers = race(&calls, &["Legs.Spawn", "Legs.Issue"], attempts).await;
    for (number, of_one) in answers.chunks(11).enumerate() {
        let expected = if number < 4 { 5 } else { 6 };
        assert_eq!(let_through(of_one), expected, "{number}: {of_one:?}");
    }
    let steps = answers.iter().skip(10).step_by(11).filter(|it| it.is_ok());
    let (steps, made) = (steps.count(), let_through(&answers));
    let rows = world.ledger.tasks(None, 100).await.expect("can be read");
    let left = rows.tasks.iter().filter_map(|task| task.asked.uses_left);
    // Each child that was made has one step and is not spent; each step that was begun took one.
    let unspent = made - steps;
    let all = usize::try_from(left.sum::<u32>()).expect("is small") + unspent + steps;
    assert_eq!(all, usize::try_from(USES).expect("is small"));
}

/// A step, or a child with one step.
async fn attempt(forest: Forest, node: Node, step: Option<u32>) -> Result<(), Status> {
    match step {
        Some(step) => forest.step(node, step).await.map(drop),
        None => forest
            .spawn(node, vec![grant(0, 0, Some(1))])
            .await
            .map(drop),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n06_one_child_becomes_one_task() {
    let (world, calls) = world().await;
    let forest = Forest::of(&world);
    let root = forest.clone().root(grant(1, 1, None)).await;
    let child = forest.clone().spawn(root, vec![grant(0, 0, None)]).await;
    let child = child.expect("is permitted").remove(0);
    let spends = (0..8).map(|_| forest.clone().spend(child.clone()));
    let tokens = race(&calls, &["Requests.Issue(create)"], spends.collect()).await;
    let tokens = tokens.into_iter().flatten();
    let registered = tokens.map(|token| forest.clone().register(token));
    let registered = all(registered.collect::<Vec<_>>()).await;
    let made: Vec<_> = registered.into_iter().flatten().collect();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(made[0].0.task_id, child);
    let tasks = world.ledger.tasks(None, 100).await.expect("can be read");
    assert_eq!(tasks.tasks.len(), 2);
}
