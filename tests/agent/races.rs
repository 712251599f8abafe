//! Many processes at once, and only one may win.

use crate::job::{Job, check_op, start_op};
use crate::node::{Actor, Options, Role};
use serde_json::{Value, json};

const PROCESSES: usize = 8;

fn at_once(actors: &mut [Actor], op: &Value) -> Vec<Value> {
    for actor in actors.iter_mut() {
        actor.tell(op);
    }
    actors.iter_mut().map(Actor::answer).collect()
}

fn crowd(job: &Job, name: &str) -> Vec<Actor> {
    let role: Role = job.node.role(name);
    let mut actors: Vec<Actor> = (0..PROCESSES).map(|_| job.node.actor(&role)).collect();
    for actor in &mut actors {
        actor.hand("worker");
        // Attested before the race, so that it is one.
        actor.ok(&json!({ "op": "whoami" }));
    }
    actors
}

#[test]
fn a06_one_of_many_processes_gets_the_leg() {
    let mut job = Job::start();
    let task = job.create();
    let mut workers = crowd(&job, "worker");
    let answers = at_once(&mut workers, &start_op(&task, "worker"));
    let winners: Vec<usize> = (0..PROCESSES)
        .filter(|index| answers[*index].get("ok").is_some())
        .collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    for (index, answer) in answers.iter().enumerate() {
        if !winners.contains(&index) {
            assert_eq!(answer["err"]["reason"], "held", "{answer}");
        }
    }
    // The winner's process, once more, is no loser.
    let again = workers[winners[0]].ok(&start_op(&task, "worker"));
    assert_eq!(again["reattached"], true);
}

#[test]
fn a06_one_of_many_processes_gets_the_effect() {
    let mut job = Job::with(&Options::default());
    let task = job.create();
    let leg = job.start_leg(&task);
    let token = job.step_token(&leg, 1);
    let mut tools = crowd(&job, "tool");
    let answers = at_once(&mut tools, &check_op(&leg, &token));
    let of = |kind: &str| {
        answers
            .iter()
            .filter(|one| one["ok"]["answer"] == kind)
            .count()
    };
    assert_eq!(
        (of("fresh"), of("repeat")),
        (1, PROCESSES - 1),
        "{answers:?}"
    );
}
