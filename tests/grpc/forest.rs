//! Tasks that fan out, by one call after the other: cut, spent, registered, taken up, stepped.

use crate::world::{Caller, OWNER, SERVER, TOOL, WORKER, World, call, certificate, proof};
use handfast::proto::v1;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tonic::Status;
use tonic_types::StatusExt as _;
use v1::check_response::Answer;
use v1::enforcement_client::EnforcementClient;
use v1::legs_client::LegsClient;
use v1::requests_client::RequestsClient;
use v1::tasks_client::TasksClient;
use v1::{check_request, issue_request};

/// How many calls are made at once.
const AT_ONCE: usize = 64;

/// A task of a tree, with the first leg of the worker on it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) task: String,
    pub(crate) handle: String,
}

/// What grows trees: a caller of each role, each with the same key all along.
#[derive(Clone)]
pub(crate) struct Forest {
    owner: Caller,
    server: Caller,
    worker: Caller,
    tool: Caller,
    certificate: Vec<u8>,
    names: Arc<AtomicU64>,
}

/// So many children over so many generations, and so many steps.
pub(crate) fn grant(children: u32, depth: u32, uses: Option<u32>) -> v1::Grant {
    v1::Grant {
        permissions: vec![permission(TOOL, "pay"), permission(SERVER, "part")],
        children,
        depth,
        uses,
        ..v1::Grant::default()
    }
}

fn permission(audience: &str, tool: &str) -> v1::Permission {
    v1::Permission {
        audience: audience.to_owned(),
        tool: tool.to_owned(),
        ..v1::Permission::default()
    }
}

/// The reason of a no, or what else was said.
pub(crate) fn reason<T>(answer: Result<T, Status>) -> String {
    match answer {
        Ok(_) => "ok".to_owned(),
        Err(status) => status.get_details_error_info().expect("has one").reason,
    }
}

/// Runs these, some at once, and gives their results in order.
pub(crate) async fn all<T, F>(works: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut works = works.into_iter().peekable();
    let mut results = Vec::new();
    while works.peek().is_some() {
        let some: Vec<_> = works.by_ref().take(AT_ONCE).map(tokio::spawn).collect();
        for one in some {
            results.push(one.await.expect("does not panic"));
        }
    }
    results
}

impl Forest {
    pub(crate) fn of(world: &World) -> Self {
        Self {
            owner: world.caller(OWNER),
            server: world.caller(SERVER),
            worker: world.caller(WORKER),
            tool: world.caller(TOOL),
            certificate: certificate(),
            names: Arc::default(),
        }
    }

    /// A word that nobody has used yet.
    fn name(&self) -> String {
        let number = self.names.fetch_add(1, Ordering::SeqCst);
        format!("3f0c5f0e-5d5a-4a3f-9d3c-{number:012x}")
    }

    async fn ask(self, by: Caller, operation: issue_request::Operation) -> Result<String, Status> {
        let request = v1::IssueRequest {
            request_id: self.name().into_bytes(),
            certificate: self.certificate,
            operation: Some(operation),
        };
        let issued = RequestsClient::new(by).issue(request).await?;
        Ok(issued.into_inner().token)
    }

    /// A task of the owner with this grant, taken up.
    pub(crate) async fn root(self, asked: v1::Grant) -> Node {
        let ask = v1::AskCreate {
            call: Some(call(SERVER, "part")),
            asked: Some(asked),
            ..v1::AskCreate::default()
        };
        let (to, owner) = (self.clone(), self.owner.clone());
        let token = to.ask(owner, issue_request::Operation::Create(ask)).await;
        let created = self.clone().register(token.expect("is permitted")).await;
        self.start(created.expect("is permitted"))
            .await
            .expect("is permitted")
    }

    /// Children with these grants, by the leg on this task.
    pub(crate) async fn spawn(
        self,
        of: Node,
        grants: Vec<v1::Grant>,
    ) -> Result<Vec<String>, Status> {
        let child = |asked| v1::Child {
            call: Some(permission(SERVER, "part")),
            asked: Some(asked),
            spender: String::new(),
        };
        let request = v1::SpawnRequest {
            task_id: of.task,
            leg: 1,
            request_id: self.name().into_bytes(),
            children: grants.into_iter().map(child).collect(),
        };
        let spawned = LegsClient::new(self.worker).spawn(request).await?;
        Ok(spawned.into_inner().children)
    }

    /// The create token that a child is spent for, with all that it has.
    pub(crate) async fn spend(self, child: String) -> Result<String, Status> {
        let ask = v1::AskCreate {
            call: Some(call(SERVER, "part")),
            child,
            ..v1::AskCreate::default()
        };
        let worker = self.worker.clone();
        self.ask(worker, issue_request::Operation::Create(ask))
            .await
    }

    /// The server makes a task of a create token; gives it with its handle.
    pub(crate) async fn register(
        self,
        token: String,
    ) -> Result<(v1::CreateResponse, String), Status> {
        let handle = self.name();
        let request = v1::CreateRequest {
            token,
            proof: Some(proof(&self.certificate)),
            call: Some(call(SERVER, "part")),
            handle: handle.clone(),
            performers: vec![WORKER.to_owned()],
            ..v1::CreateRequest::default()
        };
        let created = TasksClient::new(self.server).create(request).await?;
        Ok((created.into_inner(), handle))
    }

