//! Carries out what [`crate::notify`] decides: changes make observations due, due ones are told.

use alloc::vec::Vec;
use core::time::Duration;

use dunlin_lwm2m::format;
use dunlin_lwm2m::operation::{Response, ResponseCode};
use dunlin_lwm2m::{ContentFormat, Timed, Timestamp};
use dunlin_lwm2m::{Path, ShortServerId};
use dunlin_transport::{NotificationId, ObserverId};

use crate::access::Asker;
use crate::client::Client;
use crate::event::Event;
use crate::notify::Kept;
use crate::registration::Phase;
use crate::tree::Refusal;

/// How long a notification waits that CoAP has no room for.
const CROWDED_PAUSE: Duration = Duration::from_secs(1);

impl Client {
    /// These values have changed, or these instances have come or gone.
    pub(crate) fn values_changed(&mut self, paths: &[Path]) {
        for at in 0..self.observations.len() {
            let observed = self.observations[at].path;
            let touched = paths
                .iter()
                .any(|path| observed.contains(path) || path.contains(&observed));
            if touched {
                self.look_at(at);
            }
        }
    }

    fn look_at(&mut self, at: usize) {
        let (server, path) = (self.observations[at].server, self.observations[at].path);
        let Some(registration) = self.registrations.get(&server) else {
            return;
        };
        let asker = Asker {
            server,
            alone: self.registrations.len() == 1,
        };
        let attributes = self.attributes.in_force(&registration.account, path);
        let wall = self.now.wall;
        let one = &self.observations[at];
        let stores = registration.account.stores_notifications
            && (one.under_way.is_some() || !registration.hears());
        match self.visible(asker, path) {
            Ok(current) => {
                if stores {
                    self.observations[at].keep(wall, &current, &attributes);
                }
                self.observations[at].changed(&current, &attributes);
            }
            // It is not to be told, or it is gone, which is told as an error.
            Err(refusal) => {
                self.observations[at].due |= refusal.code != ResponseCode::Unauthorized;
            }
        }
    }

    /// Tells what is due, where the Server can be reached. A Client that sleeps wakes with an
    /// Update first, and tells when that is answered (TS 1.0 §8.3).
    pub(crate) fn tell_what_is_due(&mut self) {
        let now = self.now.instant;
        let due: Vec<ObserverId> = self
            .observations
            .iter()
            .filter(|one| {
                self.registrations
                    .get(&one.server)
                    .is_some_and(|registration| {
                        let attributes = self.attributes.in_force(&registration.account, one.path);
                        registration.hears()
                            && one.next(&attributes).is_some_and(|next| next <= now)
                    })
            })
            .map(|one| one.observer)
            .collect();
        for observer in due {
            self.tell_one(observer);
        }
    }

    fn tell_one(&mut self, observer: ObserverId) {
        let Some(at) = self
            .observations
            .iter()
            .position(|one| one.observer == observer)
        else {
            return;
        };
        let (server, path) = (self.observations[at].server, self.observations[at].path);
        if self.sleep.is_asleep() {
            // One Update wakes for all that is due.
            if let Some(registration) = self.registrations.get_mut(&server)
                && registration.phase == Phase::Registered
            {
                registration.update_wanted = true;
                let account = registration.account.clone();
                self.wake(server, &account);
            }
            return;
        }
        let asker = Asker {
            server,
            alone: self.registrations.len() == 1,
        };
        let told = self.visible(asker, path).and_then(|node| {
            let one = &self.observations[at];
            let history = one.history(self.now.wall, &node);
            let payload = encode(one.format, path, &history)
                .map_err(|error| Refusal::new(error.code(), "the value has no such format"))?;
            Ok((node, payload, history))
        });
        let (node, payload, history) = match told {
            Ok(told) => told,
            // The right to read is gone, and may come back: nothing is said (TS 1.0 §5.5.2).
            Err(refusal) if refusal.code == ResponseCode::Unauthorized => {
                let one = &mut self.observations[at];
                one.due = false;
                one.told_at = self.now.instant;
                one.kept.clear();
                return;
            }
            // What was observed is gone: an error ends the observation (RFC 7641 §4.2).
            Err(refusal) => {
                let gone = Response::new(refusal.code);
                let _ = self.transport.notify(self.now, observer, gone, true, 0);
                return self.observer_gone(observer);
            }
        };
        let response = Response::content(self.observations[at].format, payload);
        let confirmable = self.config.confirmable_notifications;
        let sent = self
            .transport
            .notify(self.now, observer, response, confirmable, 0);
        let one = &mut self.observations[at];
        match sent {
            Ok(notification) => {
                one.told = node;
                one.told_at = self.now.instant;
                one.due = false;
                one.under_way = confirmable.then_some(notification);
                one.kept.clear();
                one.sent = match confirmable {
                    true => history,
                    false => Vec::new(),
                };
            }
            // Too much waits for this Server: a little later there may be room.
            Err(_) => {
                one.due = true;
                one.not_before = self.now.instant + CROWDED_PAUSE;
            }
        }
    }

