//! No text ends the process or slips past the validator.

use crate::inputs::{ordinary, permitted, set};
use handfast::domain::policy::Action;
use handfast::policy::{
    ESCAPES_MAX, NESTING_MAX, OPERATORS_MAX, PATH_MAX, POLICY_BYTES_MAX, Problem, TOKENS_MAX, check,
};

/// The caller's stack is short: what a deep request leaves of a worker thread's.
fn on_a_worker(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(512 * 1024)
        .spawn(work)
        .expect("a thread")
        .join()
        .expect("no panic");
}

fn query(condition: &str) -> String {
    format!(
        "@id(\"it\") permit (principal, action == Action::\"query\", resource) \
         when {{ {condition} }};"
    )
}

#[expect(clippy::arithmetic_side_effects, reason = "small, known numbers")]
/// Conditions that go as deep as they may, around `core`, one for every way to go deep.
fn deepest(core: &str, operators: usize, nesting: usize) -> Vec<String> {
    let around = |open: &str, close: &str, levels: usize| {
        format!("{}{core}{}", open.repeat(levels), close.repeat(levels))
    };
    vec![
        format!("{core}{}", " && true".repeat(operators)),
        format!("{core}{}", " || false".repeat(operators)),
        format!("0{} == 0 && {core}", " + 1 - 1".repeat(operators / 2 - 1)),
        format!("{core}{}", " } when { true".repeat(operators)),
        format!("{core}{}", " } unless { false".repeat(operators)),
        // Of no type that fits, and not looked at by the validator, who knows `true || …`.
        format!(
            "{core} && (true || context{})",
            "[\"a\"]".repeat(operators - 1)
        ),
        around("(", ")", nesting),
        around("!(!(", "))", nesting / 2),
        format!("{}{core}", "if false then false else ".repeat(operators)),
        format!(
            "{}{core}{}{}",
            "if false then false else (".repeat(nesting),
            " && true".repeat(operators - nesting),
            ")".repeat(nesting)
        ),
    ]
}

