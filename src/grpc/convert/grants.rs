//! Calls, grants and argument constraints.

use super::Forms;
use super::field::{self, FormError, InField as _, InvalidField, required};
use crate::domain::arguments::{Number, Scalar, Witnesses};
use crate::domain::grant::{
    ArgumentConstraint, AudienceAssurance, Grant, MemberRule, MemberRules, Permission, Risk, Rule,
    SeenCall, ToolCall, is_path,
};
use crate::domain::id::Digest;
use crate::domain::time::Time;
use crate::proto::v1;

type Formed<T> = Result<T, InvalidField>;

impl Forms {
    pub(super) fn seen_call(
        &self,
        call: Option<v1::ToolCall>,
        name: &'static str,
    ) -> Formed<SeenCall> {
        let call = required(call).field(name)?;
        let formed = || {
            let arguments = self.arguments(&call.arguments).field("arguments")?;
            Ok(SeenCall {
                call: ToolCall {
                    audience: self.audience(&call.audience).field("audience")?,
                    tool: self.tool(call.tool).field("tool")?,
                    arguments: arguments.digest(),
                    definition: match call.tool_definition_s256.as_slice() {
                        [] => None,
                        digest => Some(Digest(field::bytes(digest).field("tool_definition_s256")?)),
                    },
                },
                arguments,
            })
        };
        formed().map_err(|invalid: InvalidField| invalid.within(name))
    }

    /// A grant. Arguments that stand behind digests in it are added to the witnesses.
    pub(super) fn grant(
        &self,
        grant: v1::Grant,
        name: &'static str,
        witnesses: &mut Witnesses,
    ) -> Formed<Grant> {
        let risk = risk(grant.risk_ceiling);
        let risk = risk.map_err(|wrong| wrong.at("risk_ceiling").within(name))?;
        Ok(Grant {
            permissions: self
                .permissions(grant.permissions, witnesses)
                .map_err(|invalid| invalid.within(name))?,
            not_after: grant.not_after_ms.map(Time),
            audience_assurance: assurance(grant.audience_must_be_local),
            depth_left: grant.depth,
            children_left: grant.children,
            uses_left: grant.uses,
            risk_ceiling: risk.unwrap_or_default(),
        })
    }

    /// A message that carries a grant may be no longer than others: the service that takes many of them takes
    /// longer ones.
    pub(super) fn grant_fits(&self, message: &impl prost::Message) -> Result<(), FormError> {
        let bytes_max = self.message_bytes;
        if message.encoded_len() > bytes_max {
            return Err(FormError::TooLong { bytes_max });
        }
        Ok(())
    }

    pub(super) fn permissions(
        &self,
        permissions: Vec<v1::Permission>,
        witnesses: &mut Witnesses,
    ) -> Formed<Vec<Permission>> {
        if permissions.len() > self.grant_pairs {
            let max = self.grant_pairs;
            return Err(FormError::TooMany { max }.at("permissions"));
        }
        let each = |(index, permission)| {
            self.permission(permission, witnesses)
                .map_err(|invalid| invalid.within(format_args!("permissions[{index}]")))
        };
        permissions.into_iter().enumerate().map(each).collect()
    }

    pub(super) fn permission(
        &self,
        permission: v1::Permission,
        witnesses: &mut Witnesses,
    ) -> Formed<Permission> {
        let v1::Permission {
            audience,
            tool,
            arguments,
            any_of,
            members,
        } = permission;
        Ok(Permission {
            audience: self.audience(&audience).field("audience")?,
            tool: self.tool(tool).field("tool")?,
            arguments: match (arguments, any_of.is_empty(), members) {
                (None, true, None) => ArgumentConstraint::Any,
                (Some(json), true, None) => {
                    let shown = self.arguments(&json).field("arguments")?;
                    let digest = shown.digest();
                    witnesses.show(shown);
                    ArgumentConstraint::Exact(digest)
                }
                (None, false, None) => ArgumentConstraint::OneOf(self.any_of(&any_of, witnesses)?),
                (None, true, Some(rules)) => ArgumentConstraint::Members(self.members(rules)?),
                _ => {
                    let alone =
                        FormError::OutOfPlace("with one of `arguments`, `any_of`, `members`");
                    return Err(alone.at("arguments"));
                }
            },
        })
    }

