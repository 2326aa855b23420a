//! What follows when a Server writes or executes a Resource of a file: a file is written, a program run. One after
//! the other for each Resource, so that the last Write is the last one that is carried out.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use dunlin_client::{Client, Event};
use dunlin_lwm2m::{Level, Node, ObjectId, Path, ResourceId};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::value;
use crate::command::client::program::Program;

/// Orders of Servers that wait for one Resource. More are dropped, and it is said.
const WAITING_MAX: usize = 16;

/// What is done.
#[derive(Clone, Debug)]
pub(super) enum Hook {
    /// The value is written into this file.
    WriteFile(PathBuf),
    /// The program is given the value on its standard input.
    WriteProgram(Program),
    /// The program is run.
    Run(Program),
}

struct Order {
    path: Path,
    value: Vec<u8>,
    arguments: String,
}

/// The hooks of a running Client; they end with it.
#[derive(Debug)]
pub(crate) struct Hooks {
    waiting: BTreeMap<(ObjectId, ResourceId), mpsc::Sender<Order>>,
    _tasks: JoinSet<()>,
}

impl Hooks {
    pub(super) fn start(hooks: &BTreeMap<(ObjectId, ResourceId), Hook>) -> Self {
        let mut tasks = JoinSet::new();
        let mut waiting = BTreeMap::new();
        for (at, hook) in hooks {
            let (sender, orders) = mpsc::channel(WAITING_MAX);
            tasks.spawn(work(hook.clone(), orders));
            waiting.insert(*at, sender);
        }
        Self {
            waiting,
            _tasks: tasks,
        }
    }

    /// Does what follows from an event.
    pub(crate) fn event(&self, client: &Client, event: &Event) {
        match event {
            Event::Written { paths, .. } => {
                for path in paths {
                    self.written(client, *path);
                }
            }
            Event::Created { paths, .. } => {
                for instance in paths {
                    let resources = client.tree().instantiated(*instance);
                    let below: Vec<Path> = resources
                        .filter(|(definition, _)| definition.operations.write)
                        .filter_map(|(definition, _)| instance.child(definition.id.0))
                        .collect();
                    below
                        .into_iter()
                        .for_each(|path| self.written(client, path));
                }
            }
            Event::Executed {
                path, arguments, ..
            } => self.order(Order {
                path: *path,
                value: Vec::new(),
                arguments: arguments.to_string(),
            }),
            _ => {}
        }
    }

    fn written(&self, client: &Client, path: Path) {
        if path.level() != Level::Resource || !self.waiting.contains_key(&key(path)) {
            return;
        }
        let value = match client.read(path).or_else(|| stored(client, path)) {
            Some(Node::Resource(resource)) => value::to_bytes(path, &resource),
            _ => Vec::new(),
        };
        self.order(Order {
            path,
            value,
            arguments: String::new(),
        });
    }

    fn order(&self, order: Order) {
        let path = order.path;
        if let Some(sender) = self.waiting.get(&key(path))
            && sender.try_send(order).is_err()
        {
            tracing::warn!(%path, "servers order more than can be carried out; this one is dropped");
        }
    }
}

/// The value of a Resource that Servers write and cannot read.
fn stored(client: &Client, path: Path) -> Option<Node> {
    let slot = client.tree().slot(path.object_id()?)?;
    let instance = slot.instances.get(&path.instance_id()?)?;
    instance
        .resource(path.resource_id()?)
        .cloned()
        .map(Node::Resource)
}

fn key(path: Path) -> (ObjectId, ResourceId) {
    let object = path.object_id().unwrap_or(ObjectId(u16::MAX));
    (object, path.resource_id().unwrap_or(ResourceId(u16::MAX)))
}

async fn work(hook: Hook, mut orders: mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        let path = order.path;
        if let Err(error) = carry_out(&hook, order).await {
            tracing::warn!(%path, %error, "what a server ordered cannot be carried out");
        }
    }
}

async fn carry_out(hook: &Hook, order: Order) -> io::Result<()> {
    let program = match hook {
        Hook::WriteFile(file) => return tokio::fs::write(file, &order.value).await,
        Hook::WriteProgram(program) | Hook::Run(program) => program,
    };
    let variables = [
        ("DUNLIN_PATH", order.path.to_string()),
        ("DUNLIN_ARGUMENTS", order.arguments),
    ];
    let ended = program.run(&order.value, &variables).await?;
    if ended.status.success() {
        return Ok(());
    }
    let what = format!("{}: {}", program.name(), ended.status);
    Err(io::Error::other(what))
}