#[test]
fn a_set_within_the_bounds_is_validated_and_evaluated() {
    on_a_worker(|| {
        // What the policy around the condition uses itself: two brackets, a few operators.
        for (n, condition) in deepest("context.now_ms > 1", OPERATORS_MAX - 2, NESTING_MAX - 2)
            .iter()
            .enumerate()
        {
            // A list is taken apart when the set is sliced, which must not go deeper than the rest.
            let several = query(condition).replace(
                "action == Action::\"query\"",
                "action in [Action::\"query\", Action::\"update\"]",
            );
            assert_ne!(several, query(condition));
            permitted(&set(&query(condition)), &ordinary(Action::Query));
            permitted(&set(&several), &ordinary(Action::Query));
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

/// Of what Cedar reads, nothing is silence to the bounds: its comments end at a carriage return, too.
#[test]
fn nothing_hides_behind_a_comment_or_in_a_string() {
    on_a_worker(|| {
        let deep = query(&deepest("context.now_ms > 1", 100_000, 10)[0]);
        for silence in ["//\r", "// \" \r", "//\r\n", "//\n", "\u{a0}", "\u{2028}"] {
            let error = check(&format!("{silence}{deep}")).expect_err("too deep");
            let [problem] = error.problems() else {
                panic!("not one problem: {error}");
            };
            assert!(problem.message.contains("operators"), "{problem}");
            set(&format!("{silence}{}", query("context.now_ms > 1")));
        }
    });
}

#[test]
fn of_ten_thousand_problems_the_first_hundred_are_told() {
    let set_of = |element: fn(usize) -> String| {
        let elements: Vec<_> = (100..400).map(element).collect();
        query(&format!("[{}].contains(1)", elements.join(",")))
    };
    for text in [
        "permit;\n".repeat(10_000),
        ";\n".repeat(10_000),
        query("true").repeat(300),
        query("context.nope").repeat(102).replace("@id(\"it\")", ""),
        set_of(|n| format!("\ncontext.nope{n}")),
        set_of(|n| format!("\nip(\"{n}\")")),
        set_of(|n| format!("\nTask::\"{n}\"")),
    ] {
        let error = check(&text).expect_err("not a good set");
        let problems = error.problems();
        assert_eq!(problems.len(), 101);
        let (more, told) = problems.split_last().expect("problems");
        assert!(more.message.contains("not told"), "{more}");
        let place = |at: &Problem| (at.line, at.column);
        assert!(told.is_sorted_by_key(place), "{error}");
        let lines: Vec<_> = told.iter().map(|it| it.line).collect();
        let in_one_line = lines.iter().all(|line| *line == 1);
        let of_each_line = (1..=100).eq(lines.clone()) || (2..=101).eq(lines);
        assert!(in_one_line || of_each_line, "{error}");
    }
}

#[test]
fn the_same_text_is_refused_in_the_same_words() {
    let names: Vec<_> = (0..200).map(|n| format!("context.n{n}")).collect();
    let text = query(&format!("[{}].contains(1)", names.join(", ")));
    let told = || check(&text).expect_err("no such names").chain();
    assert_eq!(told(), told());
}

/// Whatever stands before it, also in its line.
#[test]
fn a_problem_is_told_at_its_place() {
    let before = format!("// é ; \"\n\n{} ", query("context.now_ms > 1"));
    let column = before.lines().last().expect("a line").chars().count();
    for (wrong, within) in [
        ("permit (principal, actoin, resource);", 19),
        ("@id(\"it\") forbid (principal, action, resource);", 0),
        ("@id(\"é\") forbid (principal, action, resource);", 0),
        (
            "@a(\"é\") forbid (principal == Task::\"x\", action, resource);",
            29,
        ),
        (
            "@a(\"é\") forbid (principal == Workload::\"x\", action, resource);",
            29,
        ),
        (
            "forbid (principal, action == Action::\"strat\", resource);",
            29,
        ),
    ] {
        let error = check(&format!("{before}{wrong}")).expect_err("a bad set");
        let problem = &error.problems()[0];
        let place = (problem.line, problem.column);
        assert_eq!(place, (3, column.saturating_add(within + 1)), "{problem}");
    }
}

/// However it is spelled, and whatever looks like it in a comment or a string.
#[test]
fn a_name_that_can_never_match_is_told_where_it_is() {
    for (before, spelled) in [
        ("when {", "TrustDomain::\"a/b\""),
        ("when {", "TrustDomain :: \"a/b\""),
        ("when {", "TrustDomain:://\n\"a/b\""),
        ("when {", "TrustDomain::\"a\\u{2f}b\""),
        ("// TrustDomain::\"a/b\"\nwhen {", "TrustDomain::\"a/b\""),
        (
            "when { \"é TrustDomain::\" == \"a/b\" ||",
            "TrustDomain::\"a/b\"",
        ),
        (
            "when { \"é TrustDomain::\\\"a/b\\\"\" == \"\" ||",
            "TrustDomain::\"a/b\"",
        ),
    ] {
        let scope = "\n\nforbid (principal, action, resource)";
        let head = format!("{scope} {before} ");
        let problem = check(&format!(
            "{head}principal in {spelled} || principal in {spelled} }};"
        ))
        .expect_err("a bad name")
        .problems()
        .to_vec();
        let [problem] = problem.as_slice() else {
            panic!("not one problem: {problem:?}");
        };
        assert!(problem.message.contains("can never match"), "{problem}");
        let line = head.split('\n').count();
        let column =
            head.lines().last().expect("a line").chars().count() + "principal in ".len() + 1;
        assert_eq!((problem.line, problem.column), (line, column), "{spelled}");
    }
}

/// What is no token is no place to hide in either.
#[test]
fn what_stands_around_a_policy_is_white_space_or_a_comment() {
    let good = query("context.now_ms > 1");
    let other = good.replace("\"it\"", "\"other\"");
    let two = format!("// ; \" \r{good} // {good} \r {other} //");
    let lines = |text: &str| {
        let summary = check(text).expect("a good set");
        summary
            .policies
            .iter()
            .map(|it| it.line)
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(&two), [1, 1]);
    assert_eq!(lines(&two.replace('\r', "\n\n")), [3, 5]);
    for wrong in [
        "\"\"",
        "/* */",
        "\u{feff}",
        "\0",
        "\u{200b}",
        ";",
        "@id(\"x\")",
        "#",
    ] {
        for text in [format!("{wrong} {good}"), format!("{good} {wrong}")] {
            let error = check(&text).expect_err("no Cedar");
            assert!(!error.problems().is_empty(), "{wrong}: {error}");
        }
    }
}

/// Just within a bound a text is a good set, and one more is refused in the line of the policy.
#[track_caller]
fn bounded(what: &str, max: usize, text: impl Fn(usize) -> String) {
    let fixed = (0..max)
        .find(|n| check(&text(max.saturating_sub(*n))).is_ok())
        .expect("room");
    let most = max.saturating_sub(fixed);
    let error = check(&format!("\n{}", text(most.saturating_add(1)))).expect_err("too much");
    let [problem] = error.problems() else {
        panic!("not one problem: {error}");
    };
    assert_eq!(problem.line, 2);
    assert_eq!(problem.message, format!("this policy {what} than {max}"));
}

#[test]
fn a_policy_has_an_end() {
    let named = |name: String| query(&format!("resource.tool != \"{name}\""));
    bounded("is longer in bytes", POLICY_BYTES_MAX, |n| {
        named("x".repeat(n))
    });
    bounded("has more escapes", ESCAPES_MAX, |n| named("\\t".repeat(n)));
    bounded("has more tokens", TOKENS_MAX, |n| {
        query(&format!("[0{}].contains(1)", ",1".repeat(n / 2)))
    });
    let longest = named("x".repeat(POLICY_BYTES_MAX - named(String::new()).len()));
    let commented = format!("// {}\n{longest}", "x".repeat(POLICY_BYTES_MAX));
    check(&commented).expect("what stands before a policy is no part of it");
}

/// Each took minutes or gigabytes while policies had a length only.
#[test]
fn a_policy_of_mistakes_is_refused_before_cedar_looks_for_what_was_meant() {
    let refused = |text: &str, what: &str| {
        let error = check(text).expect_err("no Cedar");
        assert!(error.to_string().contains(what), "{error}");
    };
    let list = "[]@,".repeat(15_000);
    refused(
        &format!("forbid(principal, action in [{list}], resource);"),
        "more tokens",
    );
    for escape in ["\\q", "\r", "\\xff", "\\u{110000}"] {
        let string = escape.repeat(60_000 / escape.len());
        refused(&query(&format!("\"\" == \"{string}\"")), "more escapes");
        refused(
            &format!("@a(\"{string}\") {}", query("true")),
            "more escapes",
        );
    }
}

#[test]
fn a_path_has_an_end() {
    let path = |names: usize| query(&format!("context{} > 1", ".now_ms".repeat(names - 1)));
    let told = |names| check(&path(names)).expect_err("no such path").to_string();
    assert!(told(PATH_MAX).contains("unexpected type"));
    assert!(told(PATH_MAX + 1).contains("more names"));
    let calls = |calls: usize| query(&format!("[[1]]{}", ".contains([1])".repeat(calls)));
    let told = |n| check(&calls(n)).expect_err("no such call").to_string();
    assert!(told(OPERATORS_MAX - 1).contains("type"));
    assert!(told(OPERATORS_MAX).contains("more operators"));
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
