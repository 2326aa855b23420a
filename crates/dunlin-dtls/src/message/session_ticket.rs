//! NewSessionTicket (RFC 5077 §3.3).

use alloc::vec::Vec;

use super::codec::{Malformed, Reader, put_vector16};

/// A ticket and how long the server means to honour it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NewSessionTicket<'a> {
    /// Seconds; 0 leaves it to the client.
    pub(crate) lifetime_hint_s: u32,
    /// Empty if the server changed its mind.
    pub(crate) ticket: &'a [u8],
}

impl<'a> NewSessionTicket<'a> {
    pub(crate) fn decode(body: &'a [u8]) -> Result<NewSessionTicket<'a>, Malformed> {
        let mut reader = Reader::new(body);
        let lifetime_hint_s = reader.u32()?;
        let ticket = reader.vector16()?;
        reader.finish()?;
        Ok(NewSessionTicket {
            lifetime_hint_s,
            ticket,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(6 + self.ticket.len());
        out.extend_from_slice(&self.lifetime_hint_s.to_be_bytes());
        put_vector16(&mut out, self.ticket);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_comes_back() {
        let ticket = NewSessionTicket {
            lifetime_hint_s: 7200,
            ticket: b"ticket",
        };
        assert_eq!(NewSessionTicket::decode(&ticket.encode()), Ok(ticket));
        assert!(NewSessionTicket::decode(&[0; 5]).is_err());
    }
}
