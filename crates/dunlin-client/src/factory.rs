//! A Client as it leaves the factory: accounts and Objects put together (TS 1.0 §5.2.3.1).

use alloc::collections::BTreeMap;
use alloc::string::String;

use dunlin_lwm2m::operation::Binding;
use dunlin_lwm2m::{
    Instance, LwM2mVersion, ObjectId, ObjectInstanceId, Registry, Resource, ResourceInstanceId,
    ShortServerId, Value,
};

use crate::account::{
    ACCOUNT_TIMEOUT, HOLD_OFF, IS_BOOTSTRAP_SERVER, SECURITY_SHORT_SERVER_ID, Scheme, ServerUri,
    URI, UriError, is_bootstrap,
};
use crate::credentials::Credentials;
use crate::object::behaviour_of;
use crate::object::server::{BINDING, LIFETIME, SHORT_SERVER_ID, STORING};
use crate::tree::{Slot, Tree};

/// Puts a [`Tree`] together.
#[derive(Debug)]
pub struct Factory {
    registry: Registry,
    tree: Tree,
    servers: u16,
}

/// Why a part does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FactoryError {
    /// The Object has no definition.
    #[error("no definition of object {0} is known")]
    NoDefinition(ObjectId),
    /// The address of a Server cannot be read.
    #[error("{uri}: {error}")]
    Uri {
        /// What was given.
        uri: String,
        /// What is wrong with it.
        error: UriError,
    },
    /// An account without security for a Server that asks for it.
    #[error("{0}: an account without security is for coap:// alone")]
    WithoutSecurity(String),
    /// Credentials for a Server that is spoken to in the clear.
    #[error("{0}: an account with security is for coaps:// alone")]
    InTheClear(String),
    /// There is one Bootstrap-Server Account, or none (TS 1.0 §5.2.2).
    #[error("a client has one bootstrap server, and no second one")]
    SecondBootstrapServer,
    /// More Servers than Short Server IDs.
    #[error("there are too many servers")]
    TooManyServers,
}

impl Factory {
    /// Begins with Objects 0, 1 and 3, without accounts, and a Device of which nothing is known.
    ///
    /// # Errors
    ///
    /// The registry lacks one of the three.
    pub fn new(registry: Registry) -> Result<Self, FactoryError> {
        let mut factory = Self {
            registry,
            tree: Tree::default(),
            servers: 0,
        };
        factory.add_object(ObjectId::SECURITY)?;
        factory.add_object(ObjectId::SERVER)?;
        factory.add_object(ObjectId::DEVICE)?;
        let no_error = [(ResourceInstanceId(0), Value::Integer(0))];
        let device = Instance::new(0)
            .with(Resource::multiple(11, no_error))
            .with(Resource::single(13, Value::Time(0)))
            .with(Resource::single(16, Value::String("UQ".into())));
        factory.add_instance(ObjectId::DEVICE, device)?;
        Ok(factory)
    }

    /// Adds an Object with the behaviour that belongs to it, in the version that LwM2M 1.0
    /// implies, or else the newest that is known.
    ///
    /// # Errors
    ///
    /// It has no definition.
    pub fn add_object(&mut self, object: ObjectId) -> Result<&mut Slot, FactoryError> {
        if self.tree.slot(object).is_none() {
            let model = self.registry.of_enabler(LwM2mVersion::V1_0);
            let definition = model
                .object(object)
                .or_else(|| self.registry.latest(object));
            let definition = definition
                .ok_or(FactoryError::NoDefinition(object))?
                .clone();
            let behaviour = behaviour_of(object);
            self.tree.insert(Slot {
                definition,
                behaviour,
                instances: BTreeMap::new(),
            });
        }
        Ok(self.tree.slot_mut(object).expect("it is there now"))
    }

    /// Adds an instance, and its Object where that is not there yet.
    ///
    /// # Errors
    ///
    /// The Object has no definition.
    pub fn add_instance(
        &mut self,
        object: ObjectId,
        instance: Instance,
    ) -> Result<(), FactoryError> {
        let slot = self.add_object(object)?;
        let known = slot
            .instances
            .entry(instance.id)
            .or_insert_with(|| Instance::new(instance.id));
        known.extend(instance.into_resources());
        Ok(())
    }

