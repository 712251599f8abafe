//! The real side of fanning out: `Legs.Spawn`, and `Requests.Issue(create)` and `Tasks.Create` under a child grant.

use super::alphabet::{Hand, On};
use super::answer::Answer;
use super::history::lifetime;
use super::real::{Done, Moment};
use super::rows::{child_id, name};
use super::wider::{Cut, Half};
use crate::fixture::{call, id, permit, present, role};
use handfast::domain::arguments::Arguments;
use handfast::domain::arguments::Witnesses;
use handfast::domain::claims::TokenClaims;
use handfast::domain::decide::create::{self, AskCreate, Basis, CreateAsked, Register};
use handfast::domain::decide::spawn::{self, AskChild, AskSpawn};
use handfast::domain::denial::Reason;
use handfast::domain::grant::narrow::ChildTerms;
use handfast::domain::grant::{
    ArgumentConstraint, AudienceAssurance, Grant, Permission, SeenCall, ToolCall,
};
use handfast::domain::id::{Digest, Jti, LegNumber};
use handfast::domain::lineage::Lineage;
use handfast::domain::role::{AsPerformer, AsSpender, Held};
use std::time::Duration;

/// The `create` that every child grant is good for.
pub(super) fn part() -> Permission {
    Permission {
        audience: id("reports"),
        tool: "part".to_owned(),
        arguments: ArgumentConstraint::Any,
    }
}

fn part_call() -> SeenCall {
    let call = ToolCall {
        audience: id("reports"),
        tool: "part".to_owned(),
        ..call(1)
    };
    SeenCall {
        arguments: Arguments::unseen(call.arguments),
        call,
    }
}

fn terms(cut: Cut, uses: Option<u32>) -> ChildTerms {
    ChildTerms {
        call: part(),
        permissions: crate::fixture::grant().permissions,
        not_after: None,
        audience_assurance: AudienceAssurance::Svid,
        depth: u32::from(cut == Cut::Deep),
        children: 0,
        uses,
        risk_ceiling: None,
        witnesses: Witnesses::default(),
    }
}

impl Moment<'_> {
    pub(super) fn spawn(&self, by: Hand, cut: Cut) -> Result<Done, Reason> {
        let task = self.known(On::Root)?;
        let held = Held::<AsPerformer>::check(task, self.hands.of(by))?;
        let fan = &self.world.fan;
        let last = fan.spawned.len();
        let (request, asked) = match cut {
            Cut::Again | Cut::Differs => {
                let before = self.store.spawned(self.world).last().unwrap();
                let other = Digest([0; 32]);
                let same = cut == Cut::Again;
                (before.request, if same { before.asked } else { other })
            }
            _ => {
                let mark = [by as u8 + 1, u8::try_from(last).unwrap(), cut as u8 + 1];
                let mut digest = [0; 32];
                digest[..3].copy_from_slice(&mark);
                (Digest(digest), Digest(digest))
            }
        };
        let uses = cut.uses().iter().enumerate();
        let children = uses.map(|(nth, uses)| AskChild {
            id: child_id(self.store.setting, fan.grants.len() + nth),
            terms: terms(cut, *uses),
            spender: None,
        });
        let ask = AskSpawn {
            leg: LegNumber(task.legs.0.max(1)),
            children: children.collect(),
            request,
            asked,
        };
        let mut spawned = self.store.spawned(self.world);
        let rows = Lineage {
            spawned: spawned.find(|row| row.request == request).cloned(),
            ..self.views[On::Root.index()].seen.clone()
        };
        let made = spawn::spawn(&rows, &held, &ask, &[], &self.now())?;
        let answer = Answer::Children {
            count: made.effect.ids.len(),
            repeat: made.effect.repeat,
        };
        Ok(Done::with(answer, vec![made.writes]))
    }

    pub(super) fn spend(&self, by: Hand, half: Half) -> Result<Done, Reason> {
        if half == Half::Create {
            let token = self.store.create_token(self.world).unwrap().clone();
            return self.register(&self.under_the_grant(), by, token);
        }
        let mut asked = self.ask_child(by)?;
        let Some(token) = asked.created.clone().filter(|_| half == Half::Both) else {
            return Ok(asked);
        };
        let rows = Lineage {
            terms: asked.writes[0].terms.clone(),
            ..self.under_the_grant()
        };
        let made = self.register(&rows, Hand::Server, token)?;
        asked.answer = made.answer;
        asked.writes.extend(made.writes);
        Ok(asked)
    }

    /// What a command about the first child grant reads.
    fn under_the_grant(&self) -> Lineage {
        let rows = Lineage {
            id: Some(super::rows::id(On::Child)),
            task: self.views[On::Child.index()].rows.task.clone(),
            ancestors: vec![self.store.task(self.world, On::Root).clone()],
            child: self.store.grants(self.world).next().cloned(),
            terms: self.store.terms(self.world).cloned(),
            revocations: self.store.revocations(self.world),
            ..Lineage::default()
        };
        rows.as_of(self.world.time).into_owned()
    }

    fn ask_child(&self, by: Hand) -> Result<Done, Reason> {
        let grant = self.store.grants(self.world).next().unwrap();
        let who = self.hands.of(by);
        let held = Held::<AsSpender>::check(grant, who)?;
        let fan = &self.world.fan;
        let mut rows = self.under_the_grant();
        if !fan.askers.contains(&by) {
            // Nothing is found by a request that was not made before.
            (rows.id, rows.task, rows.terms) = (None, None, None);
        }
        let mut request = [0; 32];
        request[0] = by as u8 + 1;
        let serial = u8::try_from(100 + fan.askers.len()).unwrap();
        let ask = AskCreate {
            task: grant.id,
            owner: role(by.path(), who.uid.unwrap()),
            call: part_call(),
            asked: None,
            child: Some((grant.id, held)),
            performers: Vec::new(),
            witnesses: Witnesses::default(),
            lifetime: Duration::from_millis(lifetime(On::Child)),
            jti: Jti([serial; 16]),
            certificate: Digest([8; 32]),
            certificate_ends: self.world.time.after(Duration::from_secs(2 * 3600)),
            request: Digest(request),
        };
        let asked = create::issue(&rows, &ask, &[], &self.now())?;
        let token = match asked.effect {
            CreateAsked::Issue(claims) => *claims,
            CreateAsked::Repeat(_) => {
                let answer = Answer::Made { repeat: true };
                return Ok(Done::with(answer, vec![asked.writes]));
            }
        };
        Ok(Done {
            created: Some(token),
            asker: Some(by),
            ..Done::with(Answer::Token { retry: false }, vec![asked.writes])
        })
    }

    fn register(&self, rows: &Lineage, by: Hand, token: TokenClaims) -> Result<Done, Reason> {
        let ask = Register {
            server: role(by.path(), 20),
            basis: Basis::Token(Box::new(present(token))),
            principal: None,
            call: part_call().call,
            keep: None,
            own: Grant::default(),
            performers: vec![role("worker", 30)],
            lifetime: Duration::from_millis(lifetime(On::Child)),
            name: name(On::Child),
        };
        let made = create::register(rows, &ask, &[permit()], &self.now())?;
        let answer = Answer::Made {
            repeat: made.effect.repeat,
        };
        Ok(Done::with(answer, vec![made.writes]))
    }
}
