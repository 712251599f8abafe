//! RFC 8785's own vectors, both sides of every limit, and properties over generated documents.

use super::*;
use proptest::prelude::*;
use std::fmt::Write as _;

fn canonical(text: &str) -> Result<String, CanonicalError> {
    parse(text.as_bytes(), &Limits::default()).map(|value| value.canonical())
}

/// Shows a number's canonical form, or `refused`.
fn number(text: &str) -> String {
    Number::parse(text).map_or_else(|| "refused".to_owned(), |n| n.to_string())
}

#[test]
fn numbers_follow_rfc_8785_appendix_b() {
    for (bits, expected) in [
        (0x0000_0000_0000_0000_u64, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0xc340_0000_0000_0000, "-9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5556, "333333333.3333334"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        // Ties with 16 and with 17 digits.
        (0x430a_50d5_9c0a_a21a, "925903471334467.2"),
        (0x42e0_0000_0000_0004, "140737488355328.12"),
    ] {
        let shown = Number::from_f64(f64::from_bits(bits)).map(|n| n.to_string());
        assert_eq!(shown.as_deref(), Some(expected), "{bits:x}");
        assert_eq!(number(expected), expected, "{bits:x}");
    }
}

#[test]
fn a64_numbers_that_collide_are_refused() {
    for text in [
        "9007199254740993",
        "-9007199254740993",
        "9007199254740992.5",
        "1e400",
        "-1e400",
        "1e-400",
        "0.1000000000000000055511151231257827",
        "1180591620717411303424",
        "3.141592653589793238462643383279",
        "1e99999999999999999999",
        "333333333.33333329",
    ] {
        assert_eq!(number(text), "refused", "{text}");
        assert!(
            matches!(canonical(text), Err(CanonicalError::Number { .. })),
            "{text}"
        );
    }
    for (text, form) in [
        ("9007199254740992", "9007199254740992"),
        ("9007199254740994", "9007199254740994"),
        ("0.1", "0.1"),
        ("-0", "0"),
        ("-0.0e5", "0"),
        ("0e99999999999999999999", "0"),
        ("1E2", "100"),
        ("100e-2", "1"),
        ("1.50", "1.5"),
        ("1e21", "1e+21"),
        ("1e20", "100000000000000000000"),
        ("1e-6", "0.000001"),
        ("1e-7", "1e-7"),
    ] {
        assert_eq!(number(text), form, "{text}");
        assert_eq!(canonical(text).as_deref(), Ok(form), "{text}");
    }
}

#[test]
fn rfc_8785_example_is_canonicalised() {
    let input = r#"{
      "numbers": [333333333.3333333, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }"#;
    let expected = concat!(
        r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#,
        r#""string":"€$\u000f\nA'B\"\\\\\"/"}"#
    );
    assert_eq!(canonical(input).as_deref(), Ok(expected));
}

#[test]
fn members_are_ordered_by_utf_16_code_units() {
    let input = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;
    let expected = "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}";
    assert_eq!(canonical(input).as_deref(), Ok(expected));
    let value = parse(input.as_bytes(), &Limits::default()).expect("is JSON");
    let members = value.members().expect("is an object");
    assert!(
        members
            .iter()
            .all(|(name, item)| members.get(name) == Some(item))
    );
}

#[test]
fn a64_duplicate_members_are_refused_at_any_depth() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"b":2,"\u0061":3}"#,
        r#"[{"x":{"y":[{"a":1,"a":2}]}}]"#,
        r#"{"":0,"":0}"#,
    ] {
        assert!(
            matches!(canonical(text), Err(CanonicalError::Duplicate { .. })),
            "{text}"
        );
    }
    assert_eq!(
        canonical(r#"{"a":{"a":1},"A":2}"#).as_deref(),
        Ok(r#"{"A":2,"a":{"a":1}}"#)
    );
}

#[test]
fn what_is_not_json_is_refused() {
    for text in [
        "",
        " ",
        "tru",
        "nul",
        "{",
        "[",
        "]",
        "{]",
        "[1,]",
        r#"{"a":1,}"#,
        r#"{"a"}"#,
        "{a:1}",
        "01",
        "-",
        "+1",
        ".5",
        "1.",
        "1e",
        "1e+",
        "0x10",
        "NaN",
        "Infinity",
        "-Infinity",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u+123\"",
        "\"\t\"",
        "\"\n\"",
        "1 2",
        "[1] x",
        "// c\n1",
        "\u{feff}1",
        "1\u{a0}",
        "\u{c}1",
        "truefalse",
    ] {
        assert!(
            matches!(canonical(text), Err(CanonicalError::Syntax { .. })),
            "{text:?}"
        );
    }
    for text in [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\u0041""#,
        r#""\ud800x""#,
    ] {
        assert!(
            matches!(canonical(text), Err(CanonicalError::Surrogate { .. })),
            "{text}"
        );
    }
    let bytes = b"\"a\xff\"";
    assert_eq!(
        parse(bytes, &Limits::default()),
        Err(CanonicalError::NotUtf8 { offset: 2 })
    );
}

#[test]
fn both_sides_of_each_limit() {
    let nest = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(canonical(&nest(32)).is_ok());
    assert!(matches!(
        canonical(&nest(33)),
        Err(CanonicalError::Depth { .. })
    ));
    assert!(canonical(&nest(100_000)).is_err());
    // A hundred siblings are not depth.
    assert!(canonical(&format!("[{}1]", "[[]],".repeat(100))).is_ok());

    let limits = Limits {
        bytes_max: 4,
        ..Limits::default()
    };
    assert!(parse(b"1234", &limits).is_ok());
    assert_eq!(
        parse(b"12345", &limits),
        Err(CanonicalError::Size { bytes_max: 4 })
    );
}

#[test]
fn a_tool_definition_is_digested_without_meta() {
    let limits = Limits::default();
    let plain = digest(br#"{"name":"t","inputSchema":{"_meta":1}}"#, &limits);
    let with_meta = br#"{"_meta":{"x":[1]},"inputSchema":{"_meta":1},"name":"t"}"#;
    assert_eq!(tool_definition_digest(with_meta, &limits), plain);
    assert_eq!(
        tool_definition_digest(b"[]", &limits),
        Err(CanonicalError::NotAnObject)
    );
}

#[test]
fn a_digest_is_sha_256_of_the_canonical_bytes() {
    let expected = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let digest = digest(b" { } ", &Limits::default()).expect("is JSON");
    assert_eq!(crate::domain::id::Hex(&digest.0).to_string(), expected);
}

/// A document as text, in two spellings that mean the same.
fn spelled() -> impl Strategy<Value = (String, String)> {
    let space = prop_oneof![Just(""), Just(" "), Just("\n\t"), Just("\r ")];
    let scalar = prop_oneof![
        Just(("null".to_owned(), "null".to_owned())),
        any::<bool>().prop_map(|b| (b.to_string(), b.to_string())),
        (-9_007_199_254_740_992_i64..=9_007_199_254_740_992)
            .prop_map(|n| (n.to_string(), format!("{n}.0e+0"))),
        any::<String>().prop_map(|s| (quoted(&s), escaped(&s))),
    ];
    scalar.prop_recursive(4, 48, 6, move |inner| {
        let array = (prop::collection::vec(inner.clone(), 0..6), space.clone()).prop_map(
            |(items, space)| {
                let (a, b): (Vec<_>, Vec<_>) = items.into_iter().unzip();
                let join = format!("{space},{space}");
                (
                    format!("[{}]", a.join(",")),
                    format!("[{space}{}]", b.join(&join)),
                )
            },
        );
        let object = prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|map| {
            let a: Vec<_> = map
                .iter()
                .map(|(k, v)| format!("{}:{}", quoted(k), v.0))
                .collect();
            let b: Vec<_> = map
                .iter()
                .rev()
                .map(|(k, v)| format!("{} : {}", escaped(k), v.1))
                .collect();
            (
                format!("{{{}}}", a.join(",")),
                format!("{{\n{} }}", b.join(" , ")),
            )
        });
        prop_oneof![array, object]
    })
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

/// Every character escaped.
fn escaped(text: &str) -> String {
    let mut out = "\"".to_owned();
    for unit in text.encode_utf16() {
        write!(out, "\\u{unit:04X}").expect("writes to a string");
    }
    out.push('"');
    out
}

proptest! {
    #[test]
    fn a64_spelling_does_not_change_the_canonical_form((a, b) in spelled()) {
        let first = canonical(&a).expect("a is JSON");
        prop_assert_eq!(&first, &canonical(&b).expect("b is JSON"));
        prop_assert_eq!(&first, &canonical(&first).expect("the form is JSON"));
        // A parser of another house reads the same document.
        let ours: serde_json::Value = serde_json::from_str(&first).expect("theirs reads ours");
        let theirs: serde_json::Value = serde_json::from_str(&b).expect("theirs reads b");
        prop_assert_eq!(loose(ours), loose(theirs));
    }

    #[test]
    fn a64_numbers_with_the_same_form_have_the_same_value(
        a in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,6})?(e[+-]?[0-9]{1,2})?",
        tail in "[0-9]{0,3}",
    ) {
        // A number and its neighbours in text: whatever is accepted twice with one form is one value.
        let b = match a.split_once('e') {
            Some((m, e)) => format!("{m}{}{tail}e{e}", if m.contains('.') { "" } else { "." }),
            None => format!("{a}{}{tail}", if a.contains('.') { "" } else { "." }),
        };
        if let (Some(x), Some(y)) = (Number::parse(&a), Number::parse(&b))
            && x.to_string() == y.to_string()
        {
            prop_assert!(tail.bytes().all(|digit| digit == b'0'), "{} and {}", a, b);
        }
    }

    #[test]
    fn every_double_round_trips(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        let number = Number::from_f64(value).expect("is finite");
        let again = Number::parse(&number.to_string()).expect("its form is accepted");
        prop_assert_eq!(again, number);
        prop_assert_eq!(number.as_f64().to_bits(), bits);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _any = parse(&bytes, &Limits::default());
    }

    #[test]
    fn json_like_garbage_agrees_with_another_parser(text in "[\\[\\]{}:,\"\\\\/ 0-9eE.+a-fnrtu-]{0,24}") {
        if let Ok(value) = parse(text.as_bytes(), &Limits::default()) {
            let ours: serde_json::Value =
                serde_json::from_str(&value.canonical()).expect("theirs reads ours");
            let theirs: serde_json::Value = serde_json::from_str(&text).expect("theirs reads it");
            prop_assert_eq!(loose(ours), loose(theirs));
        }
    }
}

/// `serde_json` tells 1 from 1.0 and may be one unit in the last place off; the standard does neither.
fn loose(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Number(n) => n.as_f64().map_or(serde_json::Value::Null, |f| {
            serde_json::Value::String(format!("{:.13e}", f + 0.0))
        }),
        serde_json::Value::Array(items) => items.into_iter().map(loose).collect(),
        serde_json::Value::Object(map) => map.into_iter().map(|(k, v)| (k, loose(v))).collect(),
        other @ (serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::String(_)) => other,
    }
}

#[test]
fn numbers_that_are_no_numbers_are_none() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(Number::from_f64(value), None);
    }
}
