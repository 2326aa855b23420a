//! Bootstrap runs and profiles as records. A profile has keys in it: whoever writes one seals it.

use dunlin_lwm2m::operation::ResponseCode;
use dunlin_lwm2m::{Path, ShortServerId};
use dunlin_server::BootstrapRunId;
use dunlin_server::bootstrap::{
    AccessControl, AccessTarget, BootstrapAccount, BootstrapRun, Initiator, InstanceData, KeyPair,
    Keys, MadeProof, Profile, ProfileName, Removal, RunFailure, RunState, Secret, Selector,
    ServerAccount, StepKind, StepOutcome, StepRecord,
};
use minicbor::decode::Error;

use super::lwm2m::through;
use super::{Bytes, Item, Read, Reader, Writer, Written as _, length, numbered, structure};

through!(BootstrapRunId as Bytes: |id| Bytes(id.to_bits().to_be_bytes().to_vec()), |bytes| {
    Some(BootstrapRunId::from_bits(u128::from_be_bytes(bytes.0.try_into().ok()?)))
});
through!(ProfileName as String: |name| name.as_str().to_owned(), |name| ProfileName::new(&name).ok());
through!(ShortServerId as u16: |id| id.value(), ShortServerId::new);

numbered!(Initiator { 0 => Client, 1 => Server });
numbered!(StepKind { 0 => Discover, 1 => Delete, 2 => Write, 3 => Finish });

structure!(BootstrapRun {
    id,
    endpoint,
    initiator,
    profile,
    address,
    identity,
    started_at,
    ended_at,
    state,
    version,
    steps,
    made,
});
structure!(StepRecord {
    kind,
    path,
    outcome
});

fn begin(w: &mut Writer, items: u64, number: u8) {
    w.array(items).done();
    w.u8(number).done();
}

impl Item for StepOutcome {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Done(code) => (0u8, *code).write(w),
            Self::PassedOver(code) => (1u8, *code).write(w),
            Self::Refused(code) => (2u8, *code).write(w),
            Self::Unanswered => vec![3u8].write(w),
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let items = length(r)?;
        Ok(match (r.u8()?, items) {
            (0, 2) => Self::Done(Item::read(r)?),
            (1, 2) => Self::PassedOver(Item::read(r)?),
            (2, 2) => Self::Refused(Item::read(r)?),
            (3, 1) => Self::Unanswered,
            _ => return Err(Error::message("no outcome of a step")),
        })
    }
}

impl Item for RunState {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Running => vec![0u8].write(w),
            Self::Succeeded => vec![1u8].write(w),
            Self::Failed(failure) => {
                begin(w, 2, 2);
                failure.write(w);
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let items = length(r)?;
        Ok(match (r.u8()?, items) {
            (0, 1) => Self::Running,
            (1, 1) => Self::Succeeded,
            (2, 2) => Self::Failed(Item::read(r)?),
            _ => return Err(Error::message("no state of a bootstrap run")),
        })
    }
}

