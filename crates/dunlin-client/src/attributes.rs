//! The notification attributes that Servers have written, per Server and level (TS 1.0 §5.1).

use alloc::collections::BTreeMap;

use dunlin_lwm2m::attribute::{Attributes, AttributesChange};
use dunlin_lwm2m::operation::ResponseCode;
use dunlin_lwm2m::{Level, Path, ShortServerId};

use crate::account::Account;
use crate::tree::{Refusal, Tree};

/// More targets with attributes than this one Server cannot set: each costs memory on a device.
pub const ATTRIBUTED_TARGETS_MAX: usize = 256;

/// What Servers have written, by Server and target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttributeBook {
    written: BTreeMap<(ShortServerId, Path), Attributes>,
}

impl AttributeBook {
    /// Write-Attributes (TS 1.0 §5.4.4).
    ///
    /// # Errors
    ///
    /// The refusal to answer with; nothing is changed then.
    pub fn write(
        &mut self,
        tree: &Tree,
        server: ShortServerId,
        path: Path,
        change: AttributesChange,
    ) -> Result<(), Refusal> {
        let bad = |what| Refusal::new(ResponseCode::BadRequest, what);
        tree.find(path)?;
        change
            .check_level(path.level())
            .map_err(|_| bad("gt, lt and st are attributes of Resources alone"))?;
        if let Some(definition) = tree.definition_at(path) {
            if !definition.operations.read {
                let what = "a Resource that is not readable has no notifications";
                return Err(Refusal::new(ResponseCode::MethodNotAllowed, what));
            }
            if change.has_threshold() && !definition.value_type.is_numeric() {
                return Err(bad("gt, lt and st are attributes of numbers alone"));
            }
        }
        let written = change.apply_to(self.at(server, path));
        written
            .check()
            .map_err(|_| bad("lt + 2 st must be less than gt"))?;
        if written.is_empty() {
            self.written.remove(&(server, path));
            return Ok(());
        }
        let known = self.written.contains_key(&(server, path));
        if !known && self.of_server(server).count() >= ATTRIBUTED_TARGETS_MAX {
            let what = "this Server has attributes on as many targets as are kept";
            return Err(Refusal::new(ResponseCode::InternalServerError, what));
        }
        self.written.insert((server, path), written);
        Ok(())
    }

    /// What a Server has written at exactly this target.
    #[must_use]
    pub fn at(&self, server: ShortServerId, path: Path) -> Attributes {
        self.written
            .get(&(server, path))
            .copied()
            .unwrap_or_default()
    }

    /// What is in force for a target: its own attributes, then those of the levels above
    /// (TS 1.0 §5.1.1).
    #[must_use]
    pub fn inherited(&self, server: ShortServerId, path: Path) -> Attributes {
        let mut attributes = self.at(server, path);
        let mut above = path.parent();
        while let Some(path) = above.filter(|path| path.level() != Level::Root) {
            attributes = attributes.over(self.at(server, path));
            above = path.parent();
        }
        attributes
    }

    /// What is in force for an observation: inherited ones, and the defaults of the account.
    #[must_use]
    pub fn in_force(&self, account: &Account, path: Path) -> Attributes {
        self.inherited(account.short_server_id, path)
            .over(Attributes {
                pmin_s: account.default_pmin_s,
                pmax_s: account.default_pmax_s.filter(|seconds| *seconds > 0),
                ..Attributes::NONE
            })
    }

    fn of_server(&self, server: ShortServerId) -> impl Iterator<Item = &Path> {
        self.written
            .keys()
            .filter(move |(of, _)| *of == server)
            .map(|(_, path)| path)
    }

    /// Everything written, for the snapshot.
    pub fn iter(&self) -> impl Iterator<Item = (ShortServerId, Path, Attributes)> {
        self.written
            .iter()
            .map(|((server, path), attributes)| (*server, *path, *attributes))
    }

    /// Puts back what a snapshot kept.
    pub fn restore(&mut self, server: ShortServerId, path: Path, attributes: Attributes) {
        self.written.insert((server, path), attributes);
    }

    /// The target is gone, and what was written there with it.
    pub fn forget(&mut self, target: Path) {
        self.written.retain(|(_, path), _| !target.contains(path));
    }
}
