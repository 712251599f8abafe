//! No text ends the process or slips past the validator.

use crate::inputs::{ordinary, permitted, set};
use handfast::domain::policy::Action;
use handfast::policy::{NESTING_MAX, OPERATORS_MAX, check};

/// The bounds must do with the stack of a worker thread, which is what evaluation has.
fn on_a_worker(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(work)
        .expect("a thread")
        .join()
        .expect("no panic");
}

fn query(condition: &str) -> String {
    format!(
        "@id(\"it\") permit (principal, action == Action::\"query\", resource) when {{ {condition} }};"
    )
}

/// Conditions that go as deep as they may, around `core`, one for every way to go deep.
fn deepest(core: &str, operators: usize, nesting: usize) -> Vec<String> {
    let around = |open: &str, close: &str, levels: usize| {
        format!("{}{core}{}", open.repeat(levels), close.repeat(levels))
    };
    vec![
        format!("{core}{}", " && true".repeat(operators)),
        format!("{core}{}", " || false".repeat(operators)),
        format!("0{} == 0 && {core}", " + 1 - 1".repeat(operators / 2)),
        format!("{core}{}", " } when { true".repeat(operators)),
        format!("{core}{}", " } unless { false".repeat(operators)),
        around("(", ")", nesting),
        around("!(!(", "))", nesting / 2),
        format!("{}{core}", "if false then false else ".repeat(nesting)),
        format!(
            "[{}{}] == [] || {core}",
            "[".repeat(nesting),
            "]".repeat(nesting)
        ),
    ]
}

#[test]
fn a_set_within_the_bounds_is_validated_and_evaluated() {
    on_a_worker(|| {
        // What the policy around the condition uses itself: two brackets, a few operators.
        for (n, condition) in deepest("context.now_ms > 1", OPERATORS_MAX - 4, NESTING_MAX - 3)
            .iter()
            .enumerate()
        {
            if condition.starts_with('[') {
                continue;
            }
            let policy = set(&query(condition));
            permitted(&policy, &ordinary(Action::Query));
            let wrong = condition.replace("context.now_ms", "context.nope_ms");
            let error = check(&query(&wrong)).expect_err("a type error");
            assert!(error.to_string().contains("nope_ms"), "{n}: {error}");
        }
    });
}

#[test]
fn a_set_beyond_the_bounds_is_refused_at_its_place() {
    on_a_worker(|| {
        for far in [1, 100, 10_000] {
            let conditions = deepest(
                "context.now_ms > 1",
                (OPERATORS_MAX + 2) * far,
                (NESTING_MAX + 2) * far,
            );
            for condition in conditions {
                let error = check(&query(&condition)).expect_err("too deep");
                let [problem] = error.problems() else {
                    panic!("not one problem: {error}");
                };
                assert!(problem.line == 1 && problem.column > 80, "{problem}");
                assert!(
                    problem.message.contains("nest deeper")
                        || problem.message.contains("operators"),
                    "{problem}"
                );
            }
        }
    });
}

#[test]
fn the_bounds_are_those_of_one_policy() {
    let one = query(&format!(
        "context.now_ms > 1{}",
        " && true".repeat(OPERATORS_MAX / 2)
    ));
    let several: Vec<String> = (0..4)
        .map(|n| one.replace("\"it\"", &format!("\"{n}\"")))
        .collect();
    check(&several.join("\n")).expect("a good set");
}

#[test]
fn strings_and_comments_are_not_counted() {
    let text = format!(
        "// {}\n{}",
        "(".repeat(1000),
        query(&format!(
            "resource.tool != \"\\\"{}\"",
            "((.&&".repeat(1000)
        ))
    );
    check(&text).expect("a good set");
}

#[test]
fn garbage_is_refused_without_harm() {
    on_a_worker(|| {
        for garbage in [
            "(",
            "[{(",
            "\"",
            "//",
            "@",
            "permit(",
            "when{",
            "\\",
            "\u{0}",
            "é\u{202e}",
        ] {
            check(&garbage.repeat(30_000)).expect_err("garbage");
        }
    });
}
