//! A Client as it leaves the factory: accounts and Objects put together (TS 1.0 §5.2.3.1).

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use dunlin_lwm2m::operation::Binding;
use dunlin_lwm2m::{
    Instance, LwM2mVersion, ObjectId, ObjectInstanceId, Registry, Resource, ResourceInstanceId,
    ShortServerId, Value,
};

use crate::account::{MODE_NOSEC, Scheme, ServerUri, UriError};
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
    /// The URI cannot be read.
    pub fn add_server(
        &mut self,
        uri: &str,
        lifetime_s: u32,
        binding: Binding,
    ) -> Result<ShortServerId, FactoryError> {
        let parsed = ServerUri::parse(uri).map_err(|error| FactoryError::Uri {
            uri: uri.into(),
            error,
        })?;
        if parsed.scheme != Scheme::Coap {
            return Err(FactoryError::WithoutSecurity(uri.into()));
        }
        self.servers += 1;
        let short_server_id =
            ShortServerId::new(self.servers).ok_or(FactoryError::TooManyServers)?;
        let id = ObjectInstanceId(self.servers - 1);
        let number = |value: u16| Value::Integer(i64::from(value));
        let nothing = || Value::Opaque(Vec::new());
        let security = Instance::new(id)
            .with(Resource::single(0, Value::String(uri.into())))
            .with(Resource::single(1, Value::Boolean(false)))
            .with(Resource::single(2, Value::Integer(MODE_NOSEC)))
            .with(Resource::single(3, nothing()))
            .with(Resource::single(4, nothing()))
            .with(Resource::single(5, nothing()))
            .with(Resource::single(10, number(self.servers)));
        let server = Instance::new(id)
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
        self.add_instance(ObjectId::SECURITY, security)?;
        self.add_instance(ObjectId::SERVER, server)?;
        Ok(short_server_id)
    }

    /// The Objects, ready for a Client.
    #[must_use]
    pub fn build(self) -> Tree {
        self.tree
    }
}
