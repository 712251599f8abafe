//! Ports that write down each call before they pass it on: its name, and the kinds and sizes of what it is given.

mod ledger;

use crate::gate::Gate;
use handfast::domain::approval::Verdict;
use handfast::domain::claims::TokenClaims;
use handfast::domain::evidence::ProcessKey;
use handfast::domain::grant::ToolCall;
use handfast::domain::id::{
    Digest, Epoch, NameHash, PrincipalHash, RecordNumber, SpiffeId, StepNumber, TaskId,
};
use handfast::domain::policy::{Permit, PolicyGeneration, PolicyInput, Refusal};
use handfast::domain::time::Time;
use handfast::service::Ports;
use handfast::service::ports::ledger::{Noted, Recorded};
use handfast::service::ports::{
    AttestError, AttestedWorkload, Attestor, BoundCertificate, BoxFuture, Certificates, Clock,
    Entropy, EntropyError, Freshness, LocalPeer, Names, Observed, Peer, PersonError, Persons,
    Policy, Processes, SignError, Signer, VerifiedPerson,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was called, in order, and where commits can be held back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    list: Arc<Mutex<Vec<String>>>,
    pub(crate) gate: Gate,
}

impl Calls {
    fn add(&self, call: impl Into<String>) {
        self.list.lock().expect("is whole").push(call.into());
    }

    /// The calls since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.list.lock().expect("is whole"))
    }
}

#[derive(Debug)]
struct Recorder<P: ?Sized> {
    calls: Calls,
    port: Arc<P>,
}

/// The same ports, with every call of them written down.
pub(crate) fn recorded(ports: Ports, calls: &Calls) -> Ports {
    fn recorder<P: ?Sized>(port: Arc<P>, calls: &Calls) -> Arc<Recorder<P>> {
        let calls = calls.clone();
        Arc::new(Recorder { calls, port })
    }
    Ports {
        attestor: recorder(ports.attestor, calls),
        certificates: recorder(ports.certificates, calls),
        clock: recorder(ports.clock, calls),
        entropy: recorder(ports.entropy, calls),
        ledger: recorder(ports.ledger, calls),
        names: recorder(ports.names, calls),
        persons: recorder(ports.persons, calls),
        policy: recorder(ports.policy, calls),
        processes: recorder(ports.processes, calls),
        signer: recorder(ports.signer, calls),
    }
}

impl Attestor for Recorder<dyn Attestor> {
    fn attest<'a>(
        &'a self,
        peer: &'a Peer,
        freshness: Freshness,
    ) -> BoxFuture<'a, Result<AttestedWorkload, AttestError>> {
        self.calls.add(format!("attestor.attest({freshness:?})"));
        self.port.attest(peer, freshness)
    }

    fn observe(&self, peer: &LocalPeer) -> Result<Observed, AttestError> {
        self.calls.add("attestor.observe");
        self.port.observe(peer)
    }
}

impl Certificates for Recorder<dyn Certificates> {
    fn check(&self, der: &[u8], now: Time) -> Result<BoundCertificate, String> {
        // The signature in it is a few bytes longer or shorter each time.
        self.calls.add("certificates.check");
        self.port.check(der, now)
    }
}

impl Clock for Recorder<dyn Clock> {
    fn now(&self) -> Option<Time> {
        self.calls.add("clock.now");
        self.port.now()
    }

    fn monotonic(&self) -> Duration {
        self.calls.add("clock.monotonic");
        self.port.monotonic()
    }
}

impl Entropy for Recorder<dyn Entropy> {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        self.calls.add(format!("entropy.fill({})", buffer.len()));
        self.port.fill(buffer)
    }
}

impl Names for Recorder<dyn Names> {
    fn handle(&self, server: &SpiffeId, handle: &str) -> NameHash {
        self.calls.add(format!("names.handle({})", handle.len()));
        self.port.handle(server, handle)
    }

