//! The Clients' side of the world: power, timers, datagrams, and the news of the machines.

use std::time::Duration;

use dunlin_client::{Event, Output, Reason};
use dunlin_transport::{Address, Port};

use super::device::{MARK, WITNESS};
use super::{Break, Datagram, Happening, World};
use crate::fault::Fault;
use crate::network::Direction;

/// A write into flash takes up to this.
const KEEPING_MAX: Duration = Duration::from_millis(50);

/// A Client that is asked to stop is switched off after this, done or not.
const STOPPING_MAX: Duration = Duration::from_secs(100);

impl World {
    pub(super) fn power_on(&mut self, device: usize) -> Result<(), Break> {
        if self.devices[device].stopping {
            self.devices[device].power_off();
        }
        if self.devices[device].client.is_some() {
            return Ok(());
        }
        self.devices[device].power_on(self.at);
        self.text(Some(device), "power on");
        let pause = self.devices[device].measures_every;
        let pause = self.devices[device].chance.every(pause);
        if self.devices[device].life == 1 {
            self.after(pause, Happening::Measurement(device));
        }
        self.drain_device(device)
    }

    pub(super) fn reboot(&mut self, device: usize) -> Result<(), Break> {
        if self.devices[device].client.is_none() {
            return Ok(());
        }
        self.tally.reboots += 1;
        let at = self.at;
        let one = &mut self.devices[device];
        if one.chance.happens(0.3) {
            let now = one.now(at);
            one.stopping = true;
            one.client.as_mut().expect("it is on").stop(now);
            self.text(Some(device), "is asked to stop");
            self.after(STOPPING_MAX, Happening::Fault(Fault::PowerOn(device)));
            return self.drain_device(device);
        }
        if one.chance.happens(0.2) {
            one.kept = None;
            self.tally.factory_resets += 1;
        }
        one.power_off();
        self.text(Some(device), "power off");
        self.heals(Fault::Reboot(device), Fault::PowerOn(device));
        Ok(())
    }

    pub(super) fn measurement(&mut self, device: usize) -> Result<(), Break> {
        if !self.measuring {
            return Ok(());
        }
        let every = self.devices[device].measures_every;
        let pause = self.devices[device].chance.every(every);
        self.after(pause, Happening::Measurement(device));
        self.devices[device].measure(self.at);
        self.drain_device(device)
    }

    pub(super) fn device_timer(&mut self, device: usize, life: u32) -> Result<(), Break> {
        let at = self.at;
        let one = &mut self.devices[device];
        if one.life != life || one.scheduled != Some(at) {
            return Ok(());
        }
        one.scheduled = None;
        let now = one.now(at);
        let Some(client) = &mut one.client else {
            return Ok(());
        };
        client.handle_timeout(now);
        self.drain_device(device)
    }

    pub(super) fn device_receives(&mut self, datagram: Datagram) -> Result<(), Break> {
        let Datagram {
            device,
            bytes,
            note,
            ..
        } = datagram;
        let at = self.at;
        let one = &mut self.devices[device];
        let now = one.now(at);
        let Some(client) = &mut one.client else {
            return Ok(());
        };
        if client.is_asleep() {
            self.text(Some(device), "sleeps and hears nothing");
            return Ok(());
        }
        let from = Address::Udp(SERVER);
        client.handle_receive(now, Port::Coap, &from, None, &bytes);
        let life = one.life;
        self.ledger
            .client_takes(device, life, note, &mut self.tally);
        self.drain_device(device)
    }

    pub(super) fn device_kept(
        &mut self,
        device: usize,
        life: u32,
        number: u64,
    ) -> Result<(), Break> {
        let one = &mut self.devices[device];
        if one.life != life || one.client.is_none() {
            return Ok(());
        }
        while let Some((kept, _)) = one.keeping.front() {
            if *kept > number {
                break;
            }
            one.kept = one.keeping.pop_front().map(|(_, state)| state);
        }
        one.kept_number = number;
        self.release_device(device);
        Ok(())
    }

    fn release_device(&mut self, device: usize) {
        let one = &mut self.devices[device];
        let mut ready = Vec::new();
        let kept = one.kept_number;
        one.held.retain(|transmit| {
            let waits = transmit.barrier > kept;
            if !waits {
                ready.push(transmit.bytes.clone());
            }
            waits
        });
        for bytes in ready {
            self.device_sends(device, bytes);
        }
    }