    fn any_of(&self, any_of: &[Vec<u8>], witnesses: &mut Witnesses) -> Formed<Vec<Digest>> {
        self.values_fit(any_of.len()).field("any_of")?;
        let mut digests = Vec::with_capacity(any_of.len());
        for (index, json) in any_of.iter().enumerate() {
            let shown = self.arguments(json).field(format!("any_of[{index}]"))?;
            digests.push(shown.digest());
            witnesses.show(shown);
        }
        digests.sort_unstable();
        digests.dedup();
        Ok(digests)
    }

    fn members(&self, members: v1::MemberRules) -> Formed<MemberRules> {
        let max = self.constraint_members;
        if members.rules.len() > max {
            return Err(FormError::TooMany { max }.at("members.rules"));
        }
        let rule = |(index, rule)| {
            self.member(rule)
                .map_err(|invalid| invalid.within(format_args!("members.rules[{index}]")))
        };
        let rules = members.rules.into_iter().enumerate().map(rule);
        let rules = MemberRules::new(rules.collect::<Formed<_>>()?);
        rules.ok_or_else(|| FormError::Twice.at("members.rules.name"))
    }

    fn member(&self, member: v1::MemberRule) -> Formed<MemberRule> {
        use v1::member_rule::Rule as Wire;
        Ok(MemberRule {
            name: field::text(member.name, self.tool_bytes).field("name")?,
            required: member.required,
            rule: match member.rule {
                None => Rule::Any,
                Some(Wire::OneOf(one_of)) => Rule::OneOf(self.scalars(&one_of.values)?),
                Some(Wire::Range(range)) => self.range(&range)?,
                Some(Wire::PathPrefix(prefix)) => {
                    let prefix = field::text(prefix, self.arguments.bytes_max);
                    let prefix =
                        prefix.and_then(|it| is_path(&it).then_some(it).ok_or(FormError::Path));
                    Rule::PathPrefix(prefix.field("path_prefix")?)
                }
            },
        })
    }

    fn scalars(&self, values: &[Vec<u8>]) -> Formed<Vec<Scalar>> {
        const FIELD: &str = "one_of.values";
        if values.is_empty() {
            return Err(FormError::Missing.at(FIELD));
        }
        self.values_fit(values.len()).field(FIELD)?;
        let scalar = |(index, json): (usize, &Vec<u8>)| {
            let value = self.json(json);
            let value = value.and_then(|value| field::scalar(&value).ok_or(FormError::Scalar));
            value.field(format!("{FIELD}[{index}]"))
        };
        let mut scalars: Vec<Scalar> = values
            .iter()
            .enumerate()
            .map(scalar)
            .collect::<Formed<_>>()?;
        scalars.sort();
        scalars.dedup();
        Ok(scalars)
    }

    fn range(&self, range: &v1::Range) -> Formed<Rule> {
        let number = |json: &Option<Vec<u8>>| {
            let value = json.as_ref().map(|json| self.json(json)).transpose()?;
            let number = value.map(|value| match field::scalar(&value) {
                Some(Scalar::Number(number)) => Ok(number),
                _ => Err(FormError::Number),
            });
            number.transpose()
        };
        let (min, max): (Option<Number>, Option<Number>) = (
            number(&range.min).field("range.min")?,
            number(&range.max).field("range.max")?,
        );
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(FormError::Range.at("range"));
        }
        Ok(Rule::Range { min, max })
    }

    fn values_fit(&self, count: usize) -> Result<(), FormError> {
        let max = self.constraint_values;
        if count > max {
            return Err(FormError::TooMany { max });
        }
        Ok(())
    }
}

/// The risk that is named, if one is.
pub(super) fn risk(risk: i32) -> Result<Option<Risk>, FormError> {
    match v1::Risk::try_from(risk) {
        Ok(v1::Risk::Unspecified) => Ok(None),
        Ok(v1::Risk::Low) => Ok(Some(Risk::Low)),
        Ok(v1::Risk::Medium) => Ok(Some(Risk::Medium)),
        Ok(v1::Risk::High) => Ok(Some(Risk::High)),
        Ok(v1::Risk::Critical) => Ok(Some(Risk::Critical)),
        Err(_) => Err(FormError::Unnamed),
    }
}

pub(super) fn assurance(must_be_local: bool) -> AudienceAssurance {
    if must_be_local {
        AudienceAssurance::Process
    } else {
        AudienceAssurance::Svid
    }
}