impl Item for RunFailure {
    fn write(&self, w: &mut Writer) {
        let step = |w: &mut Writer, number, kind: &StepKind, path: &Path| {
            begin(w, 3, number);
            kind.write(w);
            path.write(w);
        };
        let number = match self {
            Self::Refused { kind, path, code } => {
                begin(w, 4, 0);
                kind.write(w);
                path.write(w);
                return code.write(w);
            }
            Self::NoAnswer { kind, path } => return step(w, 1, kind, path),
            Self::Reset { kind, path } => return step(w, 2, kind, path),
            Self::Unintelligible { kind, path } => return step(w, 3, kind, path),
            Self::NoPlan { reason } => {
                begin(w, 2, 4);
                return reason.write(w);
            }
            Self::Unencodable { path, reason } => {
                begin(w, 3, 5);
                path.write(w);
                return reason.write(w);
            }
            Self::TookTooLong { limit_s } => {
                begin(w, 2, 6);
                return limit_s.write(w);
            }
            Self::NotOpened { reason } => {
                begin(w, 2, 13);
                return reason.write(w);
            }
            Self::Inconsistent { said: None } => 7u8,
            Self::Inconsistent { said: Some(said) } => {
                begin(w, 2, 7);
                return said.write(w);
            }
            Self::Superseded => 8,
            Self::Overloaded => 9,
            Self::SessionEnded => 10,
            Self::Restarted => 11,
            Self::Cancelled => 12,
            _ => unreachable!("every failure of a bootstrap run has a number here"),
        };
        vec![number].write(w);
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let items = length(r)?;
        let number = r.u8()?;
        if (1..=3).contains(&number) && items == 3 {
            let (kind, path) = (Item::read(r)?, Item::read(r)?);
            return Ok(match number {
                1 => Self::NoAnswer { kind, path },
                2 => Self::Reset { kind, path },
                _ => Self::Unintelligible { kind, path },
            });
        }
        Ok(match (number, items) {
            (0, 4) => Self::Refused {
                kind: Item::read(r)?,
                path: Item::read(r)?,
                code: Result::<ResponseCode, u8>::read(r)?,
            },
            (4, 2) => Self::NoPlan {
                reason: Item::read(r)?,
            },
            (5, 3) => Self::Unencodable {
                path: Item::read(r)?,
                reason: Item::read(r)?,
            },
            (6, 2) => Self::TookTooLong {
                limit_s: Item::read(r)?,
            },
            (13, 2) => Self::NotOpened {
                reason: Item::read(r)?,
            },
            (7, 1) => Self::Inconsistent { said: None },
            (7, 2) => Self::Inconsistent {
                said: Some(Item::read(r)?),
            },
            (8, 1) => Self::Superseded,
            (9, 1) => Self::Overloaded,
            (10, 1) => Self::SessionEnded,
            (11, 1) => Self::Restarted,
            (12, 1) => Self::Cancelled,
            _ => return Err(Error::message("no failure of a bootstrap run")),
        })
    }
}

impl Item for MadeProof {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::PreSharedKey(identity) => (0u8, Bytes(identity.clone().into_bytes())).write(w),
            Self::RawPublicKey(key) => (1u8, Bytes(key.clone())).write(w),
            Self::Certificate(certificate) => (2u8, Bytes(certificate.clone())).write(w),
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let (number, Bytes(bytes)) = Item::read(r)?;
        match number {
            0u8 => String::from_utf8(bytes)
                .map(Self::PreSharedKey)
                .map_err(|_| Error::message("no identity")),
            1 => Ok(Self::RawPublicKey(bytes)),
            2 => Ok(Self::Certificate(bytes)),
            _ => Err(Error::message("no proof")),
        }
    }
}

// Profiles.

structure!(Profile {
    name,
    selector,
    discover,
    removal,
    servers,
    bootstrap_server,
    access,
    instances,
});
structure!(ServerAccount {
    short_server_id,
    uri,
    keys,
    lifetime_s,
    binding,
    notification_storing,
    default_pmin_s,
    default_pmax_s,
    disable_timeout_s,
    security_instance,
    server_instance,
    security_resources,
    server_resources,
});
structure!(BootstrapAccount {
    uri,
    keys,
    hold_off_s,
    account_timeout_s,
    instance,
});
structure!(AccessControl {
    target,
    owner,
    rights,
    instance
});
structure!(InstanceData {
    object,
    instance,
    resources
});
structure!(KeyPair { public, private });

through!(Secret as Bytes: |secret| Bytes(secret.as_bytes().to_vec()), |bytes| Some(Secret::new(bytes.0)));

impl Item for Selector {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Default => vec![0u8].write(w),
            Self::Endpoint(endpoint) => {
                begin(w, 2, 1);
                endpoint.write(w);
            }
            Self::Pattern(pattern) => {
                begin(w, 2, 2);
                pattern.write(w);
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let items = length(r)?;
        Ok(match (r.u8()?, items) {
            (0, 1) => Self::Default,
            (1, 2) => Self::Endpoint(Item::read(r)?),
            (2, 2) => Self::Pattern(Item::read(r)?),
            _ => return Err(Error::message("no selector")),
        })
    }
}