    fn device_sends(&mut self, device: usize, bytes: Vec<u8>) {
        let note = crate::check::wire::Note::read(&bytes);
        let life = self.devices[device].life;
        self.ledger.client_sends(device, life, note);
        let outer = Address::Udp(self.network.outer(device));
        self.carry(device, Direction::Up, outer, bytes);
    }

    /// Takes all outputs of a Client.
    pub(super) fn drain_device(&mut self, device: usize) -> Result<(), Break> {
        loop {
            let one = &mut self.devices[device];
            let Some(client) = &mut one.client else {
                return Ok(());
            };
            match client.poll_output() {
                Output::Commit(commit) => {
                    one.keeping.push_back((commit.number, commit.state));
                    let life = one.life;
                    let number = commit.number;
                    let delay = one.chance.between(Duration::ZERO, KEEPING_MAX);
                    self.after(delay, Happening::DeviceKept(device, life, number));
                }
                Output::Transmit(transmit) if transmit.barrier > one.kept_number => {
                    one.held.push_back(transmit);
                }
                Output::Transmit(transmit) => self.device_sends(device, transmit.bytes),
                Output::Event(event) => self.device_tells(device, event)?,
                Output::Need(..) => {
                    let what = "a Client asks for the address of an address".to_owned();
                    return Err((Some(device), what));
                }
                Output::Timeout(timeout) => {
                    self.schedule_device(device, timeout);
                    break;
                }
            }
        }
        let one = &mut self.devices[device];
        if one.stopping && one.client.as_ref().is_some_and(|client| client.is_idle()) {
            one.power_off();
            self.text(Some(device), "has stopped");
            self.heals(Fault::Reboot(device), Fault::PowerOn(device));
        }
        Ok(())
    }

    fn schedule_device(&mut self, device: usize, timeout: Option<Duration>) {
        let at = self.at;
        let one = &mut self.devices[device];
        let Some(timeout) = timeout else { return };
        let when = one.world_time(timeout).max(at);
        if one.scheduled.is_none_or(|scheduled| when < scheduled) {
            one.scheduled = Some(when);
            let life = one.life;
            self.at_time(when, Happening::DeviceTimer(device, life));
        }
    }

    fn device_tells(&mut self, device: usize, event: Event) -> Result<(), Break> {
        let life = self.devices[device].life;
        let mut did = Vec::new();
        match &event {
            Event::Executed { arguments, .. } => {
                let first = arguments.as_slice().first();
                did.extend(first.and_then(|argument| argument.value.clone()));
            }
            Event::Written { paths, .. } if paths.contains(&[WITNESS.0, 0, MARK].into()) => {
                did.extend(self.mark_of(device, 0));
            }
            Event::Created { paths, .. } => {
                let instances = paths.iter().filter_map(|path| path.instance_id());
                did.extend(instances.filter_map(|instance| self.mark_of(device, instance.0)));
            }
            Event::Observed { path, .. } => {
                *self.devices[device].observed.entry(*path).or_default() += 1;
            }
            Event::ObservationEnded { path, .. } => {
                let count = self.devices[device].observed.entry(*path).or_default();
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.devices[device].observed.remove(path);
                }
            }
            Event::RegistrationFailed {
                reason: Reason::Busy,
                ..
            } => {
                let what = "a Client has too much under way to register".to_owned();
                return Err((Some(device), what));
            }
            _ => {}
        }
        self.text(Some(device), format!("client: {event:?}"));
        for mark in did {
            if let Ok(number) = mark.parse() {
                let done = self.ledger.did(number, life, &mut self.tally);
                done.map_err(|what| (Some(device), what))?;
            }
        }
        Ok(())
    }

    fn mark_of(&self, device: usize, instance: u16) -> Option<String> {
        let tree = self.devices[device].client.as_ref()?.tree();
        let value = tree.value(WITNESS, instance.into(), MARK)?;
        value.as_str().map(str::to_owned)
    }
}

const SERVER: std::net::SocketAddr = std::net::SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1)),
    5683,
);