    /// Adds an account without security for the Server at `uri`. Gives its Short Server ID.
    ///
    /// # Errors
    ///
    /// The URI cannot be read, or asks for security.
    pub fn add_server(
        &mut self,
        uri: &str,
        lifetime_s: u32,
        binding: Binding,
    ) -> Result<ShortServerId, FactoryError> {
        self.add_secured_server(uri, &Credentials::NoSec, lifetime_s, binding)
    }

    /// Adds an account for the Server at `uri`. Gives its Short Server ID.
    ///
    /// # Errors
    ///
    /// The URI cannot be read, or does not go with the credentials.
    pub fn add_secured_server(
        &mut self,
        uri: &str,
        credentials: &Credentials,
        lifetime_s: u32,
        binding: Binding,
    ) -> Result<ShortServerId, FactoryError> {
        let security = self.security(uri, false, credentials)?;
        self.servers += 1;
        let short_server_id =
            ShortServerId::new(self.servers).ok_or(FactoryError::TooManyServers)?;
        let number = |value: u16| Value::Integer(i64::from(value));
        let server = Instance::new(ObjectInstanceId(self.servers - 1))
            .with(Resource::single(SHORT_SERVER_ID, number(self.servers)))
            .with(Resource::single(
                LIFETIME,
                Value::Integer(lifetime_s.into()),
            ))
            .with(Resource::single(STORING, Value::Boolean(true)))
            .with(Resource::single(
                BINDING,
                Value::String(binding.as_str().into()),
            ));
        let own = Resource::single(SECURITY_SHORT_SERVER_ID, number(self.servers));
        self.add_instance(ObjectId::SECURITY, security.with(own))?;
        self.add_instance(ObjectId::SERVER, server)?;
        Ok(short_server_id)
    }

    /// Adds the Bootstrap-Server Account: the Client asks there when no Server can be reached, not
    /// before `hold_off_s` have passed, and forgets it `timeout_s` after it was bootstrapped (0:
    /// never). TS 1.0 §5.2.3.
    ///
    /// # Errors
    ///
    /// The URI cannot be read, or does not go with the credentials; there is one already.
    pub fn add_bootstrap_server(
        &mut self,
        uri: &str,
        credentials: &Credentials,
        hold_off_s: u32,
        timeout_s: u32,
    ) -> Result<(), FactoryError> {
        if self.tree.instances(ObjectId::SECURITY).any(is_bootstrap) {
            return Err(FactoryError::SecondBootstrapServer);
        }
        let seconds = |id, value: u32| Resource::single(id, Value::Integer(value.into()));
        let security = self
            .security(uri, true, credentials)?
            .with(seconds(HOLD_OFF, hold_off_s))
            .with(seconds(ACCOUNT_TIMEOUT, timeout_s));
        self.add_instance(ObjectId::SECURITY, security)
    }

    /// The next instance of Object 0.
    fn security(
        &self,
        uri: &str,
        bootstrap: bool,
        credentials: &Credentials,
    ) -> Result<Instance, FactoryError> {
        let parsed = ServerUri::parse(uri).map_err(|error| FactoryError::Uri {
            uri: uri.into(),
            error,
        })?;
        match (credentials, parsed.scheme) {
            (Credentials::NoSec, Scheme::Coaps) => {
                return Err(FactoryError::WithoutSecurity(uri.into()));
            }
            (Credentials::NoSec, Scheme::Coap) | (_, Scheme::Coaps) => {}
            (_, Scheme::Coap) => return Err(FactoryError::InTheClear(uri.into())),
        }
        let next = self.tree.instances(ObjectId::SECURITY).last();
        let next = next.map_or(0, |last| last.id.0.saturating_add(1));
        let mut security = Instance::new(next)
            .with(Resource::single(URI, Value::String(uri.into())))
            .with(Resource::single(
                IS_BOOTSTRAP_SERVER,
                Value::Boolean(bootstrap),
            ));
        security.extend(credentials.resources());
        Ok(security)
    }

    /// The Objects, ready for a Client.
    #[must_use]
    pub fn build(self) -> Tree {
        self.tree
    }
}
