//! Grants, constraints and children as requests. A grant is a list of permissions, with its end beside it, or
//! an object that has everything in it.

use super::ask::{arguments, flag, list, number, small, text};
use handfast::proto::v1::{self, member_rule::Rule};
use serde_json::Value;

pub(crate) fn permissions(op: &Value, name: &str) -> Vec<v1::Permission> {
    list(op, name).map(permission).collect()
}

fn permission(permission: &Value) -> v1::Permission {
    let members = permission.get("members").map(|_| v1::MemberRules {
        rules: list(permission, "members").map(member).collect(),
    });
    v1::Permission {
        audience: text(permission, "audience"),
        tool: text(permission, "tool"),
        arguments: arguments(permission),
        any_of: list(permission, "any_of").map(json).collect(),
        members,
    }
}

/// JSON, or its text.
fn json(value: &Value) -> Vec<u8> {
    let text = value.as_str().map(str::to_owned);
    text.unwrap_or_else(|| value.to_string()).into_bytes()
}

/// Scalars are texts of JSON: `"17"`, `"\"orders\""`.
fn member(member: &Value) -> v1::MemberRule {
    let end = |name: &str| member.get("range")?.get(name).map(json);
    let rule = if member.get("one_of").is_some() {
        let values = list(member, "one_of").map(json).collect();
        Some(Rule::OneOf(v1::OneOf { values }))
    } else if member.get("range").is_some() {
        Some(Rule::Range(v1::Range {
            min: end("min"),
            max: end("max"),
        }))
    } else {
        let path = member.get("path").and_then(Value::as_str);
        path.map(|path| Rule::PathPrefix(path.to_owned()))
    };
    v1::MemberRule {
        name: text(member, "name"),
        required: flag(member, "required"),
        rule,
    }
}

pub(crate) fn grant(op: &Value, name: &str) -> Option<v1::Grant> {
    let stated = op.get(name)?;
    let (permissions, beside) = if stated.is_object() {
        (permissions(stated, "permissions"), stated)
    } else {
        (permissions(op, name), op)
    };
    Some(v1::Grant {
        permissions,
        not_after_ms: beside.get("not_after_ms").and_then(Value::as_u64),
        audience_must_be_local: flag(beside, "audience_must_be_local"),
        depth: small(beside, "depth"),
        children: small(beside, "children"),
        uses: beside.get("uses").map(|_| small(beside, "uses")),
        risk_ceiling: i32::try_from(number(beside, "risk")).unwrap_or(i32::MAX),
    })
}

pub(crate) fn spawn(op: &Value) -> v1::SpawnRequest {
    let child = |child: &Value| v1::Child {
        call: child.get("call").map(permission),
        asked: grant(child, "asked"),
        spender: text(child, "spender"),
    };
    v1::SpawnRequest {
        task_id: text(op, "task_id"),
        leg: small(op, "leg"),
        request_id: text(op, "request_id").into_bytes(),
        children: list(op, "children").map(child).collect(),
    }
}