    fn handle_is_strong(&self, handle: &str) -> bool {
        let size = handle.len();
        self.calls.add(format!("names.handle_is_strong({size})"));
        self.port.handle_is_strong(handle)
    }

    fn principal(&self, issuer: &str, subject: &str) -> PrincipalHash {
        let size = (issuer.len(), subject.len());
        self.calls.add(format!("names.principal{size:?}"));
        self.port.principal(issuer, subject)
    }

    fn request(&self, process: &ProcessKey, method: &str, request_id: &[u8]) -> Digest {
        let size = request_id.len();
        self.calls.add(format!("names.request({method} {size})"));
        self.port.request(process, method, request_id)
    }

    fn idempotency_key(&self, task: TaskId, step: StepNumber, call: &ToolCall) -> Digest {
        self.calls.add("names.idempotency_key");
        self.port.idempotency_key(task, step, call)
    }

    fn work_reference(&self, task: TaskId) -> String {
        self.calls.add("names.work_reference");
        self.port.work_reference(task)
    }

    fn parse_work_reference(&self, reference: &str) -> Option<TaskId> {
        let size = reference.len();
        let call = format!("names.parse_work_reference({size})");
        self.calls.add(call);
        self.port.parse_work_reference(reference)
    }

    fn decision_id(&self, number: RecordNumber) -> String {
        self.calls.add("names.decision_id");
        self.port.decision_id(number)
    }

    fn sha256(&self, bytes: &[u8]) -> Digest {
        self.calls.add(format!("names.sha256({})", bytes.len()));
        self.port.sha256(bytes)
    }

    fn open_decision_id(&self, id: &str) -> Option<RecordNumber> {
        let size = id.len();
        self.calls.add(format!("names.open_decision_id({size})"));
        self.port.open_decision_id(id)
    }
}

impl Persons for Recorder<dyn Persons> {
    fn verify<'a>(
        &'a self,
        id_token: &'a str,
        decision: (Digest, Verdict),
        now: Time,
    ) -> BoxFuture<'a, Result<VerifiedPerson, PersonError>> {
        let size = id_token.len();
        self.calls.add(format!("persons.verify({size})"));
        self.port.verify(id_token, decision, now)
    }
}

impl Policy for Recorder<dyn Policy> {
    fn evaluate(&self, input: &PolicyInput) -> Result<Permit, Refusal> {
        let action = input.action.name();
        self.calls.add(format!("policy.evaluate({action})"));
        self.port.evaluate(input)
    }

    fn generation(&self) -> PolicyGeneration {
        self.calls.add("policy.generation");
        self.port.generation()
    }

    fn candidate(&self, text: &str) -> Result<Arc<dyn Policy>, String> {
        self.calls.add("policy.candidate");
        self.port.candidate(text)
    }
}

impl Processes for Recorder<dyn Processes> {
    fn exited(&self, peer: Arc<LocalPeer>) -> BoxFuture<'static, ()> {
        self.calls.add("processes.exited");
        self.port.exited(peer)
    }

    fn reopen(&self, key: &ProcessKey) -> Result<Option<Arc<LocalPeer>>, AttestError> {
        self.calls.add("processes.reopen");
        self.port.reopen(key)
    }
}

impl Signer for Recorder<dyn Signer> {
    fn epoch(&self) -> Epoch {
        self.calls.add("signer.epoch");
        self.port.epoch()
    }

    fn renew(&self, epoch: Epoch) -> Result<(), SignError> {
        self.calls.add("signer.renew");
        self.port.renew(epoch)
    }

    fn sign(&self, claims: &Recorded<TokenClaims>) -> Result<String, SignError> {
        self.calls.add("signer.sign");
        self.port.sign(claims)
    }

    fn sign_read(&self, claims: &Noted<TokenClaims>) -> Result<String, SignError> {
        self.calls.add("signer.sign_read");
        self.port.sign_read(claims)
    }

    fn verify(&self, token: &str, now: Time) -> Result<TokenClaims, &'static str> {
        self.calls.add("signer.verify");
        self.port.verify(token, now)
    }
}