    pub(crate) fn delivered(&mut self, notification: NotificationId, observer: ObserverId) {
        let Some(one) = self
            .observations
            .iter_mut()
            .find(|one| one.observer == observer)
        else {
            return;
        };
        if one.under_way == Some(notification) {
            one.heard();
        }
        // What has changed while it was under way has made it due, and is told next. The value of
        // now is not compared: one with a clock in it is never what was told.
        let (server, path) = (one.server, one.path);
        self.tell(Event::Notified { server, path });
    }

    /// Nobody acknowledged: the Server cannot be reached. With Notification Storing the value is
    /// told again once an Update shows that it can; without, the observation is dropped, as
    /// RFC 7641 §4.5 says.
    pub(crate) fn lost(&mut self, notification: NotificationId, observer: ObserverId) {
        let Some(at) = self
            .observations
            .iter()
            .position(|one| one.observer == observer)
        else {
            return;
        };
        if self.observations[at].under_way != Some(notification) {
            return;
        }
        let server = self.observations[at].server;
        let Some(registration) = self.registrations.get_mut(&server) else {
            return;
        };
        registration.update_wanted = true;
        if registration.account.stores_notifications {
            registration.doubted = true;
            self.observations[at].unheard();
        } else {
            let _ = self.transport.remove_observer(self.now, observer);
            self.observer_gone(observer);
        }
    }

    pub(crate) fn observer_gone(&mut self, observer: ObserverId) {
        if let Some(at) = self
            .observations
            .iter()
            .position(|one| one.observer == observer)
        {
            let ended = self.observations.remove(at);
            self.tell(Event::ObservationEnded {
                server: ended.server,
                path: ended.path,
            });
        }
    }

    /// A Server that is registered with anew, or left, observes no more (TS 1.0 §5.3.1).
    pub(crate) fn end_observations(&mut self, server: ShortServerId) {
        let ended: Vec<ObserverId> = self
            .observations
            .iter()
            .filter(|one| one.server == server)
            .map(|one| one.observer)
            .collect();
        for observer in ended {
            let _ = self.transport.remove_observer(self.now, observer);
            self.observer_gone(observer);
        }
    }
}

/// One value as it is; several with their times, where the format has room for times.
fn encode(
    format: ContentFormat,
    path: Path,
    history: &[Kept],
) -> Result<Vec<u8>, format::EncodeError> {
    let known = format::format(format).ok_or(format::EncodeError::Unsupported { id: format })?;
    let mut payload = Vec::new();
    match history {
        [one] => known.encode(path, &one.node, &mut payload)?,
        all if known.has_times() => {
            let all: Vec<Timed> = all.iter().map(timed).collect();
            known.encode_history(path, &all, &mut payload)?;
        }
        all => {
            let newest = all.last().ok_or(format::EncodeError::Empty)?;
            known.encode(path, &newest.node, &mut payload)?;
        }
    }
    Ok(payload)
}

fn timed(kept: &Kept) -> Timed {
    let ms = i64::try_from(kept.at.0).unwrap_or(i64::MAX);
    Timed {
        at: Some(Timestamp::Unix { ms }),
        node: kept.node.clone(),
    }
}
