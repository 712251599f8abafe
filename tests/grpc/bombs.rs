//! Tasks that spawn as fast and as much as they are let, everywhere in a tree at once.

use crate::forest::{Forest, Node, all, grant, reason};
use crate::trees::world;

/// Spawns as many as the task is let, in haste, and greedily: half of them ask for children of their own.
async fn explode(forest: Forest, node: Node, depth: u32) -> Vec<(String, u32)> {
    let mut made = Vec::new();
    loop {
        let asked = |number: u32| {
            let below = if number.is_multiple_of(2) {
                depth.saturating_sub(1)
            } else {
                0
            };
            (grant(below * 2, below, None), below)
        };
        let asked: Vec<_> = (0..8).map(asked).collect();
        let spawns = asked
            .iter()
            .map(|(grant, _)| forest.clone().spawn(node.clone(), vec![grant.clone()]));
        let answers = all(spawns.collect::<Vec<_>>()).await;
        let before = made.len();
        for (answer, (_, below)) in answers.into_iter().zip(asked) {
            match answer {
                Ok(children) => made.extend(children.into_iter().map(|child| (child, below))),
                Err(refused) => assert_eq!(reason::<()>(Err(refused)), "narrowing"),
            }
        }
        if made.len() == before {
            return made;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a23_spawners_in_every_task_of_a_tree_stop_at_its_budget_and_hinder_nobody() {
    const BUDGET: u32 = 60;
    let (world, _) = world().await;
    let forest = Forest::of(&world);
    let bystander = forest.clone().root(grant(30, 1, None)).await;
    let bomb = forest.clone().root(grant(BUDGET, 3, None)).await;
    let (others, node) = (forest.clone(), bystander.clone());
    let others = tokio::spawn(async move {
        for step in 1..=30 {
            let child = others.clone().spawn(node.clone(), vec![grant(0, 0, None)]);
            others
                .clone()
                .grow(child.await.expect("is permitted").remove(0))
                .await;
            others
                .clone()
                .act(node.clone(), step)
                .await
                .expect("is permitted");
        }
    });
    let (mut made, mut line) = (0, vec![(bomb, 3)]);
    let mut generations = 0;
    while !line.is_empty() {
        generations += 1;
        let exploding = line
            .into_iter()
            .map(|(node, depth)| explode(forest.clone(), node, depth));
        let children = all(exploding.collect::<Vec<_>>()).await;
        let children: Vec<_> = children.into_iter().flatten().collect();
        made += children.len();
        let grown = children
            .iter()
            .map(|(child, _)| forest.clone().grow(child.clone()));
        let grown = all(grown.collect::<Vec<_>>()).await;
        line = grown
            .into_iter()
            .zip(children)
            .map(|(node, (_, depth))| (node, depth))
            .collect();
    }
    assert_eq!(made, usize::try_from(BUDGET).expect("is small"));
    assert!(generations <= 4, "a root and three below it");
    others.await.expect("nobody was hindered");
}
