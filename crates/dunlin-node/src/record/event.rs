//! The events of the log as records.

use dunlin_lwm2m::link::Discovered;
use dunlin_lwm2m::operation::ResponseCode;
use dunlin_server::command::{Answered, Content, Failed, Outcome};
use dunlin_server::event::{Changed, Event, EventKind, ObservationEnd, Sample};
use minicbor::decode::Error;

use super::{Bytes, Item, Read, Reader, Writer, Written as _, length, structure};

structure!(Event { endpoint, at, kind });
structure!(Sample { at, node });
structure!(Changed {
    lifetime,
    binding,
    sms_number,
    links,
    address,
    parameters
});
structure!(Answered {
    code,
    format,
    content,
    location,
    observation
});

/// A code by its byte, known or not.
impl Item for Result<ResponseCode, u8> {
    fn write(&self, w: &mut Writer) {
        w.u8(self.map_or_else(|byte| byte, ResponseCode::to_byte))
            .done();
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let byte = r.u8()?;
        Ok(ResponseCode::from_byte(byte).ok_or(byte))
    }
}

fn begin(w: &mut Writer, items: u64, number: u8) {
    w.array(items).done();
    w.u8(number).done();
}

/// The record of an event that tells a registration, which has been written already for its row:
/// it is most of the event. `None` for other events.
pub(crate) fn encode_with(event: &Event, registration: &[u8]) -> Option<Vec<u8>> {
    let mut w = super::begin();
    // As `structure!` writes it.
    w.array(3).done();
    event.endpoint.write(&mut w);
    event.at.write(&mut w);
    let (number, rest): (_, &dyn Fn(&mut Writer)) = match &event.kind {
        EventKind::Registered { replaced, .. } => (0, &|w| replaced.write(w)),
        EventKind::Updated { changed, .. } => (1, &|w| changed.write(w)),
        _ => return None,
    };
    begin(&mut w, 3, number);
    w.writer_mut().extend_from_slice(registration);
    rest(&mut w);
    Some(w.into_writer())
}

impl Item for EventKind {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Registered {
                registration,
                replaced,
            } => {
                begin(w, 3, 0);
                registration.write(w);
                replaced.write(w);
            }
            Self::Updated {
                registration,
                changed,
            } => {
                begin(w, 3, 1);
                registration.write(w);
                changed.write(w);
            }
            Self::Departed { id, reason } => {
                begin(w, 3, 2);
                id.write(w);
                reason.write(w);
            }
            Self::Notified { path, values, late } => {
                begin(w, 4, 3);
                path.write(w);
                values.write(w);
                late.write(w);
            }
            Self::Undecodable {
                path,
                format,
                payload,
                reason,
            } => {
                begin(w, 5, 4);
                path.write(w);
                format.write(w);
                w.bytes(payload).done();
                reason.write(w);
            }
            Self::ObservationEnded { path, reason } => {
                begin(w, 3, 5);
                path.write(w);
                reason.write(w);
            }
            Self::Completed {
                request,
                command,
                outcome,
            } => {
                begin(w, 4, 6);
                request.write(w);
                command.write(w);
                outcome.write(w);
            }
            Self::Bootstrapped { run } => {
                begin(w, 2, 7);
                run.write(w);
            }
            Self::BootstrapFailed { run } => {
                begin(w, 2, 8);
                run.write(w);
            }
            _ => unreachable!("every kind of event has a number here"),
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let items = length(r)?;
        Ok(match (r.u8()?, items) {
            (0, 3) => Self::Registered {
                registration: Item::read(r)?,
                replaced: Item::read(r)?,
            },
            (1, 3) => Self::Updated {
                registration: Item::read(r)?,
                changed: Item::read(r)?,
            },
            (2, 3) => Self::Departed {
                id: Item::read(r)?,
                reason: Item::read(r)?,
            },
            (3, 4) => Self::Notified {
                path: Item::read(r)?,
                values: Item::read(r)?,
                late: Item::read(r)?,
            },
            (4, 5) => Self::Undecodable {
                path: Item::read(r)?,
                format: Item::read(r)?,
                payload: Bytes::read(r)?.0,
                reason: Item::read(r)?,
            },
            (5, 3) => Self::ObservationEnded {
                path: Item::read(r)?,
                reason: Item::read(r)?,
            },
            (6, 4) => Self::Completed {
                request: Item::read(r)?,
                command: Item::read(r)?,
                outcome: Item::read(r)?,
            },
            (7, 2) => Self::Bootstrapped {
                run: Item::read(r)?,
            },
            (8, 2) => Self::BootstrapFailed {
                run: Item::read(r)?,
            },
            _ => return Err(Error::message("an event of no known kind")),
        })
    }
}

