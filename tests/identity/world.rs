//! A development provider of its own for each test, and processes to ask about.

use handfast::attest::broker::BrokerDirectory;
use handfast::attest::directory::DirectoryConfig;
use handfast::dev::{self, DevConfig};
use handfast::domain::id::{SpiffeId, TrustDomain};
use handfast::identity::{
    AgentRule, BrokerChannelConfig, Identity, IdentityConfig, Standing, UnixEndpoint,
};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Far longer than anything here takes, so that only a hang reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const TRUST_DOMAIN: &str = "dev.test";

pub(crate) struct World {
    folder: TempDir,
    pub(crate) config: DevConfig,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

impl World {
    /// Starts a provider with the agent's own entry and `more`.
    pub(crate) async fn start(more: &str) -> Self {
        Self::with(more, |_config| {}).await
    }

    pub(crate) async fn with(more: &str, change: impl FnOnce(&mut DevConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut config = DevConfig::new(
            TrustDomain::new(TRUST_DOMAIN).unwrap(),
            path("workload/api.sock"),
            path("broker/api.sock"),
            path("entries.toml"),
        );
        config.reload_interval = Duration::from_millis(20);
        change(&mut config);
        let mut world = Self {
            folder,
            config,
            running: None,
        };
        world.entries(&format!("{}{more}", agent_entry()));
        world.run().await;
        world
    }

    /// Starts the provider, again if it was stopped.
    pub(crate) async fn run(&mut self) {
        let (ready, is_ready) = oneshot::channel();
        let shutdown = CancellationToken::new();
        let running = dev::run(self.config.clone(), ready, shutdown.clone());
        let task = tokio::spawn(async move { running.await.unwrap() });
        is_ready.await.unwrap();
        self.running = Some((shutdown, task));
    }

    pub(crate) async fn stop(&mut self) {
        let (shutdown, task) = self.running.take().unwrap();
        shutdown.cancel();
        within(task).await.unwrap();
    }

    /// Replaces all entries.
    pub(crate) fn entries(&self, text: &str) {
        // Renamed into place, so that the provider never reads half a file.
        let draft = self.folder.path().join("draft.toml");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(&draft, &self.config.entries).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn identity_config(&self) -> IdentityConfig {
        let endpoint = format!("unix://{}", self.config.workload_socket.display());
        let mut config = IdentityConfig::new(UnixEndpoint::parse(&endpoint).unwrap());
        config.initial_sync_timeout = Duration::from_millis(200);
        config.reconnect_backoff = (Duration::from_millis(10), Duration::from_millis(50));
        config
    }

    pub(crate) async fn identity(&self) -> Identity {
        within(Identity::start(&self.identity_config()))
            .await
            .unwrap()
    }

    pub(crate) fn channel_config(&self, agent: AgentRule) -> BrokerChannelConfig {
        let endpoint = format!("unix://{}", self.config.broker_socket.display());
        let mut config = BrokerChannelConfig::new(UnixEndpoint::parse(&endpoint).unwrap());
        config.agent = agent;
        config
    }

    pub(crate) fn directory(&self, identity: &Identity) -> BrokerDirectory {
        let config = self.channel_config(AgentRule::AnySpireAgent);
        let channel = identity.broker_channel(&config).unwrap();
        BrokerDirectory::new(channel, directory_config())
    }
}

pub(crate) fn directory_config() -> DirectoryConfig {
    let mut config = DirectoryConfig::new(TrustDomain::new(TRUST_DOMAIN).unwrap());
    config.deadline = Duration::from_secs(10);
    config
}

pub(crate) fn id(path: &str) -> SpiffeId {
    SpiffeId::new(format!("spiffe://{TRUST_DOMAIN}{path}")).unwrap()
}

/// The entry of this test process, which plays the agent.
pub(crate) fn agent_entry() -> String {
    let executable = std::env::current_exe().unwrap();
    let executable = executable.canonicalize().unwrap();
    format!(
        "[[entry]]\nspiffe_id = \"{}\"\nselectors = [\"unix:path:{}\"]\nbroker = true\n",
        id("/handfast"),
        executable.display()
    )
}

pub(crate) fn entry(path: &str, selector: &str) -> String {
    format!(
        "[[entry]]\nspiffe_id = \"{}\"\nselectors = [\"{selector}\"]\n",
        id(path)
    )
}

/// A live process that is not this one, ended with the test.
pub(crate) struct Sleeper(Child);

impl Sleeper {
    pub(crate) fn start() -> Self {
        Self(
            Command::new("sleep")
                .arg("600")
                .stdin(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    /// A selector that this process matches and the agent does not.
    pub(crate) fn selector(&self) -> String {
        let executable = std::fs::read_link(format!("/proc/{}/exe", self.0.id())).unwrap();
        format!("unix:path:{}", executable.display())
    }

    /// Ends it, and reaps it: from then on its number names nothing.
    pub(crate) fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.end();
    }
}

/// Fails a test that hangs.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

/// Asks again and again until the answer is the one that must come.
pub(crate) async fn eventually<T, F, Fut>(expected: T, mut ask: F)
where
    T: PartialEq + std::fmt::Debug,
    F: FnMut() -> Fut,
    Fut: Future<Output = T>,
{
    let mut last = None;
    let polled = tokio::time::timeout(PATIENCE, async {
        loop {
            let answer = ask().await;
            if answer == expected {
                return;
            }
            last = Some(answer);
            tokio::time::sleep(Duration::from_millis(10)).await; // poll: `ask` until `expected`
        }
    });
    assert!(polled.await.is_ok(), "never {expected:?}, last {last:?}");
}

/// Waits for a standing through the identity's own watch.
pub(crate) async fn standing(identity: &Identity, expected: fn(Standing) -> bool) -> Standing {
    let mut updates = identity.updated();
    within(async {
        let mut standing = identity.standing();
        while !expected(standing) {
            standing = updates.changed().await;
        }
        standing
    })
    .await
}
