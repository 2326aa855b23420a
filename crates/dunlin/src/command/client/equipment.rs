//! What the Client has beside its accounts: the Objects of this machine, those of `--objects`, and a place for
//! firmware.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use dunlin_client::object::ConnectivityStatistics;
use dunlin_client::{Client, Factory, Now, Sample, Source};
use dunlin_lwm2m::{Instance, ObjectId, Path, Registry};
use dunlin_net::client::ClientHandle;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::objects::{self, Hooks, Objects};
use super::package::{PackageAnswer, Packages, Settings};
use super::source::{Device, Location, Network, Thermometer};

/// The thermometer.
const TEMPERATURE: ObjectId = ObjectId(3303);

/// Where packages lie in the folder of `--state`.
const FIRMWARE_FOLDER: &str = "firmware";

/// UTC Offset and Timezone: the machine's own until a Server writes others.
const WRITTEN_BY_SERVERS: [Path; 2] = [
    Path::resource(
        ObjectId::DEVICE,
        dunlin_lwm2m::ObjectInstanceId(0),
        dunlin_lwm2m::ResourceId(14),
    ),
    Path::resource(
        ObjectId::DEVICE,
        dunlin_lwm2m::ObjectInstanceId(0),
        dunlin_lwm2m::ResourceId(15),
    ),
];

/// The options about Objects.
#[derive(ClapArgs)]
pub(super) struct Options {
    /// Objects from this file: TOML, or an object definition in XML
    #[arg(long, value_name = "FILE")]
    objects: Vec<PathBuf>,
    /// Where this machine is: LAT,LON or LAT,LON,ALT, or a file whose first line says so
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    location: Option<String>,
    /// Firmware Update: this command checks and installs packages
    #[arg(long, value_name = "CMD")]
    firmware_hook: Option<String>,
    /// Whom downloads over https trust [default: /etc/ssl/certs/ca-certificates.crt]
    #[arg(long, value_name = "FILE", requires = "firmware_hook")]
    firmware_ca: Option<PathBuf>,
}

/// What the options say, read once.
#[derive(Debug)]
pub(super) struct Equipment {
    objects: Objects,
    location: Option<Location>,
    packages: Option<Settings>,
    /// Packages without `--state` go with the program.
    _temporary: Option<TempDir>,
}

/// What belongs to one life of the Client.
#[derive(Debug)]
pub(super) struct Outfit {
    sources: Vec<Box<dyn Source>>,
    feeds: JoinSet<()>,
}

impl Equipment {
    pub(super) fn new(options: &Options, state: Option<&PathBuf>) -> anyhow::Result<Self> {
        let mut objects = Objects::default();
        for path in &options.objects {
            objects::read(path, &mut objects)?;
        }
        let location = options.location.as_deref();
        let location = location
            .map(|text| Location::parse(text).with_context(|| format!("--location {text}")))
            .transpose()?;
        let (mut packages, mut temporary) = (None, None);
        if let Some(hook) = &options.firmware_hook {
            let folder = match state {
                Some(state) => state.join(FIRMWARE_FOLDER),
                None => {
                    let folder = tempfile::Builder::new()
                        .prefix("dunlin-client-")
                        .tempdir()?;
                    temporary.insert(folder).path().to_owned()
                }
            };
            packages = Some(Settings {
                hook: hook.clone(),
                authorities: options.firmware_ca.clone(),
                folder,
            });
        }
        Ok(Self {
            objects,
            location,
            packages,
            _temporary: temporary,
        })
    }

    pub(super) fn registry(&self) -> Registry {
        self.objects.registry()
    }

    /// Puts the Objects into a Client that is being made.
    pub(super) fn add_to(&self, factory: &mut Factory) -> anyhow::Result<()> {
        let empty = || Instance::new(0);
        factory.add_instance(ObjectId::CONNECTIVITY_MONITORING, empty())?;
        let statistics = ConnectivityStatistics::instance();
        factory.add_instance(ObjectId::CONNECTIVITY_STATISTICS, statistics)?;
        if self.location.is_some() {
            factory.add_instance(ObjectId::LOCATION, empty())?;
        }
        if self.packages.is_some() {
            factory.add_instance(ObjectId::FIRMWARE_UPDATE, Packages::instance())?;
        }
        if !self.objects.defines(TEMPERATURE) {
            factory.add_object(TEMPERATURE)?;
        }
        self.objects.add_to(factory)?;
        Ok(())
    }

    /// The values that this machine begins with; those that Servers have written stay.
    pub(super) fn dress(&self, client: &mut Client, now: Now) -> Outfit {
        let mut sources: Vec<Box<dyn Source>> =
            vec![Box::new(Device::new()), Box::new(Network::new())];
        if !self.objects.defines(TEMPERATURE) {
            sources.push(Box::new(Thermometer::new()));
        }
        if let Some(location) = &self.location {
            sources.push(Box::new(location.clone()));
        }
        let mut samples = self.objects.constants();
        if self.packages.is_some() {
            samples.extend(Packages::constants(client));
        }
        samples.extend(self.measure(&mut sources, now));
        samples.retain(|sample| match sample {
            Sample::Value(path, _) if WRITTEN_BY_SERVERS.contains(path) => {
                client.read(*path).is_none()
            }
            _ => true,
        });
        for (path, what) in client.take(now, samples) {
            // The system says something that the definition does not allow, such as a name too long.
            tracing::debug!(%path, what, "a value of this machine is left out");
        }
        Outfit {
            sources,
            feeds: JoinSet::new(),
        }
    }

    fn measure(&self, sources: &mut [Box<dyn Source>], now: Now) -> Vec<Sample> {
        let all = sources.iter_mut().flat_map(|source| source.measure(now));
        // What a file says wins.
        all.filter(|sample| match sample {
            Sample::Value(path, _) | Sample::Gone(path) => !self.objects.says(*path),
            _ => true,
        })
        .collect()
    }

    /// What is measured anew, now and then.
    pub(super) async fn tick(&self, outfit: &mut Outfit, handle: &ClientHandle, now: Now) {
        let samples = self.measure(&mut outfit.sources, now);
        handle.take(samples).await;
    }

    /// Begins to feed the Resources of the files.
    pub(super) fn feed(&self, outfit: &mut Outfit, handle: &ClientHandle) {
        for (at, feed) in self.objects.feeds.iter().enumerate() {
            let seed = dunlin_net::seed::draw().unwrap_or_default();
            let seed = u64::from_le_bytes(*seed.first_chunk().expect("32 bytes")) ^ at as u64;
            outfit.feeds.spawn(feed.clone().run(handle.clone(), seed));
        }
    }

    pub(super) fn hooks(&self) -> Hooks {
        self.objects.hooks()
    }

    pub(super) fn packages(
        &self,
        answers: mpsc::UnboundedSender<PackageAnswer>,
    ) -> anyhow::Result<Option<Packages>> {
        let settings = self.packages.as_ref();
        settings
            .map(|settings| Packages::open(settings, answers))
            .transpose()
    }

    /// As new: no package is there.
    pub(super) fn clear(&self) {
        if let Some(settings) = &self.packages
            && let Err(error) = std::fs::remove_dir_all(&settings.folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the firmware package cannot be removed");
        }
    }
}

impl Outfit {
    /// Nothing is fed any more.
    pub(super) async fn end(mut self) {
        self.feeds.shutdown().await;
    }
}