impl Item for ObservationEnd {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Cancelled => vec![0u8].write(w),
            Self::Error(code) => {
                begin(w, 2, 1);
                code.write(w);
            }
            Self::NotRenewed(code) => {
                begin(w, 2, 2);
                code.write(w);
            }
            Self::NotEstablished => vec![3u8].write(w),
            Self::RegistrationEnded => vec![4u8].write(w),
            Self::Forgotten => vec![5u8].write(w),
            _ => unreachable!("every end of an observation has a number here"),
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let items = length(r)?;
        Ok(match (r.u8()?, items) {
            (0, 1) => Self::Cancelled,
            (1, 2) => Self::Error(Item::read(r)?),
            (2, 2) => Self::NotRenewed(Item::read(r)?),
            (3, 1) => Self::NotEstablished,
            (4, 1) => Self::RegistrationEnded,
            (5, 1) => Self::Forgotten,
            _ => return Err(Error::message("no end of an observation")),
        })
    }
}

impl Item for Outcome {
    fn write(&self, w: &mut Writer) {
        w.array(2).done();
        match self {
            Self::Answered(answered) => {
                w.u8(0).done();
                answered.write(w);
            }
            Self::Failed(failed) => {
                w.u8(1).done();
                failed.write(w);
            }
            Self::Done => {
                w.u8(2).done();
                w.null().done();
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        if length(r)? != 2 {
            return Err(Error::message("no outcome"));
        }
        Ok(match r.u8()? {
            0 => Self::Answered(Item::read(r)?),
            1 => Self::Failed(Item::read(r)?),
            2 => {
                r.null()?;
                Self::Done
            }
            _ => return Err(Error::message("an outcome of no known kind")),
        })
    }
}

impl Item for Failed {
    fn write(&self, w: &mut Writer) {
        let number = match self {
            Self::TimedOut => 0u8,
            Self::Reset => 1,
            Self::TooLarge => 2,
            Self::Unintelligible => 3,
            Self::Expired => 4,
            Self::ClientGone => 5,
            Self::Cancelled => 6,
            Self::Unknown => 7,
            Self::Unencodable(reason) => {
                begin(w, 2, 8);
                return reason.write(w);
            }
            _ => unreachable!("every failure has a number here"),
        };
        vec![number].write(w);
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let items = length(r)?;
        Ok(match (r.u8()?, items) {
            (0, 1) => Self::TimedOut,
            (1, 1) => Self::Reset,
            (2, 1) => Self::TooLarge,
            (3, 1) => Self::Unintelligible,
            (4, 1) => Self::Expired,
            (5, 1) => Self::ClientGone,
            (6, 1) => Self::Cancelled,
            (7, 1) => Self::Unknown,
            (8, 2) => Self::Unencodable(Item::read(r)?),
            _ => return Err(Error::message("no failure")),
        })
    }
}

impl Item for Content {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::None => vec![0u8].write(w),
            Self::Node(node) => {
                begin(w, 2, 1);
                node.write(w);
            }
            Self::Links(found) => {
                begin(w, 2, 2);
                found.write("").write(w);
            }
            Self::Diagnostic(text) => {
                begin(w, 2, 3);
                text.write(w);
            }
            Self::Raw { payload, reason } => {
                begin(w, 3, 4);
                w.bytes(payload).done();
                reason.write(w);
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let items = length(r)?;
        Ok(match (r.u8()?, items) {
            (0, 1) => Self::None,
            (1, 2) => Self::Node(Item::read(r)?),
            (2, 2) => {
                let links = Discovered::parse(String::read(r)?.as_bytes(), "");
                Self::Links(links.map_err(|_| Error::message("no links"))?)
            }
            (3, 2) => Self::Diagnostic(Item::read(r)?),
            (4, 3) => Self::Raw {
                payload: Bytes::read(r)?.0,
                reason: Item::read(r)?,
            },
            _ => return Err(Error::message("no content")),
        })
    }
}
