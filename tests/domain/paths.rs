//! Paths below a prefix: what another program could read as another path lies nowhere.

use handfast::domain::arguments::{Argument, Scalar};
use handfast::domain::grant::{Rule, is_path};

fn admits(prefix: &str, path: &str) -> bool {
    let value = Argument::Scalar(Scalar::Text(path.to_owned()));
    Rule::PathPrefix(prefix.to_owned()).admits(&value)
}

/// Each would leave, or be, another place for somebody who decodes, normalises or cuts it.
const ELSEWHERE: &[&str] = &[
    // As it is written.
    "..",
    ".",
    "",
    "../b",
    "a/../b",
    "a//b",
    "a/",
    "...",
    " ",
    ".. ",
    ". .",
    "..\\b",
    "a\0",
    "a\nb",
    // Percent-encoded: once, twice, over-long, in no valid way, in UTF-16.
    "%2e%2e",
    ".%2E",
    "a%2fb",
    "a%5cb",
    "a%00",
    "%252e%252e",
    "%25252e",
    "%c0%ae%c0%ae",
    "%C0%AE",
    "%e0%80%ae",
    "%c0%af",
    "%u002e%u002e",
    "%uff0e",
    "%%32e",
    "%2",
    "a%",
    "%ae",
    "%ff",
    "%0a",
    "%20",
    // Unicode look-alikes: dots, one- and two-dot leaders, ellipsis, full-width, small and ideographic forms.
    "\u{ff0e}\u{ff0e}",
    "\u{ff0e}",
    ".\u{2024}",
    "\u{2025}",
    "\u{2026}",
    "\u{fe52}\u{fe52}",
    "\u{3002}\u{3002}",
    "\u{fe12}\u{fe12}",
    "\u{660}\u{660}",
    "\u{6f0}",
    "\u{701}\u{702}",
    "\u{a4f8}\u{a4f8}",
    "\u{10a50}\u{10a50}",
    "\u{1d16d}.",
    ".\u{307}.",
    "%EF%BC%8E%EF%BC%8E",
    "%e2%80%a4.",
    // Separators.
    "a\u{2215}b",
    "..\u{2215}b",
    "a\u{2044}b",
    "a\u{ff0f}b",
    "a\u{ff3c}b",
    "a%ef%bc%8fb",
    // A percent sign that normalisation makes.
    "\u{ff05}2e\u{ff05}2e",
    // Invisible.
    ".\u{200d}.",
    "..\u{fe0f}",
    "..\u{34f}",
    "..\u{3164}",
    ".\u{e0001}.",
    "..%ef%b8%8f",
    "..\u{a5}..\u{a5}b",
    "..\u{20a9}b",
    "\u{feff}..",
    "\u{200b}",
    // Path parameters, queries and fragments, cut off by whoever takes it for a part of a URL.
    "..;",
    "..;x=y",
    ";x",
    ".;a;b",
    "..;/..;/b",
    "..%3bx",
    "..?b",
    "..#b",
    "\u{ff0e}.\u{ff1b}x",
];

/// Ordinary names, with dots and everything that is used above.
const HERE: &[&str] = &[
    "a",
    "a/b",
    "a.b",
    "a..b",
    "..a",
    "...x",
    "x...",
    ".well-known",
    ".well-known/acme",
    "a b",
    "a;x=1",
    "a?b",
    "a#b",
    "b\u{fc}cher/stra\u{df}e",
    "\u{65e5}\u{672c}\u{8a9e}",
    "\u{65e5}.\u{672c}",
    "a\u{ff0e}b",
    "a\u{2026}",
    "%41",
    "b%C3%BCcher",
    "a%20b",
    "..%20a",
];

#[test]
fn a50_a_path_that_could_be_read_as_another_lies_nowhere() {
    for name in ELSEWHERE {
        for path in [format!("/data/{name}"), format!("/data/x/{name}/b")] {
            assert!(!admits("/data", &path), "{path:?}");
            assert!(!admits("/", &path), "{path:?}");
            assert!(!is_path(&path), "{path:?}");
            // Nor does it admit anything as a prefix.
            assert!(!admits(&path, &path), "{path:?}");
        }
        assert!(!admits("data", &format!("data/{name}")), "{name:?}");
    }
}

#[test]
fn an_ordinary_name_lies_below_its_prefix_and_below_no_other() {
    for name in HERE {
        let path = format!("/data/{name}");
        assert!(is_path(&path), "{path:?}");
        for prefix in ["/", "/data", &path] {
            assert!(admits(prefix, &path), "{path:?} below {prefix:?}");
        }
        for prefix in ["data", "/dat", "/data/other", "/data2"] {
            assert!(!admits(prefix, &path), "{path:?} below {prefix:?}");
        }
        assert!(admits("data", &format!("data/{name}")), "{name:?}");
    }
}
