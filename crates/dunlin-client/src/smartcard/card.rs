//! Reading a smartcard's bootstrap data by APDUs (TS 1.0 Annex G, ISO 7816-4, ETSI TS 102 221): from
//! the directory to the PKCS#15 application, through its object directories to the file
//! EF(LwM2M_Bootstrap). What carries the APDUs - a reader behind PC/SC, a modem, a bus - is a
//! [`Card`]; the walk is here, and has no more of the card's patience than it needs.
//!
//! ```text
//! EF(DIR) ── AID of PKCS#15 ──> a channel of its own ── SELECT ──> EF(ODF)
//!     ── path of the data objects ──> EF(DODF) ── path ──> EF(LwM2M_Bootstrap)
//! ```

use alloc::vec::Vec;

use super::{SMARTCARD_BYTES_MAX, parse};

/// PKCS#15 applications begin with this (PKCS#15 §5.5).
const PKCS15_AID: &[u8] = b"\xa0\x00\x00\x00\x63PKCS-15";
/// The directory of applications (ETSI TS 102 221 §13.1).
const EF_DIR: u16 = 0x2f00;
/// The directory of object directories (PKCS#15 §5.5.1).
const EF_ODF: u16 = 0x5031;
/// More applications are not looked at: cards have a handful.
const RECORDS_MAX: u8 = 32;
/// More data objects are not tried.
const OBJECTS_MAX: usize = 32;
/// The largest file other than the bootstrap data: directories are small.
const DIRECTORY_BYTES_MAX: usize = 4 * 1024;
/// `GET RESPONSE` more often than this for one command, and the card plays with us.
const RESPONSES_MAX: usize = 16;
/// One READ BINARY; 256 is more than some readers take.
const READ_BYTES: u8 = 0xf0;
/// A PIN fills this (ETSI TS 102 221 §9.5.1).
const PIN_LENGTH: usize = 8;

/// What carries APDUs to a card and back.
pub trait Card {
    /// Why it could not.
    type Error;

    /// Sends a command and gives the response, its status word last.
    ///
    /// # Errors
    /// The card, or the way to it, is gone.
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, Self::Error>;
}

/// Why a card's bootstrap data could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError<E> {
    /// The way to the card.
    #[error("{0}")]
    Carrier(E),
    /// The card refused.
    #[error("the card refused to {what} ({status:04x})")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Its status word.
        status: u16,
    },
    /// A response, or a file, that is not what the standards say.
    #[error("{0} is not as the standards say")]
    Malformed(&'static str),
    /// There is no PKCS#15 application, or none of its data objects is bootstrap data.
    #[error("there is no LwM2M bootstrap data on the card")]
    Absent,
    /// A PIN is needed.
    #[error("the card wants a PIN before its bootstrap data is read")]
    PinNeeded,
    /// A PIN of this length is none.
    #[error("a PIN has 4 to 8 digits")]
    PinLength,
}

/// The content of the card's EF(LwM2M_Bootstrap), for [`crate::Client::insert_smartcard`]. The PIN is
/// shown only where the card asks for one, and once: a wrong one costs one of its few tries.
///
/// # Errors
/// Says which step failed.
pub fn read_card<C: Card>(card: &mut C, pin: Option<&str>) -> Result<Vec<u8>, CardError<C::Error>> {
    let mut session = Session {
        card,
        class: 0,
        pin,
    };
    let application = session.find_application()?;
    // The application gets a channel of its own, so that nothing else on the card is disturbed.
    let opened = session.ask("open a channel", &[0x00, 0x70, 0x00, 0x00, 0x01])?;
    let [channel @ 1..=3] = opened[..] else {
        return Err(CardError::Malformed("the answer to MANAGE CHANNEL"));
    };
    session.class = channel;
    let found = session.read_application(&application);
    session.class = 0;
    // The channel is closed whatever came of it; what is said to that matters to nobody.
    let closed = session.exchange(&[0x00, 0x70, 0x80, channel]);
    let found = found?;
    closed?;
    Ok(found)
}

struct Session<'a, C> {
    card: &'a mut C,
    /// The channel, as it stands in the class byte.
    class: u8,
    pin: Option<&'a str>,
}