    /// The worker takes a task up.
    pub(crate) async fn start(
        self,
        (created, handle): (v1::CreateResponse, String),
    ) -> Result<Node, Status> {
        let request = v1::StartRequest {
            work_reference: created.work_reference,
            certificate: self.certificate,
            request_id: Vec::new(),
        };
        let started = LegsClient::new(self.worker).start(request).await?;
        assert_eq!(started.into_inner().leg, 1);
        Ok(Node {
            task: created.task_id,
            handle,
        })
    }

    /// A child becomes a task that is taken up.
    pub(crate) async fn grow(self, child: String) -> Node {
        let token = self.clone().spend(child).await.expect("is permitted");
        let created = self.clone().register(token).await.expect("is permitted");
        self.start(created).await.expect("is permitted")
    }

    /// A tree whose generations have so many children each, the root first.
    pub(crate) async fn tree(&self, generations: &[usize]) -> Vec<Node> {
        let below = |rest: &[usize]| {
            let product = |sum: usize, each: &usize| each * (sum + 1);
            let children = rest.iter().rev().fold(0, product);
            let depth = u32::try_from(rest.len()).expect("is small");
            grant(u32::try_from(children).expect("is small"), depth, None)
        };
        let mut tree = vec![self.clone().root(below(generations)).await];
        let mut youngest = 0..1;
        for (generation, each) in generations.iter().enumerate() {
            let asked = vec![below(&generations[generation + 1..]); *each];
            let parents = tree[youngest.clone()].iter().cloned();
            let spawned = parents.map(|parent| self.clone().spawn(parent, asked.clone()));
            let children = all(spawned.collect::<Vec<_>>()).await.into_iter();
            let children = children.flat_map(|children| children.expect("is permitted"));
            let grown = children.map(|child| self.clone().grow(child));
            let grown = all(grown.collect::<Vec<_>>()).await;
            youngest = tree.len()..tree.len() + grown.len();
            tree.extend(grown);
        }
        tree
    }

    /// A token for a step.
    pub(crate) async fn step(self, of: Node, step: u32) -> Result<String, Status> {
        let request = v1::IssueStepRequest {
            task_id: of.task,
            leg: 1,
            step,
            call: Some(call(TOOL, "pay")),
            request_id: self.name().into_bytes(),
            skip_unknown: false,
        };
        let issued = LegsClient::new(self.worker).issue(request).await?;
        Ok(issued.into_inner().token)
    }

    /// Whether the tool may act on a step's token: `fresh`, or why not.
    pub(crate) async fn check(self, token: String) -> String {
        match self.checked(token).await {
            Answer::Fresh(_) => "fresh".to_owned(),
            Answer::Denied(denied) => denied.reason,
            other @ (Answer::Read(_) | Answer::Repeat(_)) => {
                panic!("is no first answer for a step: {other:?}")
            }
        }
    }

    async fn checked(self, token: String) -> Answer {
        let request = v1::CheckRequest {
            token,
            proof: Some(proof(&self.certificate)),
            principal: None,
            operation: Some(check_request::Operation::Step(call(TOOL, "pay"))),
        };
        let checked = EnforcementClient::new(self.tool).check(request).await;
        let checked = checked.expect("is decided").into_inner();
        checked.answer.expect("is one")
    }

    /// A whole step: token, `fresh`, done.
    pub(crate) async fn act(self, of: Node, step: u32) -> Result<(), Status> {
        let token = self.clone().step(of.clone(), step).await?;
        let Answer::Fresh(fresh) = self.clone().checked(token).await else {
            panic!("is not fresh");
        };
        let done = fresh.step.expect("is a step");
        let report = v1::ReportRequest {
            task_id: of.task,
            step,
            fence: done.fence,
            jti: done.jti,
            outcome: v1::report_request::Outcome::Done.into(),
        };
        EnforcementClient::new(self.tool).report(report).await?;
        Ok(())
    }

    /// The owner's token that cancels this task.
    pub(crate) async fn cancel_token(self, of: &Node) -> String {
        let name = v1::AskName {
            server: SERVER.to_owned(),
            handle: of.handle.clone(),
        };
        let owner = self.owner.clone();
        let token = self.ask(owner, issue_request::Operation::Cancel(name));
        token.await.expect("is permitted")
    }

    /// Its server takes the cancel.
    pub(crate) async fn cancel(self, of: Node, token: String) {
        let name = v1::CheckName { handle: of.handle };
        let request = v1::CheckRequest {
            token,
            proof: Some(proof(&self.certificate)),
            principal: None,
            operation: Some(check_request::Operation::Cancel(name)),
        };
        let checked = EnforcementClient::new(self.server).check(request).await;
        match checked.expect("is decided").into_inner().answer {
            Some(Answer::Fresh(fresh)) => {
                let task = fresh.task.expect("is one");
                assert_eq!(task.state(), v1::TaskState::Cancelled);
            }
            other => panic!("is not taken: {other:?}"),
        }
    }
}