impl Item for Removal {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Accounts => vec![0u8].write(w),
            Self::Everything => vec![1u8].write(w),
            Self::Nothing => vec![2u8].write(w),
            Self::Paths(paths) => {
                begin(w, 2, 3);
                paths.write(w);
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let items = length(r)?;
        Ok(match (r.u8()?, items) {
            (0, 1) => Self::Accounts,
            (1, 1) => Self::Everything,
            (2, 1) => Self::Nothing,
            (3, 2) => Self::Paths(Item::read(r)?),
            _ => return Err(Error::message("no removal")),
        })
    }
}

impl Item for Keys {
    fn write(&self, w: &mut Writer) {
        let optional = |bytes: &Option<Vec<u8>>| bytes.clone().map(Bytes);
        match self {
            Self::NoSec => vec![3u8].write(w),
            Self::PreSharedKey { identity, key } => {
                begin(w, 3, 0);
                identity.write(w);
                key.write(w);
            }
            Self::RawPublicKey { client, server } => {
                begin(w, 3, 1);
                client.write(w);
                optional(server).write(w);
            }
            Self::Certificate { client, server } => {
                begin(w, 3, 2);
                client.write(w);
                optional(server).write(w);
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let items = length(r)?;
        let number = r.u8()?;
        Ok(match (number, items) {
            (3, 1) => Self::NoSec,
            (0, 3) => Self::PreSharedKey {
                identity: Item::read(r)?,
                key: Item::read(r)?,
            },
            (1 | 2, 3) => {
                let client = Item::read(r)?;
                let server = Option::<Bytes>::read(r)?.map(|bytes| bytes.0);
                if number == 1 {
                    Self::RawPublicKey { client, server }
                } else {
                    Self::Certificate { client, server }
                }
            }
            _ => return Err(Error::message("no keys")),
        })
    }
}

impl Item for AccessTarget {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Object(object) => (0u8, *object).write(w),
            Self::Instance(object, instance) => {
                begin(w, 3, 1);
                object.write(w);
                instance.write(w);
            }
            Self::Server(server) => (2u8, *server).write(w),
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let items = length(r)?;
        Ok(match (r.u8()?, items) {
            (0, 2) => Self::Object(Item::read(r)?),
            (1, 3) => Self::Instance(Item::read(r)?, Item::read(r)?),
            (2, 2) => Self::Server(Item::read(r)?),
            _ => return Err(Error::message("no target of rights")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{decode, encode};
    use dunlin_lwm2m::{EndpointName, LwM2mVersion, ObjectId, ObjectInstanceId, Resource, Value};
    use dunlin_transport::{Identity, WallTime};

    fn pair() -> KeyPair {
        KeyPair {
            public: vec![0x30, 1, 0],
            private: Secret::new([0x30, 1, 1]),
        }
    }

    fn profile() -> Profile {
        let server = |id, keys| {
            let id = ShortServerId::new(id).unwrap();
            ServerAccount::new(id, "coaps://a", keys)
        };
        let mut profile = Profile::new(
            ProfileName::new("fleet").unwrap(),
            Selector::Pattern("lamp-*".into()),
        );
        profile.removal = Removal::Paths(vec!["/1".parse().unwrap()]);
        profile.servers = vec![
            server(1, Keys::NoSec),
            server(
                2,
                Keys::PreSharedKey {
                    identity: Some("{endpoint}".into()),
                    key: None,
                },
            ),
            server(
                3,
                Keys::RawPublicKey {
                    client: Some(pair()),
                    server: None,
                },
            ),
            server(
                4,
                Keys::Certificate {
                    client: None,
                    server: Some(vec![0x30, 0]),
                },
            ),
        ];
        profile.servers[0].default_pmin_s = Some(3);
        profile.servers[0].security_instance = Some(ObjectInstanceId(7));
        profile.servers[0].security_resources =
            vec![Resource::single(9, Value::String("+1".into()))];
        profile.bootstrap_server = Some(BootstrapAccount {
            uri: "coap://b".into(),
            keys: Keys::NoSec,
            hold_off_s: Some(1),
            account_timeout_s: None,
            instance: None,
        });
        let targets = [
            AccessTarget::Object(ObjectId(5)),
            AccessTarget::Instance(ObjectId(3), ObjectInstanceId(0)),
            AccessTarget::Server(ShortServerId::new(1).unwrap()),
        ];
        profile.access = targets
            .into_iter()
            .map(|target| AccessControl {
                target,
                owner: ShortServerId::new(1),
                rights: vec![(None, 1), (ShortServerId::new(2), 3)],
                instance: None,
            })
            .collect();
        profile.instances.push(InstanceData {
            object: ObjectId(3),
            instance: None,
            resources: vec![Resource::single(15, Value::String("UTC".into()))],
        });
        profile
    }

    #[test]
    fn profiles_are_read_as_they_were_written() {
        for selector in [
            Selector::Default,
            Selector::Endpoint(EndpointName::new("a").unwrap()),
        ] {
            let mut profile = profile();
            profile.selector = selector;
            assert_eq!(decode::<Profile>(&encode(&profile)).unwrap(), profile);
        }
        for removal in [Removal::Accounts, Removal::Everything, Removal::Nothing] {
            let mut profile = profile();
            profile.removal = removal;
            assert_eq!(decode::<Profile>(&encode(&profile)).unwrap(), profile);
        }
    }

    #[test]
    fn runs_are_read_as_they_were_written() {
        let (kind, path) = (StepKind::Write, "/0/1".parse().unwrap());
        let states = [
            RunFailure::Refused {
                kind,
                path,
                code: Err(0x9d),
            },
            RunFailure::NoAnswer { kind, path },
            RunFailure::Reset { kind, path },
            RunFailure::Unintelligible { kind, path },
            RunFailure::NoPlan { reason: "x".into() },
            RunFailure::Unencodable {
                path,
                reason: "y".into(),
            },
            RunFailure::TookTooLong { limit_s: 9 },
            RunFailure::NotOpened { reason: "x".into() },
            RunFailure::Inconsistent { said: None },
            RunFailure::Inconsistent {
                said: Some("x".into()),
            },
            RunFailure::Superseded,
            RunFailure::Overloaded,
            RunFailure::SessionEnded,
            RunFailure::Restarted,
            RunFailure::Cancelled,
        ]
        .map(RunState::Failed)
        .into_iter()
        .chain([RunState::Running, RunState::Succeeded]);
        let steps = [
            None,
            Some(StepOutcome::Done(ResponseCode::Changed)),
            Some(StepOutcome::PassedOver(Ok(ResponseCode::NotFound))),
            Some(StepOutcome::Refused(Err(0x9d))),
            Some(StepOutcome::Unanswered),
        ]
        .map(|outcome| StepRecord {
            kind,
            path,
            outcome,
        });
        for state in states {
            let run = BootstrapRun {
                id: BootstrapRunId::from_bits(7),
                endpoint: EndpointName::new("a").unwrap(),
                initiator: Initiator::Server,
                profile: ProfileName::new("fleet").unwrap(),
                address: std::net::SocketAddr::from(([127, 0, 0, 1], 5)).into(),
                identity: Identity::PreSharedKey((*b"a").into()),
                started_at: WallTime(1),
                ended_at: Some(WallTime(2)),
                state,
                version: Some(LwM2mVersion::V1_0),
                steps: steps.to_vec(),
                made: vec![
                    MadeProof::PreSharedKey("a.1".into()),
                    MadeProof::RawPublicKey(vec![1]),
                    MadeProof::Certificate(vec![2]),
                ],
            };
            assert_eq!(decode::<BootstrapRun>(&encode(&run)).unwrap(), run);
        }
    }
}