impl<C: Card> Session<'_, C> {
    fn find_application(&mut self) -> Result<Vec<u8>, CardError<C::Error>> {
        self.select("select EF(DIR)", EF_DIR)?;
        for number in 1..=RECORDS_MAX {
            let command = [0x00, 0xb2, number, 0x04, 0x00];
            let (record, status) = self.exchange(&command)?;
            if status != 0x9000 {
                break;
            }
            // 61 { 4f AID, 50 label, 51 path }; padded with ff.
            let Some((0x61, template, _)) = element(&record) else {
                continue;
            };
            let aid = child(template, 0x4f);
            if let Some(aid) = aid.filter(|aid| aid.starts_with(PKCS15_AID)) {
                return Ok(aid.to_vec());
            }
        }
        Err(CardError::Absent)
    }

    fn read_application(&mut self, aid: &[u8]) -> Result<Vec<u8>, CardError<C::Error>> {
        let length = u8::try_from(aid.len()).map_err(|_| CardError::Malformed("the AID"))?;
        let mut select = alloc::vec![self.class, 0xa4, 0x04, 0x04, length];
        select.extend_from_slice(aid);
        self.ask("select the PKCS#15 application", &select)?;
        let directories = self.read_file("read EF(ODF)", EF_ODF, DIRECTORY_BYTES_MAX)?;
        // [7]: directories of data objects (PKCS#15 §6.2).
        for directory in paths(&directories, 0xa7) {
            let objects = self.read_file("read EF(DODF)", directory, DIRECTORY_BYTES_MAX)?;
            for object in objects_of(&objects) {
                let file =
                    self.read_file("read EF(LwM2M_Bootstrap)", object, SMARTCARD_BYTES_MAX)?;
                // Other applications have data objects, too.
                if parse(&file).is_ok_and(|objects| !objects.is_empty()) {
                    return Ok(file);
                }
            }
        }
        Err(CardError::Absent)
    }

    fn select(&mut self, what: &'static str, file: u16) -> Result<(), CardError<C::Error>> {
        let [high, low] = file.to_be_bytes();
        self.ask(what, &[self.class, 0xa4, 0x00, 0x04, 0x02, high, low])?;
        Ok(())
    }

    /// A transparent file, to its end or to what a file of this kind may have.
    fn read_file(
        &mut self,
        what: &'static str,
        file: u16,
        bytes_max: usize,
    ) -> Result<Vec<u8>, CardError<C::Error>> {
        self.select(what, file)?;
        let mut content = Vec::new();
        while content.len() < bytes_max {
            let at = u16::try_from(content.len()).map_err(|_| CardError::Malformed("a file"))?;
            let [high, low] = at.to_be_bytes();
            let command = [self.class, 0xb0, high, low, READ_BYTES];
            let (mut bytes, mut status) = self.exchange(&command)?;
            if status == 0x6982 {
                self.verify_pin()?;
                (bytes, status) = self.exchange(&command)?;
            }
            match status {
                // 6282: the end came before so many bytes.
                0x9000 | 0x6282 if !bytes.is_empty() => content.append(&mut bytes),
                // Beyond the end, after a file of just so many pieces.
                0x9000 | 0x6282 | 0x6b00 | 0x6a86 if at > 0 => break,
                _ => return Err(CardError::Refused { what, status }),
            }
            if status == 0x6282 {
                break;
            }
        }
        content.truncate(bytes_max);
        Ok(content)
    }

    fn verify_pin(&mut self) -> Result<(), CardError<C::Error>> {
        let pin = self.pin.take().ok_or(CardError::PinNeeded)?;
        if !(4..=PIN_LENGTH).contains(&pin.len()) || !pin.bytes().all(|one| one.is_ascii_digit()) {
            return Err(CardError::PinLength);
        }
        let mut command = alloc::vec![self.class, 0x20, 0x00, 0x01, PIN_LENGTH as u8];
        command.extend_from_slice(pin.as_bytes());
        command.resize(5 + PIN_LENGTH, 0xff);
        self.ask("take the PIN", &command)?;
        Ok(())
    }

    /// A command that has to go well.
    fn ask(&mut self, what: &'static str, command: &[u8]) -> Result<Vec<u8>, CardError<C::Error>> {
        let (response, status) = self.exchange(command)?;
        match status {
            0x9000 => Ok(response),
            _ => Err(CardError::Refused { what, status }),
        }
    }

    /// A command and all of its response (ISO 7816-3 §12.2: T=0 gives it in parts).
    fn exchange(&mut self, command: &[u8]) -> Result<(Vec<u8>, u16), CardError<C::Error>> {
        let mut all = Vec::new();
        let mut next = command.to_vec();
        for _ in 0..RESPONSES_MAX {
            let mut response = self.card.transmit(&next).map_err(CardError::Carrier)?;
            let [.., high, low] = response[..] else {
                return Err(CardError::Malformed("a response without a status word"));
            };
            response.truncate(response.len() - 2);
            all.append(&mut response);
            if all.len() > SMARTCARD_BYTES_MAX {
                return Err(CardError::Malformed("a response without an end"));
            }
            match high {
                // So much more is there.
                0x61 => next = alloc::vec![self.class, 0xc0, 0x00, 0x00, low],
                // It is so much, not what was asked for.
                0x6c if command.len() == 5 && next.len() == 5 => next[4] = low,
                _ => return Ok((all, u16::from_be_bytes([high, low]))),
            }
        }
        Err(CardError::Malformed("a response without an end"))
    }
}

/// The first BER-TLV element: tag, value, and what follows. Tags have one byte on these ways.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    // Padding of cards is 00 or ff.
    if tag == 0x00 || tag == 0xff {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

/// The elements of a sequence, as far as they can be read.
fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    core::iter::from_fn(move || {
        let (tag, value, rest) = element(bytes)?;
        bytes = rest;
        Some((tag, value))
    })
}

fn child(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    elements(bytes)
        .find(|(found, _)| *found == tag)
        .map(|(_, value)| value)
}

/// The file that a `Path` (PKCS#15 §6.1.5) leads to: the last two bytes of its octet string.
fn file_of(path: &[u8]) -> Option<u16> {
    let octets = child(path, 0x04)?;
    octets.last_chunk().map(|last| u16::from_be_bytes(*last))
}

/// The files that entries with this tag name: `tag { 30 { 04 path … } }`.
fn paths(directory: &[u8], tag: u8) -> Vec<u16> {
    let entries = elements(directory).filter(|(found, _)| *found == tag);
    entries
        .filter_map(|(_, value)| file_of(child(value, 0x30)?))
        .take(OBJECTS_MAX)
        .collect()
}

/// The files of the data objects in an EF(DODF) (PKCS#15 §6.8): each is an element whose last
/// part, [1], has a path, or an ObjectValue with one.
fn objects_of(directory: &[u8]) -> Vec<u16> {
    elements(directory)
        .filter_map(|(_, object)| {
            let attributes = child(object, 0xa1)?;
            let inner = child(attributes, 0x30)?;
            file_of(inner).or_else(|| file_of(child(inner, 0x30)?))
        })
        .take(OBJECTS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec;

    /// One Object without instances: as short as bootstrap data can be.
    const DATA: &[u8] = &[0, 1, 0, 5, 0, 3, 0, 0, 0];

    /// A card with files, and the habits of T=0.
    #[derive(Default)]
    struct Fake {
        files: BTreeMap<u16, Vec<u8>>,
        records: Vec<Vec<u8>>,
        selected: u16,
        waiting: Vec<u8>,
        pin: Option<[u8; 8]>,
        /// What is said to the next command, whatever it is.
        stubborn: Option<Vec<u8>>,
        commands: Vec<Vec<u8>>,
        open: bool,
    }

    fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
        let mut all = vec![tag, u8::try_from(value.len()).unwrap()];
        all.extend_from_slice(value);
        all
    }

    fn directory_entry(path: &[u8]) -> Vec<u8> {
        tlv(0xa7, &tlv(0x30, &tlv(0x04, path)))
    }

    fn data_object(path: &[u8]) -> Vec<u8> {
        let label = tlv(0x30, &tlv(0x0c, b"LwM2M_Bootstrap"));
        let class = tlv(0x30, b"");
        let value = tlv(0xa1, &tlv(0x30, &tlv(0x30, &tlv(0x04, path))));
        tlv(0x30, &[label, class, value].concat())
    }

    /// As an operator's card may be: other applications, other data objects, padding.
    fn card() -> Fake {
        let aid = |aid: &[u8]| {
            let mut record = tlv(0x61, &[tlv(0x4f, aid), tlv(0x50, b"name")].concat());
            record.resize(40, 0xff);
            record
        };
        let mut data = DATA.to_vec();
        data.resize(600, 0xff);
        let objects = [
            data_object(&[0x64, 0x40]),
            data_object(&[0x3f, 0x00, 0x64, 0x30]),
        ];
        Fake {
            records: vec![aid(b"\xa0\x00\x00\x00\x87\x10\x02"), aid(PKCS15_AID)],
            files: [
                (EF_DIR, Vec::new()),
                (EF_ODF, directory_entry(&[0x64, 0x20])),
                (0x6420, objects.concat()),
                (0x6440, b"something else".to_vec()),
                (0x6430, data),
            ]
            .into(),
            ..Fake::default()
        }
    }

    impl Card for Fake {
        type Error = ();

        fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, ()> {
            self.commands.push(command.to_vec());
            if let Some(said) = self.stubborn.take() {
                return Ok(said);
            }
            let status = |status: u16| Ok(status.to_be_bytes().to_vec());
            let channel = command[0];
            assert!(channel == 0 || self.open, "the channel is not open");
            match command[1] {
                0xa4 if command[2] == 0x04 => {
                    assert_eq!(&command[5..], PKCS15_AID);
                    // As T=0 does it: the response is fetched.
                    self.waiting = vec![0x62, 0x00];
                    status(0x6102)
                }
                0xa4 => {
                    self.selected = u16::from_be_bytes([command[5], command[6]]);
                    match self.files.contains_key(&self.selected) {
                        true => status(0x9000),
                        false => status(0x6a82),
                    }
                }
                0xb2 => match self.records.get(usize::from(command[2]) - 1) {
                    None => status(0x6a83),
                    Some(record) if usize::from(command[4]) != record.len() => {
                        status(0x6c00 | record.len() as u16)
                    }
                    Some(record) => Ok([&record[..], &[0x90, 0x00]].concat()),
                },
                0xc0 => Ok([&self.waiting.split_off(0)[..], &[0x90, 0x00]].concat()),
                0x70 if command[2] == 0 => {
                    self.open = true;
                    Ok(vec![0x02, 0x90, 0x00])
                }
                0x70 => {
                    self.open = false;
                    status(0x9000)
                }
                0x20 if self.pin.is_none_or(|pin| pin == command[5..13]) => {
                    self.pin = None;
                    status(0x9000)
                }
                0x20 => status(0x63c2),
                0xb0 if self.pin.is_some() && self.selected == 0x6430 => status(0x6982),
                0xb0 => {
                    let at = usize::from(u16::from_be_bytes([command[2], command[3]]));
                    let file = &self.files[&self.selected];
                    let wanted = usize::from(command[4]);
                    let Some(rest) = file.get(at..).filter(|rest| !rest.is_empty()) else {
                        return status(0x6b00);
                    };
                    let end: &[u8] = match rest.len() < wanted {
                        true => &[0x62, 0x82],
                        false => &[0x90, 0x00],
                    };
                    Ok([&rest[..rest.len().min(wanted)], end].concat())
                }
                other => panic!("{other:02x}"),
            }
        }
    }

    #[test]
    fn ts_g_the_bootstrap_data_is_found_by_way_of_the_directories() {
        let mut card = card();
        let data = read_card(&mut card, None).unwrap();
        assert_eq!(data.len(), 600);
        assert_eq!(data[..DATA.len()], *DATA);
        assert!(!card.open, "the channel is closed again");
        // Nothing of other applications is disturbed: after the directory all is on the channel.
        let on_channel = card.commands.iter().filter(|one| one[0] == 2).count();
        assert!(on_channel > 8);
    }

    #[test]
    fn ts_g_a_pin_is_shown_where_it_is_wanted_and_once() {
        let pin = *b"1234\xff\xff\xff\xff";
        let mut card = Fake {
            pin: Some(pin),
            ..card()
        };
        assert_eq!(read_card(&mut card, None), Err(CardError::PinNeeded));
        assert!(!card.open);
        let refused = read_card(&mut card, Some("0000"));
        let (what, status) = ("take the PIN", 0x63c2);
        assert_eq!(refused, Err(CardError::Refused { what, status }));
        let tries = |card: &Fake| card.commands.iter().filter(|one| one[1] == 0x20).count();
        assert_eq!(tries(&card), 1);
        assert_eq!(read_card(&mut card, Some("12")), Err(CardError::PinLength));
        assert_eq!(tries(&card), 1);
        assert!(read_card(&mut card, Some("1234")).is_ok());
    }

    #[test]
    fn a_card_without_the_application_or_the_data_says_so() {
        let mut without = card();
        without.records.truncate(1);
        assert_eq!(read_card(&mut without, None), Err(CardError::Absent));
        let mut without = card();
        without.files.insert(0x6420, data_object(&[0x64, 0x40]));
        assert_eq!(read_card(&mut without, None), Err(CardError::Absent));
        let mut without = card();
        without.files.remove(&EF_ODF);
        let (what, status) = ("read EF(ODF)", 0x6a82);
        assert_eq!(
            read_card(&mut without, None),
            Err(CardError::Refused { what, status })
        );
        assert!(!without.open);
    }

    #[test]
    fn a_card_that_plays_is_left() {
        struct Playing(u8);
        impl Card for Playing {
            type Error = ();
            fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, ()> {
                let mut said = vec![0; 255];
                said.extend([self.0, 0xff]);
                Ok(said)
            }
        }
        for high in [0x61, 0x6c] {
            let left = read_card(&mut Playing(high), None);
            assert!(matches!(
                left,
                Err(CardError::Malformed(_)) | Err(CardError::Refused { .. })
            ));
        }
        let mut silent = Fake {
            stubborn: Some(vec![0x90]),
            ..card()
        };
        assert!(matches!(
            read_card(&mut silent, None),
            Err(CardError::Malformed(_))
        ));
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_files_hold_the_walk_ends(
            directory in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
            objects in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
        ) {
            let mut card = card();
            card.files.insert(EF_ODF, directory);
            card.files.insert(0x6420, objects);
            let _ = read_card(&mut card, None);
            proptest::prop_assert!(card.commands.len() < 500);
        }
    }
}
